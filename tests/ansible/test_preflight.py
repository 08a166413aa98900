"""Wrong values are refused before anything is made, in words for an operator; AWS would take some of them."""

import pytest

from tests.ansible.places import ANSIBLE
from tests.ansible.playbooks import CREDENTIALS, playbook

TOLD = {
    "alertmanager_critical": {"webhook_configs": [{"url": "https://pager.example/"}]},
    "alertmanager_warning": {"webhook_configs": [{"url": "https://chat.example/"}]},
    "alertmanager_heartbeat_url": "https://deadman.example/",
    "platform_alarm_subscriptions": [{"protocol": "email", "endpoint": "ops@example.com"}],
}
GIVEN = {"platform_operator_cidrs": ["203.0.113.7/32"], "platform_architecture": "arm64", **TOLD}
# No AWS and no host answers there: whoever asked one would fail in other words.
NOWHERE = {**CREDENTIALS, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}


def refused(name, given):
    """Return what the playbook says, without its line breaks, when it refuses."""
    done = playbook(name, inventory=ANSIBLE / "inventories/single", extra=given, **NOWHERE)
    assert not done.succeeded
    assert "localhost" in done.changed, done.output
    return " ".join(done.output.split())


def size(kind, disk, iops, megabytes):
    return {"type": kind, "disk_gigabytes": disk, "disk_iops": iops, "disk_megabytes_per_second": megabytes}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"platform_operator_cidrs": ["0.0.0.0/0"]}, "give the networks that may use SSH"),
        ({"platform_bucket": "Kalshi_Data"}, "is not a bucket name"),
        ({"platform_alarm_subscriptions": []}, "nobody would notice that a host is gone"),
        ({"platform_rds_size": size("db.t4g.large", 500, 3000, 125)}, "from 400 GB on RDS gives gp3 only with 12,000"),
        ({"platform_gatherer_size": size("t3.2xlarge", 200, 3000, 125)}, "t3.2xlarge does not run arm64"),
        (
            {"platform_gatherers": [{"name": "gatherer-1a", "zone": "us-east-1a", "address": "10.0.9.10"}]},
            "the address must be in its zone",
        ),
    ],
    ids=["open SSH", "bucket", "alarms", "RDS disk", "architecture", "address"],
)
def test_what_is_wrong_is_refused_and_named(wrong, said):
    said_of_it = refused("provision.yml", {**GIVEN, **wrong})
    assert said in said_of_it


def test_all_that_is_wrong_is_said_at_once_before_any_host_is_asked():
    said = refused(
        "configure.yml",
        {
            "platform_gatherer_names": ["recorder", "gatherer-1b", "gatherer-1c"],
            "application_settings": {"gatherer": {"KALSHI_WS_CONNECTIONS": "150", "KALSHI_GATHERERS": "1"}},
        },
    )
    assert "3 gatherers of KALSHI_WS_CONNECTIONS 150 each request more than the 200" in said
    assert "give 66 at most" in said
    assert "application_settings sets KALSHI_GATHERERS" in said
    assert "alertmanager_critical and alertmanager_warning name no receiver" in said
    assert "alertmanager_heartbeat_url is not set" in said
    assert "gatherer-1b, gatherer-1c of platform_gatherers: not in the inventory" in said


@pytest.mark.parametrize("name", ["deploy.yml", "update.yml"])
def test_no_gatherer_is_forgotten(name):
    said = refused(name, {**TOLD, "platform_gatherer_names": ["recorder", "gatherer-1b"]})
    assert "gatherer-1b of platform_gatherers: not in the inventory" in said
