"""The service against its own documentation: what that says may be asked is asked, and much that it does not say."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.runtime.secrets import TokenRole
from tests.admin.seeded import TICKER, seed
from tests.admin.test_service import admin
from tests.processes import DEADLINE_SECONDS, environment

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
# A page's `next` is no other text, and the end of a time is not before its beginning: a schema cannot say so. And whoever
# tries wrong tokens is soon told nothing else than to wait: tests/admin/test_access.py tries them.
NOT_CHECKED = "positive_data_acceptance,ignored_auth"
# Of each operation, beside every case at the bounds of its parameters.
FEW, MANY = 5, 25


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_its_answers_are_what_its_documentation_says_and_none_is_an_error_of_ours(
    production, tokens, tmp_path, examples
):
    if not SCHEMATHESIS.exists():
        pytest.skip("schemathesis is not installed")
    seed(production)
    presented, known = tokens
    with admin(KALSHI_PRODUCTION_DSN=production.reveal(), KALSHI_ADMIN_TOKENS=known.reveal().replace("\n", ";")) as (
        address,
        _,
    ):
        options = f"--max-examples {examples} --seed 1 --exclude-checks {NOT_CHECKED} --phases coverage,fuzzing"
        authorization = ("--header", f"Authorization: Bearer {presented[TokenRole.OPERATE]}")
        command = [SCHEMATHESIS, "run", f"{address}/openapi.json", *authorization, *options.split()]
        done = subprocess.run(
            command, env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=10 * DEADLINE_SECONDS
        )
    assert done.returncode == 0, done.stdout[-6_000:]
    assert "Rate limited" not in done.stdout
    assert "Unsupported regex" not in done.stdout


def test_every_endpoint_of_the_api_is_in_it(api):
    document = api.json("/openapi.json")
    assert f"/admin/markets/{TICKER}/book".replace(TICKER, "{ticker}") in document["paths"]
    file = document["paths"]["/admin/markets/{ticker}/hour/{table}"]["get"]["responses"]["200"]
    assert list(file["content"]) == ["application/vnd.apache.parquet"]
    for path, operations in document["paths"].items():
        for method in {"get", "post", "delete"} & operations.keys():
            assert operations[method]["summary"].endswith("."), path
            assert operations[method]["x-role"] in {"read", "operate"}
