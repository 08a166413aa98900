class Problem(Exception):  # noqa: N818 - an answer, not a fault of the program
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def bad_request(message: str) -> Problem:
    return Problem(400, "bad_request", message)


def not_found() -> Problem:
    return Problem(404, "not_found", "not found")
