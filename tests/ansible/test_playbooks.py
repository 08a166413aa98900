import pytest

from tests.ansible.places import ANSIBLE
from tests.ansible.playbooks import playbook

PLAYBOOKS = sorted(file.name for file in ANSIBLE.glob("*.yml") if file.name != "requirements.yml")


def test_there_is_one_for_each_work():
    assert PLAYBOOKS == ["configure.yml", "deploy.yml", "destroy.yml", "provision.yml", "site.yml"]


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_it_is_one(name):
    done = playbook(name, "--syntax-check", inventory=ANSIBLE / "inventories/single")
    assert done.succeeded, done.output
