"""What an operator relies on: every metric is documented, names its unit, and has few time series."""

import pytest

from app.metrics_table import known_metrics, with_table
from tests.code_base.sources import ROOT

README = (ROOT / "README.md").read_text()
# What a metric counts or measures is the last word of its name, but for a counter's `total`.
UNITS = {
    *("seconds", "bytes", "ratio", "info", "halted"),
    *("requests", "retries", "waits", "hang_ups", "rows", "records", "batches", "frames", "messages"),
    *("trades", "intervals", "books", "findings"),
    *("markets", "events", "series", "connections", "subscriptions", "gaps", "errors"),
}


def test_the_metrics_table_is_the_code_s_own():
    assert with_table(README) == README, "run: make docs"


@pytest.mark.parametrize("metric", known_metrics(), ids=lambda metric: metric.name)
def test_a_metric_says_what_it_is(metric):
    assert metric.name.startswith("kalshi_")
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.name.removesuffix("_total").endswith(tuple(f"_{unit}" for unit in UNITS))
    assert metric.description.endswith(".")
    assert f"`{metric.name}`" in README


@pytest.mark.parametrize("metric", known_metrics(), ids=lambda metric: metric.name)
def test_no_label_has_as_many_values_as_there_are_markets(metric):
    assert not {"ticker", "market", "event", "series", "trade_id"} & set(metric.labels)


def test_no_name_is_given_twice():
    names = [metric.name for metric in known_metrics()]
    assert len(set(names)) == len(names)
