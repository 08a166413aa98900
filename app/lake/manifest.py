import msgspec

from app.lake.parquet_file import Written
from app.lake.schema import SCHEMA_VERSION


class Manifest(msgspec.Struct, frozen=True):
    """What an object holds. It is written after the object: what has none is not done."""

    object: str
    rows: int
    size_bytes: int
    sha256: str
    first_time: str | None
    last_time: str | None
    first_ticker: str | None
    last_ticker: str | None
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def of(cls, object_key: str, written: Written) -> "Manifest":
        return cls(object_key, *written)

    def encode(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def decode_manifest(content: bytes) -> Manifest:
    return msgspec.json.decode(content, type=Manifest)
