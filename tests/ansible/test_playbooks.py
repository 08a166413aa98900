from tests.ansible.places import ANSIBLE
from tests.ansible.playbooks import ansible

PLAYBOOKS = sorted(file.name for file in ANSIBLE.glob("*.yml") if file.name != "requirements.yml")


def test_there_is_one_for_each_work():
    assert PLAYBOOKS == ["configure.yml", "deploy.yml", "destroy.yml", "provision.yml", "site.yml", "update.yml"]


def test_each_is_one():
    done = ansible("ansible-playbook", "--inventory", "inventories/single", "--syntax-check", *PLAYBOOKS)
    assert done.returncode == 0, done.stdout + done.stderr
