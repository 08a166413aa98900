"""What a bucket does with old objects by itself."""

from typing import Any

from app.lake.bucket import BucketStorage

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
    """Other rules of the bucket stay as they are."""
    ours = wanted_rules(storage.prefix)
    names = {rule["ID"] for rule in ours}
    others = [rule for rule in storage.lifecycle_rules() if rule.get("ID") not in names]
    storage.set_lifecycle_rules([*others, *ours])


def lifecycle_differences(storage: BucketStorage) -> list[str]:
    """The names of rules that the bucket lacks, or has otherwise."""
    there = {rule.get("ID"): rule for rule in storage.lifecycle_rules()}
    return [rule["ID"] for rule in wanted_rules(storage.prefix) if not _has(there.get(rule["ID"]), rule)]


def _has(found: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    return found is not None and all(found.get(name) == value for name, value in wanted.items())
