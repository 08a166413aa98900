from typing import Annotated

import msgspec

from app.kalshi.token_bucket import TOKENS_PER_CALL, Limits


class BucketLimit(msgspec.Struct, frozen=True):
    refill_rate: Annotated[int, msgspec.Meta(ge=1)]
    bucket_capacity: Annotated[int, msgspec.Meta(ge=TOKENS_PER_CALL)]

    @property
    def limits(self) -> Limits:
        return Limits(self.refill_rate, self.bucket_capacity)


class AccountLimits(msgspec.Struct, frozen=True):
    read: BucketLimit
    usage_tier: str = ""
