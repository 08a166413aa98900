"""Wrong values are refused before anything is made, in words for an operator; AWS would take some of them."""

import pytest

from tests.ansible.places import ANSIBLE
from tests.ansible.playbooks import CREDENTIALS, playbook

GIVEN = {"platform_operator_cidrs": ["203.0.113.7/32"], "platform_architecture": "arm64"}


def size(kind, disk, iops, megabytes):
    return {"type": kind, "disk_gigabytes": disk, "disk_iops": iops, "disk_megabytes_per_second": megabytes}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"platform_operator_cidrs": ["0.0.0.0/0"]}, "give the networks that may use SSH"),
        ({"platform_bucket": "Kalshi_Data"}, "cannot name a bucket"),
        ({"platform_rds_size": size("db.t4g.large", 500, 3000, 125)}, "from 400 GB on RDS gives gp3 only with 12,000"),
        ({"platform_gatherer_size": size("t3.2xlarge", 200, 3000, 125)}, "t3.2xlarge does not run arm64"),
        (
            {"platform_gatherers": [{"name": "gatherer-1a", "zone": "us-east-1a", "address": "10.0.9.10"}]},
            "the address lies in its zone",
        ),
    ],
    ids=["open SSH", "bucket", "RDS disk", "architecture", "address"],
)
def test_what_is_wrong_is_refused_and_named(wrong, said):
    # No AWS answers there: whoever asked it would fail in other words.
    nowhere = {**CREDENTIALS, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    done = playbook("provision.yml", inventory=ANSIBLE / "inventories/single", extra={**GIVEN, **wrong}, **nowhere)
    assert not done.succeeded
    assert said in " ".join(done.output.split()), done.output
