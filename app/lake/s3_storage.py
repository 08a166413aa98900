"""Objects of an S3 bucket, and the bucket's lifecycle rules.

Writes are conditional on the version that was read before (If-Match, If-None-Match), so two writers cannot overwrite
each other unnoticed. Errors of S3 become StorageError with a fix; a missing object is a KeyError inside this module.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pyarrow.fs import FileSystem, S3FileSystem

from app.lake.storage import InGlacierError, Listed, ReplacedError, StorageError

S3Client = Any  # boto3 creates its clients' methods at run time
Result = TypeVar("Result")

PART_BYTES = 16 << 20
PROBE = "_doctor"
MISSING = {"404", "NoSuchKey", "NoSuchLifecycleConfiguration"}
# 409: another write of the same object is under way.
REPLACED = {"PreconditionFailed", "ConditionalRequestConflict"}
# S3 reads objects of these classes only after a copy was restored; it reads the other Glacier class directly.
IN_GLACIER = {"GLACIER", "DEEP_ARCHIVE"}
RETRYING = Config(
    retries={"mode": "standard", "total_max_attempts": 8},
    connect_timeout=10,
    read_timeout=60,
    request_checksum_calculation="when_required",  # we send SHA-256 ourselves
    response_checksum_validation="when_supported",
)


def client_of(endpoint: str | None) -> S3Client:
    """Return an S3 client. Credentials and region come from the machine, as for every AWS client."""
    try:
        return boto3.client("s3", endpoint_url=endpoint, config=RETRYING)
    except (BotoCoreError, ValueError) as error:
        fix = "check AWS_REGION, the AWS profile, and KALSHI_LAKE_S3_ENDPOINT."
        raise StorageError("S3 cannot be accessed.", str(error), fix) from error


class _UnderWayError(Exception):
    """The requested operation is already in progress."""


class BucketStorage:
    """Objects of an S3 bucket, below one prefix.

    S3 checks the SHA-256 of everything that is sent, and an object of several parts appears only when all parts are
    there and the upload is completed.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        prefix: str,
        encryption: tuple[str, str | None] = ("AES256", None),
        endpoint: str | None = None,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self.bucket = bucket
        self.client = client
        self.prefix = prefix
        self._encryption = _encryption(*encryption)
        self._endpoint = endpoint
        self._part_bytes = part_bytes

    @property
    def location(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def version(self, key: str) -> str | None:
        try:
            found = self._asked(key, lambda: self.client.head_object(**self._at(key)))
        except KeyError:
            return None
        return str(found["ETag"])

    def put_file(self, key: str, path: Path, replaces: str | None) -> None:
        if path.stat().st_size <= self._part_bytes:
            self.put(key, path.read_bytes(), replaces)
        else:
            self._asked(key, partial(self._put_parts, key, path, replaces))

    def put(self, key: str, content: bytes, replaces: str | None) -> None:
        how = {**self._at(key), **self._encryption, **_condition(replaces)}
        self._asked(key, lambda: self.client.put_object(**how, Body=content, ChecksumSHA256=_sha256(content)))

    def read(self, key: str) -> bytes | None:
        try:
            return self._asked(key, lambda: bytes(self.client.get_object(**self._at(key))["Body"].read()))
        except KeyError:
            return None

    def fetch(self, key: str, path: Path) -> bool:
        def copy() -> None:
            body = self.client.get_object(**self._at(key))["Body"]
            with path.open("wb") as file:
                for piece in body.iter_chunks(1 << 20):
                    file.write(piece)

        try:
            self._asked(key, copy)
        except KeyError:
            return False
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        return (found.key for found in self.listed(prefix))

    def listed(self, prefix: str) -> Iterator[Listed]:
        below = self._at(f"{prefix}/" if prefix else "")["Key"]
        where = {"Bucket": self.bucket, "Prefix": below}
        pages = iter(self.client.get_paginator("list_objects_v2").paginate(**where))
        start = len(self._at("")["Key"])
        while (page := self._asked(prefix, partial(next, pages, None))) is not None:
            for item in page.get("Contents", []):
                yield Listed(item["Key"][start:], item["Size"], item.get("StorageClass") in IN_GLACIER)

    def prove_writable(self, folder: str = "") -> None:
        """Start a multipart upload and abort it. It needs the right to put an object, but creates none."""
        probe = f"{folder}/{PROBE}" if folder else PROBE

        def begin() -> None:
            where = self._at(probe)
            upload = self.client.create_multipart_upload(**where, **self._encryption)
            self.client.abort_multipart_upload(**where, UploadId=upload["UploadId"])

        self._asked(probe, begin)

    def restoration(self, key: str) -> str:
        """Return S3's description of the restored copy of an object in Glacier, or '' if none was requested or it has
        expired."""
        found = self._asked(key, lambda: self.client.head_object(**self._at(key)))
        return str(found.get("Restore", ""))

    def restore(self, key: str, days: int, tier: str) -> None:
        """Request a copy that can be read for this number of days. Do nothing if one is already being made."""
        request = {"Days": days, "GlacierJobParameters": {"Tier": tier}}
        with suppress(_UnderWayError):
            self._asked(key, lambda: self.client.restore_object(**self._at(key), RestoreRequest=request))

    def filesystem(self) -> tuple[FileSystem, str]:
        where = {} if self._endpoint is None else {"endpoint_override": self._endpoint}
        return S3FileSystem(**where), self.location.removeprefix("s3://")

    def lifecycle_rules(self) -> list[dict[str, Any]]:
        try:
            found: Any = self._asked("", lambda: self.client.get_bucket_lifecycle_configuration(Bucket=self.bucket))
        except KeyError:
            return []
        return list(found["Rules"])

    def set_lifecycle_rules(self, rules: list[Any]) -> None:
        self._asked(
            "",
            lambda: self.client.put_bucket_lifecycle_configuration(
                Bucket=self.bucket, LifecycleConfiguration={"Rules": rules}
            ),
        )

    def _put_parts(self, key: str, path: Path, replaces: str | None) -> None:
        upload = self.client.create_multipart_upload(**self._at(key), **self._encryption, ChecksumAlgorithm="SHA256")
        which = {**self._at(key), "UploadId": upload["UploadId"]}
        try:
            parts = list(self._parts(which, path))
            self.client.complete_multipart_upload(**which, **_condition(replaces), MultipartUpload={"Parts": parts})
        except BaseException:
            # Unfinished parts cost storage until the bucket's lifecycle removes them.
            with suppress(ClientError, BotoCoreError):  # report the first error, not this one
                self.client.abort_multipart_upload(**which)
            raise

    def _parts(self, which: Mapping[str, Any], path: Path) -> Iterator[Any]:
        with path.open("rb") as file:
            number = 0
            while content := file.read(self._part_bytes):
                number += 1
                checksum = _sha256(content)
                sent = self.client.upload_part(**which, PartNumber=number, Body=content, ChecksumSHA256=checksum)
                yield {"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": checksum}

    def _at(self, key: str) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": f"{self.prefix}/{key}" if self.prefix else key}

    def _asked(self, key: str, request: Callable[[], Result]) -> Result:
        """Send the request. Raise KeyError if the object does not exist, or the StorageError that describes the
        failure."""
        try:
            return request()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in MISSING:
                raise KeyError(key) from error
            if code == "InvalidObjectState":
                raise _in_glacier(key, error) from error
            if code == "RestoreAlreadyInProgress":
                raise _UnderWayError(key) from error
            if code in REPLACED:
                raise ReplacedError(f"{key} was written by another process meanwhile.", str(error)) from error
            raise self._failed(key, error) from error
        except (BotoCoreError, OSError) as error:  # OSError: from the local file
            raise self._failed(key, error) from error

    def _failed(self, key: str, error: Exception) -> StorageError:
        fix = "check KALSHI_LAKE, the network, the bucket's policy, and that this host may use it."
        return StorageError(
            f"The bucket {self.bucket} refused a request for {key}, or did not answer it.", str(error), fix
        )


def _in_glacier(key: str, error: Exception) -> InGlacierError:
    fix = "run kalshi-data lake restore with --from and --to of its hour, and try again when it can be read."
    return InGlacierError(f"{key} is in Glacier and cannot be read.", str(error), fix)


def _encryption(kind: str, key: str | None) -> dict[str, Any]:
    if kind == "none":
        return {}
    return {"ServerSideEncryption": kind} | ({"SSEKMSKeyId": key} if key else {})


def _condition(replaces: str | None) -> dict[str, Any]:
    return {"IfNoneMatch": "*"} if replaces is None else {"IfMatch": replaces}


def _sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


# The bucket's lifecycle rules, by which S3 itself moves or removes old objects.

RAW_TO_GLACIER_DAYS = 30
PROCESSED_TO_INFREQUENT_ACCESS_DAYS = 90
ABANDONED_PARTS_DAYS = 2


def wanted_rules(prefix: str) -> list[dict[str, Any]]:
    def below(folder: str) -> dict[str, str]:
        return {"Prefix": f"{prefix}/{folder}" if prefix else folder}

    def moved(name: str, folder: str, days: int, storage_class: str) -> dict[str, Any]:
        transitions = [{"Days": days, "StorageClass": storage_class}]
        return {"ID": f"kalshi {name}", "Status": "Enabled", "Filter": below(folder), "Transitions": transitions}

    return [
        moved("raw to Glacier", "raw/", RAW_TO_GLACIER_DAYS, "GLACIER"),
        moved("processed to infrequent access", "processed/", PROCESSED_TO_INFREQUENT_ACCESS_DAYS, "STANDARD_IA"),
        {
            "ID": "kalshi abandoned parts",
            "Status": "Enabled",
            "Filter": below(""),
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABANDONED_PARTS_DAYS},
        },
    ]


def apply_lifecycle(storage: BucketStorage) -> None:
    """Set our rules. Other rules of the bucket stay unchanged."""
    ours = wanted_rules(storage.prefix)
    names = {rule["ID"] for rule in ours}
    others = [rule for rule in storage.lifecycle_rules() if rule.get("ID") not in names]
    storage.set_lifecycle_rules([*others, *ours])


def lifecycle_differences(storage: BucketStorage) -> list[str]:
    """Return the names of our rules that the bucket lacks, or has with other values."""
    there = {rule.get("ID"): rule for rule in storage.lifecycle_rules()}
    return [rule["ID"] for rule in wanted_rules(storage.prefix) if not _has(there.get(rule["ID"]), rule)]


def _has(found: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    return found is not None and all(found.get(name) == value for name, value in wanted.items())
