"""What provision.yml makes on AWS, as far as a made-up one can tell."""

import json

import pytest

from app.storage.tables import GATHERER_TABLES
from tests.ansible.places import ANSIBLE
from tests.ansible.playbooks import HOSTS_WANTED, WHY_NOT, ansible, playbook
from tests.ansible.test_preflight import TOLD

pytestmark = pytest.mark.skipif(not HOSTS_WANTED, reason=WHY_NOT)

OPERATORS = "203.0.113.7/32"
GIVEN = {
    **TOLD,
    "platform_operator_cidrs": [OPERATORS],
    "bucket_wait_for_rules": False,
    "instances_wait_for_hosts": False,
}


@pytest.fixture(scope="module")
def provision(aws, ssh_key):
    def run(*arguments, name="provision.yml", **extra):
        given = {**GIVEN, "platform_ssh_public_key_file": f"{ssh_key}.pub", **extra}
        return playbook(name, *arguments, inventory=ANSIBLE / "inventories/aws", extra=given, **aws.environment)

    return run


@pytest.fixture(scope="module")
def provisioned(provision):
    made = provision()
    assert made.succeeded, made.output
    return made


@pytest.fixture(scope="module")
def instances(aws, provisioned):
    found = aws.client("ec2").describe_instances()["Reservations"]
    return {tag(instance, "Name"): instance for reservation in found for instance in reservation["Instances"]}


@pytest.fixture(scope="module")
def groups(aws, provisioned):
    found = aws.client("ec2").describe_security_groups()["SecurityGroups"]
    return {group["GroupName"].removeprefix("kalshi-data-"): group for group in found}


def stored_passwords(aws):
    secret = aws.client("secretsmanager").get_secret_value(SecretId="kalshi-data/passwords")
    return json.loads(secret["SecretString"])


def tag(thing, key):
    return next(tag["Value"] for tag in thing["Tags"] if tag["Key"] == key)


def rules(permissions):
    """Ports by where they lead: a network, or a security group."""
    return {
        (permission["FromPort"], network)
        for permission in permissions
        for network in [
            *(found["CidrIp"] for found in permission["IpRanges"]),
            *(found["GroupId"] for found in permission["UserIdGroupPairs"]),
        ]
    }


def test_a_second_run_changes_nothing_nor_any_password(aws, provision, provisioned):
    passwords = stored_passwords(aws)
    again = provision()
    assert again.succeeded, again.output
    assert (again.changed, again.changed_tasks) == ({"localhost": 0}, [])
    assert stored_passwords(aws) == passwords


def test_there_is_a_gatherer_in_each_zone_and_one_deduplicator(instances):
    made = {
        name: (instance["Placement"]["AvailabilityZone"], instance["InstanceType"], instance["PrivateIpAddress"])
        for name, instance in instances.items()
    }
    assert made == {
        "gatherer-1a": ("us-east-1a", "t4g.2xlarge", "10.0.1.10"),
        "gatherer-1b": ("us-east-1b", "t4g.2xlarge", "10.0.2.10"),
        "gatherer-1c": ("us-east-1c", "t4g.2xlarge", "10.0.3.10"),
        "deduplicator-1a": ("us-east-1a", "t4g.xlarge", "10.0.1.20"),
    }


def test_hosts_demand_tokens_for_their_metadata_and_keep_encrypted_disks_of_their_size(aws, instances):
    volumes = aws.client("ec2").describe_volumes()["Volumes"]
    made = {volume["Attachments"][0]["InstanceId"]: volume for volume in volumes}
    for name, instance in instances.items():
        volume = made[instance["InstanceId"]]
        assert instance["MetadataOptions"]["HttpTokens"] == "required"
        assert (volume["VolumeType"], volume["Encrypted"]) == ("gp3", True)
        assert volume["Size"] == (200 if name.startswith("gatherer") else 50)


def test_gatherers_hear_the_deduplicator_and_operators_alone_and_reach_https_and_clocks_alone(groups):
    gatherer, deduplicator = groups["gatherer"], groups["deduplicator"]["GroupId"]
    watched = {(port, deduplicator) for port in (5432, 5433, 9100, 9187, 9188, 9401, 9404, 9405)}
    assert rules(gatherer["IpPermissions"]) == {(22, OPERATORS), *watched}
    assert rules(gatherer["IpPermissionsEgress"]) == {(443, "0.0.0.0/0"), (123, "0.0.0.0/0")}


def test_production_hears_the_deduplicator_alone_and_reaches_nothing(groups):
    assert rules(groups["production"]["IpPermissions"]) == {(5432, groups["deduplicator"]["GroupId"])}
    assert groups["production"]["IpPermissionsEgress"] == []


def test_production_is_on_postgresql_16_encrypted_private_and_backed_up(aws, provisioned):
    (database,) = aws.client("rds").describe_db_instances()["DBInstances"]
    assert (database["Engine"], database["EngineVersion"], database["DBInstanceClass"]) == (
        "postgres",
        "16",
        "db.t4g.large",
    )
    assert (database["AllocatedStorage"], database["StorageType"], database["Iops"]) == (500, "gp3", 12000)
    assert database["StorageEncrypted"]
    assert database["DeletionProtection"]
    assert not database["PubliclyAccessible"]
    assert not database["MultiAZ"]
    assert database["BackupRetentionPeriod"] == 7


def test_the_bucket_is_private_versioned_encrypted_and_ages(aws, provisioned):
    s3, bucket = aws.client("s3"), "kalshi-data-prod"
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    ageing = {
        rule["Filter"]["Prefix"]: (rule["Transitions"][0]["Days"], rule["Transitions"][0]["StorageClass"])
        for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        if "Transitions" in rule
    }
    assert ageing == {"raw/": (30, "GLACIER"), "processed/": (90, "STANDARD_IA")}


def statements(aws, host, policy):
    found = aws.client("iam").get_role_policy(RoleName=f"kalshi-data-{host}", PolicyName=policy)
    return found["PolicyDocument"]["Statement"]


def test_every_host_has_a_role_of_its_own(instances):
    profiles = {name: instance["IamInstanceProfile"]["Arn"].split("/")[-1] for name, instance in instances.items()}
    assert profiles == {
        name: f"kalshi-data-{'deduplicator' if name == 'deduplicator-1a' else name}" for name in instances
    }


def test_the_deduplicator_s_role_is_for_the_bucket_alone_and_may_have_raw_restored(aws, instances):
    found = statements(aws, "deduplicator", "lake")
    assert {statement["Resource"].split("/")[0] for statement in found} == {"arn:aws:s3:::kalshi-data-prod"}
    assert [each["Resource"] for each in found if each["Action"] == "s3:RestoreObject"] == [
        "arn:aws:s3:::kalshi-data-prod/raw/*"
    ]


def test_a_gatherer_s_role_writes_its_own_folders_of_raw_and_their_manifests_alone(aws, instances):
    found = statements(aws, "gatherer-1b", "raw")
    written = next(each for each in found if "s3:PutObject" in each["Action"])
    tables = [table.name for table in GATHERER_TABLES]
    assert sorted(written["Resource"]) == sorted(
        f"arn:aws:s3:::kalshi-data-prod/{folder}raw/{table}/gatherer=gatherer-1b/*"
        for table in tables
        for folder in ("", "_manifest/")
    )
    others = {each["Action"]: each["Resource"].removeprefix("arn:aws:s3:::") for each in found if each is not written}
    assert others == {
        "s3:ListBucket": "kalshi-data-prod",
        "s3:GetObject": "kalshi-data-prod/_identity.json",
    }


def test_whoever_is_to_be_told_hears_of_broken_hosts_and_of_what_runs_out(aws, instances):
    cloudwatch = aws.client("cloudwatch")
    alarms = {alarm["AlarmName"]: alarm for alarm in cloudwatch.describe_alarms()["MetricAlarms"]}
    hosts = {f"kalshi-data-{name}-{kind}" for name in instances for kind in ("status", "credits")}
    assert alarms.keys() == {*hosts, "kalshi-data-production-credits", "kalshi-data-production-storage"}
    status = alarms["kalshi-data-deduplicator-1a-status"]
    (dimension,) = status["Dimensions"]
    assert dimension == {"Name": "InstanceId", "Value": instances["deduplicator-1a"]["InstanceId"]}
    assert (status["MetricName"], status["TreatMissingData"]) == ("StatusCheckFailed", "breaching")
    assert alarms["kalshi-data-production-storage"]["Threshold"] == 50 * 2**30
    (topic,) = {action for alarm in alarms.values() for action in alarm["AlarmActions"]}
    (told,) = aws.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert (told["Protocol"], told["Endpoint"]) == ("email", "ops@example.com")


def test_a_stopped_host_stays_in_the_inventory(aws, instances):
    client, stopped = aws.client("ec2"), [instances["gatherer-1b"]["InstanceId"]]
    client.stop_instances(InstanceIds=stopped)
    listed = ansible("ansible-inventory", "--inventory", ANSIBLE / "inventories/aws", "--list", **aws.environment)
    client.start_instances(InstanceIds=stopped)
    inventory = json.loads(listed.stdout)
    assert sorted(inventory["gatherer"]["hosts"]) == ["gatherer-1a", "gatherer-1b", "gatherer-1c"]
    assert inventory["_meta"]["hostvars"]["gatherer-1b"]["platform_address"] == {"__ansible_unsafe": "10.0.2.10"}


def test_passwords_are_long_and_shown_nowhere(aws, provisioned):
    passwords = stored_passwords(aws)
    assert min(map(len, passwords.values())) >= 24
    assert not any(password in provisioned.output for password in passwords.values())


def test_a_rule_that_somebody_added_is_taken_away_again(aws, provision, groups):
    everybody = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    client, production = aws.client("ec2"), groups["production"]["GroupId"]
    client.authorize_security_group_ingress(GroupId=production, IpPermissions=[everybody])
    mended = provision()
    assert (mended.changed, len(mended.changed_tasks)) == ({"localhost": 1}, 1)
    (group,) = client.describe_security_groups(GroupIds=[production])["SecurityGroups"]
    assert rules(group["IpPermissions"]) == {(5432, groups["deduplicator"]["GroupId"])}


def test_nothing_is_destroyed_unless_it_is_meant(provision, provisioned):
    refused = provision(name="destroy.yml", destroy_confirmed="yes")
    assert not refused.succeeded
    assert "Nothing was destroyed." in refused.output


def test_what_is_destroyed_is_gone_but_for_the_bucket(aws, provision, instances):
    ended = provision(name="destroy.yml", destroy_confirmed="kalshi-data")
    assert ended.succeeded, ended.output
    found = aws.client("ec2").describe_instances()["Reservations"]
    assert {i["State"]["Name"] for reservation in found for i in reservation["Instances"]} == {"terminated"}
    assert aws.client("rds").describe_db_instances()["DBInstances"] == []
    assert len(aws.client("rds").describe_db_snapshots()["DBSnapshots"]) == 1
    assert aws.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert aws.client("sns").list_topics()["Topics"] == []
    assert aws.client("iam").list_roles()["Roles"] == []
    assert [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]] == ["kalshi-data-prod"]
