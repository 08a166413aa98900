import subprocess

import pytest

from tests.ansible.playbooks import fake_aws


@pytest.fixture(scope="module")
def aws():
    with fake_aws() as running:
        yield running


@pytest.fixture(scope="module")
def ssh_key(tmp_path_factory):
    """The operator's; the public half lies beside it, as .pub."""
    key = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return key
