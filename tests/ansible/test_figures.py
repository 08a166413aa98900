"""Dashboards and rules ask for figures that processes give, in queries that can be parsed."""

import importlib.util
import re

import pytest
import yaml

from app.ops.metrics_table import known_metrics
from tests.ansible.places import ANSIBLE
from tests.ansible.prometheus_tools import promtool
from tests.ansible.test_alerts import GROUPS, check

ROLE = ANSIBLE / "roles/grafana"
DASHBOARDS = {file.stem: yaml.safe_load(file.read_text()) for file in sorted((ROLE / "files/dashboards").glob("*.yml"))}
OF_A_HOST = {
    "kalshi_certificate_expires_timestamp_seconds",
    "kalshi_packages_waiting",
    "kalshi_restart_wanted_seconds",
    "kalshi_served_certificate_expires_timestamp_seconds",
}
PARTS = re.compile(r"_(total|bucket|count|sum)$")


def queries(written):
    return [query["expr"] for row in written["rows"] for panel in row["panels"] for query in panel["queries"]]


ALL_QUERIES = [query for written in DASHBOARDS.values() for query in queries(written)]
ALL_RULES = [rule["expr"] for group in GROUPS for rule in group["rules"]]
# By name, without what the client adds to it.
ASKED = {PARTS.sub("", name) for query in ALL_QUERIES + ALL_RULES for name in re.findall(r"\bkalshi_\w+", query)}


def plugin():
    file = ROLE / "filter_plugins/grafana_dashboard.py"
    specification = importlib.util.spec_from_file_location("grafana_dashboard", file)
    loaded = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(loaded)
    return loaded


def test_every_figure_asked_for_is_one_that_a_process_gives():
    given = {PARTS.sub("", metric.name) for metric in known_metrics()}
    assert sorted(ASKED - given - OF_A_HOST) == []


def test_every_derived_figure_asked_for_has_its_rule():
    asked = {name for query in ALL_QUERIES + ALL_RULES for name in re.findall(r"\bkalshi:[\w:]+", query)}
    assert asked <= {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}


@pytest.mark.skipif(promtool() is None, reason="promtool is not installed: apt-get install prometheus")
def test_every_query_can_be_parsed(tmp_path):
    rules = [
        {"record": f"query{number}", "expr": query.replace("$instance", ".*")}
        for number, query in enumerate(ALL_QUERIES)
    ]
    file = tmp_path / "queries.rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = check("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_a_dashboard_of_each_stage():
    assert set(DASHBOARDS) == {"overview", "pipeline", "writers", "deduplicator", "completeness"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_fill_the_width_and_do_not_overlap(name):
    panels = plugin().grafana_dashboard(DASHBOARDS[name])["panels"]
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + across, place["y"] + down) for across in range(place["w"]) for down in range(place["h"])}
        assert not taken & cells
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)
