"""The errors of the library: what happened, the detail, and what to do about it."""


class LakeError(Exception):
    """An error for the person who reads a lake."""

    def __init__(self, what: str, detail: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.detail = detail
        self.fix = fix

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.detail, f"Fix: {self.fix}" if self.fix else "") if line)


class NoLakeError(LakeError):
    """There is no lake at this place."""


class UnreadableError(LakeError):
    """A file of the lake, or the place where it lies, cannot be read."""


class UnknownNameError(LakeError):
    """The lake knows no market, event or series of this name. `near` lists similar names."""

    def __init__(self, name: str, near: list[str]) -> None:
        fix = f"did you mean {' or '.join(near)}?" if near else "lake.markets() lists the markets that it knows."
        super().__init__(f"The lake knows no market, event or series {name}.", fix=fix)
        self.near = near


class MissingBookError(LakeError):
    """The lake has no order book of the market at this time."""


class NotKnownYetError(LakeError):
    """The requested time is later than the time up to which the record is known."""
