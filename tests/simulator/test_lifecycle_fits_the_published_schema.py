import json
import os
from pathlib import Path

import pytest

from app.simulator.catalog import Catalog
from app.simulator.changes import Lifecycle
from app.simulator.exchange import Exchange
from tests.simulator.recording import START_US

jsonschema = pytest.importorskip("jsonschema")

FOLDER = Path(os.environ.get("KALSHI_SPEC_DIR") or Path(__file__).parents[3] / "shared/kalshi-api")
SCHEMAS = FOLDER / "ws-payload-defs-2026-10-26.json"
DEFINITIONS = {
    "market_lifecycle_v2": "marketLifecycleV2Payload",
    "multivariate_market_lifecycle": "multivariateMarketLifecyclePayload",
    "event_lifecycle": "eventLifecyclePayload",
    "event_fee_update": "eventFeeUpdatePayload",
}

pytestmark = pytest.mark.skipif(not SCHEMAS.exists(), reason=f"the exchange's specifications are not in {FOLDER}")


@pytest.fixture(scope="module")
def messages():
    exchange = Exchange(Catalog(seed=2, markets=100, start_us=START_US), 0)
    changes = exchange.advance(START_US + 20 * 60 * 1_000_000)
    return [change for change in changes if isinstance(change, Lifecycle) and change.message_type != "silent"]


@pytest.mark.parametrize("message_type", DEFINITIONS)
def test_every_message_validates(messages, message_type):
    document = json.loads(SCHEMAS.read_text())
    said = [message for message in messages if message.message_type == message_type]
    assert len(said) > 20
    for message in said:
        name = "marketMetadataUpdatedPayload" if message.event_type == "metadata_updated" else DEFINITIONS[message_type]
        validator = jsonschema.Draft202012Validator({**document, "$ref": f"#/$defs/{name}"})
        subject = {"event_ticker" if message_type.startswith("event") else "market_ticker": message.ticker}
        event_type = {"event_type": message.event_type} if message.event_type else {}
        validator.validate(
            {"type": message_type, "sid": 1, "seq": 1, "msg": {**message.payload, **subject, **event_type}}
        )
