"""Private keys in settings, alone in this file: settings load without the cryptography that signing.py needs."""

from app.runtime.secrets import Secret


class PrivateKey(Secret):
    """A private key in PEM. Any other text is refused immediately, without showing it."""

    __slots__ = ()

    def __init__(self, value: str) -> None:
        # Imported here: loading the library takes a tenth of a second, which is wasted where no key is set.
        from app.kalshi.signing import signing_function  # noqa: PLC0415

        signing_function(value)
        super().__init__(value)
