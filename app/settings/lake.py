from typing import Annotated, Literal

from msgspec import Meta

from app.settings.deduplicator import DeduplicatorSettings


class LakeSettings(DeduplicatorSettings, frozen=True, kw_only=True):
    lake: Annotated[
        Annotated[str, Meta(pattern=r"^(/.*|s3://[a-z0-9][a-z0-9.-]*(/.*)?)$")] | None,
        Meta(
            description="Where the Parquet files lie: a folder, or `s3://bucket/prefix`. Unset: `lake` in "
            "`KALSHI_DATA_DIR`; an archiver needs it set.",
            examples=["s3://kalshi-lake/v1"],
        ),
    ] = None
    lake_s3_endpoint: Annotated[
        Annotated[str, Meta(pattern="^https?://[^/?#]+/?$")] | None,
        Meta(description="Another server than Amazon's that speaks S3.", examples=["https://s3.example"]),
    ] = None
    lake_encryption: Annotated[
        Literal["none", "AES256", "aws:kms"],
        Meta(description="How the bucket encrypts what is put there.", examples=["aws:kms"]),
    ] = "AES256"
    lake_kms_key: Annotated[
        str | None,
        Meta(
            description="The key for `aws:kms`. Unset: the account's own.",
            examples=["arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
        ),
    ] = None
    lake_settle_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=86_400,
            description="An hour is exported when it has ended and nothing came to it for so long.",
            examples=["300"],
        ),
    ] = 300
