"""A database server's folder as it was at one moment, put in place of the later one."""

import subprocess


class Backup:
    """Taken while the server stands still, so it is whole."""

    def __init__(self, server):
        self._server = server
        self._copy = server.folder / "backup"
        server.stop()
        # With its owner, who is not the one that runs the tests where that is root.
        subprocess.run(["cp", "-a", server.data, self._copy], check=True)
        server.start()

    def restore(self):
        """Into the place of a server that has died with its disk."""
        self._server.kill()
        # Its last processes may still write there.
        self._server.data.rename(self._server.folder / "lost")
        self._copy.rename(self._server.data)
        self._server.start()
