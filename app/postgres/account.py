import os
import pwd
import stat
from pathlib import Path
from typing import NamedTuple

from app.errors import ServerError

CANDIDATES = ("postgres", "nobody")


class Account(NamedTuple):
    """The unprivileged account that the server runs as when root starts it: PostgreSQL refuses to be root."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)

    def can_enter(self, folder: Path) -> bool:
        """Whether every folder on the way is open to others. Ownership is not looked at: our folders are root's."""
        resolved = folder.resolve()
        return all(step.stat().st_mode & stat.S_IXOTH for step in (resolved, *resolved.parents))


def server_account(data: Path) -> Account | None:
    """None: the caller's own account will do. Existing data keeps the owner it has."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ServerError(
        "PostgreSQL does not run as root, and no account was found to run it as.",
        f"Looked for: {', '.join(CANDIDATES)}",
        "start the command as an ordinary user, or create an account: useradd --system postgres.",
    )
