"""What an operator relies on: every metric is documented, names its unit, and has few time series."""

import pytest

from app.ops.metrics_table import known_metrics, with_metrics_table
from tests.code_base.sources import ROOT

DOCUMENT = (ROOT / "docs/metrics.md").read_text()
# The last word is what it is measured in, or one of the words is what it counts or what is so while it is 1.
MEASURED_IN = {"seconds", "bytes", "ratio", "info"}
COUNTED = {
    *("rows", "objects", "records", "files", "batches", "quarantined"),
    *(
        "markets",
        "tickers",
        "shards",
        "books",
        "quotes",
        "trades",
        "findings",
        "changes",
        "announcements",
        "intervals",
        "hours",
        "copies",
    ),
    *("messages", "frames", "commands", "connections", "reconnects", "gaps"),
    *("members", "requests", "retries", "waits", "polls", "rereads", "rounds", "hang_ups", "errors", "failures"),
}
IS_SO = {"active", "trading", "halted", "refuses", "bound"}


def test_the_metrics_table_is_the_code_s_own():
    assert with_metrics_table(DOCUMENT) == DOCUMENT, "run: make docs"


@pytest.mark.parametrize("metric", known_metrics(), ids=lambda metric: metric.name)
def test_a_metric_says_what_it_is(metric):
    assert metric.name.startswith("kalshi_")
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    name = metric.name.removesuffix("_total")
    assert name.split("_")[-1] in MEASURED_IN | IS_SO or any(f"_{unit}" in name for unit in COUNTED)
    assert metric.description.endswith(".")
    assert f"`{metric.name}`" in DOCUMENT


@pytest.mark.parametrize("metric", known_metrics(), ids=lambda metric: metric.name)
def test_no_label_has_as_many_values_as_there_are_markets(metric):
    assert not {"ticker", "market", "event", "series", "trade_id"} & set(metric.labels)


def test_no_name_is_given_twice():
    names = [metric.name for metric in known_metrics()]
    assert len(set(names)) == len(names)
