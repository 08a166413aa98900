"""Where a browser goes after it has logged in: to the page that it asked for before."""

from urllib.parse import quote, urlencode

from flask import Request

LOGIN = "/login"
HOME = "/"
LONGEST = 2_000


def login_address(asked: Request) -> str:
    """Return the address of the login page, which remembers the page that was asked for."""
    query = f"?{asked.query_string.decode('latin-1')}" if asked.query_string else ""
    page = quote(asked.path) + query
    return LOGIN if page in {HOME, LOGIN} else f"{LOGIN}?{urlencode({'next': own_page(page)})}"


def own_page(wanted: str) -> str:
    """Return a page of this service as it is, and the first page for all else: an address may lead elsewhere."""
    # Browsers leave out tabs and line ends, and take a backslash for a slash.
    is_plain = all("!" <= letter <= "~" and letter != "\\" for letter in wanted)
    is_own = wanted.startswith("/") and not wanted.startswith("//") and not wanted.startswith(LOGIN)
    return wanted if is_plain and is_own and len(wanted) <= LONGEST else HOME
