import msgspec

from app.lake.parquet_file import Written
from app.lake.schema import SCHEMA_VERSION


class Manifest(Written, frozen=True, kw_only=True):
    """What an object holds. It is written after the object: what has none is not done."""

    object: str
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def of(cls, object_key: str, written: Written) -> "Manifest":
        return cls(object=object_key, **msgspec.structs.asdict(written))

    def encode(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def decode_manifest(content: bytes) -> Manifest:
    return msgspec.json.decode(content, type=Manifest)
