from typing import Literal

import msgspec

Shape = Literal["nested", "flat"]


class ErrorBodies:
    """`nested` is what the exchange answers, `flat` what its documents say."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def body(self, code: str, message: str) -> bytes:
        if self._shape == "nested":
            return msgspec.json.encode({"error": {"code": code, "message": message}})
        if code == "too_many_requests":
            return msgspec.json.encode({"error": message})
        return msgspec.json.encode({"code": code, "message": message})
