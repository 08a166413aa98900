"""Every alert fires when it should, says what it should, and keeps quiet otherwise; and has its words in the runbook."""

import re
import subprocess

import pytest
import yaml

from tests.ansible.places import ANSIBLE, EXAMPLES
from tests.ansible.prometheus_tools import promtool

RULES = sorted((ANSIBLE / "roles/prometheus/files").glob("*.rules.yml"))
GROUPS = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
WRITTEN = yaml.safe_load((EXAMPLES / "alerts.yml").read_text())

needs_promtool = pytest.mark.skipif(promtool() is None, reason="promtool is not installed: apt-get install prometheus")


def check(*arguments):
    return subprocess.run([promtool(), *map(str, arguments)], capture_output=True, text=True)


def one_test(alert, series, expected):
    written = WRITTEN[alert]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": str(values)} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": written.get("at", "5m"), "alertname": alert, "exp_alerts": expected}],
    }


def firing(alert):
    labels = {**WRITTEN[alert].get("labels", {}), **ALERTS[alert]["labels"]}
    return [{"exp_labels": labels, "exp_annotations": {"summary": WRITTEN[alert]["summary"]}}]


def run_tests(folder, test_of):
    """Run each alert's test on its rule alone: promtool would evaluate all rules of a file for each of its tests."""
    files = []
    for alert, rule in ALERTS.items():
        rules, tests = folder / f"{alert}.rules.yml", folder / f"{alert}.tests.yml"
        rules.write_text(yaml.safe_dump({"groups": [{"name": alert, "rules": [rule]}]}))
        tests.write_text(yaml.safe_dump({"rule_files": [str(rules)], "tests": [test_of(alert)]}))
        files.append(tests)
    return check("test", "rules", *files)


@needs_promtool
def test_the_rules_are_ones():
    done = check("check", "rules", *RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_each_alert_fires_when_it_should(tmp_path):
    done = run_tests(tmp_path, lambda alert: one_test(alert, WRITTEN[alert]["fires"], firing(alert)))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_each_alert_keeps_quiet_otherwise(tmp_path):
    done = run_tests(tmp_path, lambda alert: one_test(alert, WRITTEN[alert]["quiet"], []))
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_its_example():
    assert set(WRITTEN) == set(ALERTS)


def test_each_alert_says_how_bad_it_is():
    assert {rule["labels"]["severity"] for rule in ALERTS.values()} == {"critical", "warning", "info"}


def test_each_alert_is_in_the_runbook():
    _, _, alerts = (ANSIBLE / "RUNBOOK.md").read_text().partition("\n## Alerts\n")
    named = re.findall(r"^### (\w+)$", alerts, re.MULTILINE)
    assert sorted(named) == sorted(ALERTS)
