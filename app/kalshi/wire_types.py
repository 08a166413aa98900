"""Numbers and times as the exchange writes them, limited to what our columns can hold."""

from typing import Annotated

from msgspec import Meta

LOWEST_BIGINT, HIGHEST_BIGINT = -(2**63), 2**63 - 1
# The two centuries that the tables take: milliseconds read as seconds, or the reverse, lie outside.
FIRST_MS, END_MS = 946_684_800_000, 7_258_118_400_000

SubscriptionId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Sequence = Annotated[int, Meta(ge=0, le=HIGHEST_BIGINT)]
Clock = Annotated[int, Meta(ge=0, le=HIGHEST_BIGINT)]
BigInteger = Annotated[int, Meta(ge=LOWEST_BIGINT, le=HIGHEST_BIGINT)]
Milliseconds = Annotated[int, Meta(ge=FIRST_MS, lt=END_MS)]
# The older wire's: whole cents of a dollar, and whole contracts.
Cents = Annotated[int, Meta(ge=0, le=100)]
Contracts = Annotated[int, Meta(ge=-(10**15), le=10**15)]
