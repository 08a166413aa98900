from tests.processes import run


def test_chaos_needs_a_length():
    done = run("-m", "app", "demo", "--chaos")
    assert done.returncode == 2
    assert "--seconds" in done.stderr


def test_the_real_exchange_needs_a_key(tmp_path):
    done = run("-m", "app", "demo", "--live", KALSHI_DATA_DIR=tmp_path)
    assert done.returncode == 2
    assert "KALSHI_API_KEY_ID" in done.stderr
    assert list(tmp_path.iterdir()) == []
