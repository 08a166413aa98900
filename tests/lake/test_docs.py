import pytest

from app.lake.candles import SCHEMA
from app.lake.layout import schema_of
from app.storage.tables import GATHERER_TABLES
from kalshi_data.schema import COLUMNS
from tests.code_base.sources import ROOT

DOCS = (ROOT / "docs/lake.md").read_text()


@pytest.mark.parametrize(
    "schema", [*map(schema_of, GATHERER_TABLES), SCHEMA], ids=lambda schema: str(schema.metadata[b"table"])
)
def test_every_column_says_what_it_means(schema):
    assert all(field.metadata[b"description"] for field in schema)


def test_the_page_has_every_column():
    for name, meaning in COLUMNS.items():
        assert f"| `{name}` | {meaning.unit} | {meaning.description} |" in DOCS
