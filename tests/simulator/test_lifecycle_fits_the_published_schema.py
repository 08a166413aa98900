import pytest

from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import SimLifecycle
from app.simulator.market.exchange import Exchange
from tests.simulator.recording import START_US
from tests.simulator.specification import needs_specification, websocket_definitions

DEFINITIONS = {
    "market_lifecycle_v2": "marketLifecycleV2Payload",
    "multivariate_market_lifecycle": "multivariateMarketLifecyclePayload",
    "event_lifecycle": "eventLifecyclePayload",
    "event_fee_update": "eventFeeUpdatePayload",
}
SECONDS = 20 * 60

pytestmark = needs_specification


@pytest.fixture(scope="module")
def messages():
    exchange = Exchange(Catalog(seed=2, markets=100, start_us=START_US), 0)
    changes = exchange.advance(START_US + SECONDS * 1_000_000)
    return [change for change in changes if isinstance(change, SimLifecycle) and change.message_type != "silent"]


@pytest.mark.parametrize("message_type", DEFINITIONS)
def test_every_message_of_a_whole_life_validates(messages, message_type):
    definitions = websocket_definitions()
    said = [message for message in messages if message.message_type == message_type]
    assert len(said) > 20
    for message in said:
        name = "marketMetadataUpdatedPayload" if message.event_type == "metadata_updated" else DEFINITIONS[message_type]
        subject = {"event_ticker" if message_type.startswith("event") else "market_ticker": message.ticker}
        event_type = {"event_type": message.event_type} if message.event_type else {}
        msg = {**message.payload, **subject, **event_type}
        definitions.check(name, {"type": message_type, "sid": 1, "seq": 1, "msg": msg})
