"""Releases do not fill a host's disk."""

import os

import yaml

from tests.ansible.places import ANSIBLE
from tests.ansible.playbooks import role_tasks

KEPT = yaml.safe_load((ANSIBLE / "roles/application/defaults/main.yml").read_text())["application_releases_kept"]


def test_the_newest_releases_stay_and_the_one_that_runs_however_old_it_is(tmp_path):
    names = ["running", *"abcde"]
    for age, name in enumerate(reversed(names)):
        for folder in ("releases", "wheels"):
            (tmp_path / folder / name).mkdir(parents=True)
        os.utime(tmp_path / "releases" / name, (1_700_000_000 - age, 1_700_000_000 - age))
    given = {"application_root": str(tmp_path), "application_id": "running", "application_releases_kept": KEPT}
    assert role_tasks("application/tasks/prune", tmp_path, extra=given).succeeded
    for folder in ("releases", "wheels"):
        assert {each.name for each in (tmp_path / folder).iterdir()} == {"running", *names[1 - KEPT :]}
