"""What the playbooks let each host do in the bucket is enough for what runs there, and for nothing else."""

import json

import boto3
import jinja2
import pytest
import requests
import yaml

from app.lake.archive import RawArchive
from app.lake.binding import identity_of
from app.lake.s3_storage import BucketStorage
from app.lake.storage import StorageError
from app.storage.tables import GATHERER_TABLES, ORDERBOOK_DELTAS
from tests.ansible.places import ANSIBLE
from tests.ansible.playbooks import fake_aws
from tests.lake.exporting import write
from tests.storage import rows

ROLE = ANSIBLE / "roles/instances"
TABLES = yaml.safe_load((ROLE / "defaults/main.yml").read_text())["instances_raw_tables"]
BUCKET = "kalshi-data-test"
TRUST = (ROLE / "templates/trust.json.j2").read_text()
POLICIES = {"gatherer-1a": "raw.json.j2", "gatherer-1b": "raw.json.j2", "deduplicator-1a": "lake.json.j2"}


def policy_of(host):
    template = jinja2.Template((ROLE / "templates" / POLICIES[host]).read_text(), trim_blocks=True)
    told = {"platform_bucket": BUCKET, "instances_raw_tables": TABLES, "item": {"name": host}}
    return template.render(told)


def lake_of(aws, host):
    """The bucket as a process sees it that has the host's role."""
    iam = aws.client("iam")
    role = iam.create_role(RoleName=host, AssumeRolePolicyDocument=TRUST)["Role"]
    iam.put_role_policy(RoleName=host, PolicyName="lake", PolicyDocument=policy_of(host))
    given = aws.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName=host)["Credentials"]
    key = {"aws_access_key_id": given["AccessKeyId"], "aws_secret_access_key": given["SecretAccessKey"]}
    client = boto3.client(
        "s3", endpoint_url=aws.url, region_name="us-east-1", aws_session_token=given["SessionToken"], **key
    )
    return BucketStorage(client, BUCKET, "", endpoint=aws.url)


@pytest.fixture
def lakes():
    """By host, where the made-up AWS asks for rights."""
    with fake_aws() as aws:
        aws.client("s3").create_bucket(Bucket=BUCKET)
        found = {host: lake_of(aws, host) for host in POLICIES}
        requests.post(f"{aws.url}/moto-api/reset-auth", data="0", timeout=10).raise_for_status()
        yield found


def test_all_tables_of_a_gatherer_may_be_written():
    assert [table.name for table in GATHERER_TABLES] == TABLES
    assert json.loads(policy_of("gatherer-1a"))


def test_a_gatherer_s_role_is_enough_for_its_archiver_and_for_no_other_s(lakes, timeseries):
    write(timeseries, ORDERBOOK_DELTAS, [rows.delta()])
    ours, other = lakes["gatherer-1b"], lakes["gatherer-1a"]
    with pytest.raises(StorageError, match=r"_identity\.json"):
        identity_of(ours)  # the exporter's to make
    identity_of(lakes["deduplicator-1a"])
    archive = RawArchive(timeseries, ours, "gatherer-1b")
    archive.prove_writable()
    while archive.step(archive.datasets()["orderbook_deltas"], settle_seconds=0):
        continue
    (key,) = ours.keys("raw")
    assert ours.version(key) is not None
    assert ours.version(key.replace("hour=12", "hour=13")) is None
    with pytest.raises(StorageError, match="AccessDenied"):
        RawArchive(timeseries, other, "gatherer-1b").prove_writable()
    with pytest.raises(StorageError, match="AccessDenied"):
        other.read(key)
    with pytest.raises(StorageError, match="AccessDenied"):
        ours.put("processed/trades/x", b"", None)


def test_the_deduplicator_s_role_may_have_raw_restored_and_nothing_else(lakes):
    lake = lakes["deduplicator-1a"]
    for key in ("raw/trades/x", "processed/trades/x"):
        lake.client.put_object(Bucket=BUCKET, Key=key, Body=b"", StorageClass="GLACIER")
    lake.restore("raw/trades/x", days=1, tier="Standard")
    with pytest.raises(StorageError, match="AccessDenied"):
        lake.restore("processed/trades/x", days=1, tier="Standard")
