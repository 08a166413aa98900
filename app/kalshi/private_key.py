"""Keys in settings. It stands alone: settings load without the cryptography that signing.py needs."""

from app.runtime.secrets import Secret


class PrivateKey(Secret):
    """A private key in PEM. What is none is refused at once, and never shown."""

    __slots__ = ()

    def __init__(self, value: str) -> None:
        # Not above: loading the library takes a tenth of a second, which only those who have a key need to wait.
        from app.kalshi.signing import signing_function  # noqa: PLC0415

        signing_function(value)
        super().__init__(value)
