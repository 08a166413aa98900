"""What can go wrong with a WebSocket. After any of these but SocketTimeoutError it is of no more use."""

PROTOCOL_ERROR = 1002
INVALID_DATA = 1007
MESSAGE_TOO_BIG = 1009


class SocketError(Exception):
    pass


class ConnectError(SocketError):
    """No connection came about."""


class HandshakeRefusedError(ConnectError):
    """The server answered the upgrade with an HTTP status of its own."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"the handshake was answered with {status}: {body}")
        self.status = status


class SocketTimeoutError(SocketError):
    """Nothing could be received for too long, and may be later; or nothing be sent, and the connection is given up."""


class ConnectionLostError(SocketError):
    """The connection ended without the goodbye that the protocol has for it."""


class ClosedError(SocketError):
    """The connection was closed as the protocol has it, by either side."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code}" + (f": {reason}" if reason else ""))
        self.code = code
        self.reason = reason


class ProtocolError(SocketError):
    """The server sent what the protocol forbids, or more than we take."""

    def __init__(self, what: str, close_code: int = PROTOCOL_ERROR) -> None:
        super().__init__(what)
        self.close_code = close_code
