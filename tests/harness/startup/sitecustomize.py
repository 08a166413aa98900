"""Every Python process of a test runs this first, since its folder is on PYTHONPATH: it spares what only packages of
development cost at the start. It stands alone: Python looks for a module of this name.

gevent looks for plug-ins 25 times while it patches, each time in the metadata of every installed package. What is
installed does not change meanwhile: one look is enough.
"""

import sys


class Spare:
    """Waits for this to be imported: not every process has it."""

    @staticmethod
    def find_spec(name, *_):
        """Leave the finding to others."""
        if name == "gevent.events":
            look_once()


def look_once():
    from importlib import metadata  # noqa: PLC0415

    look, found = metadata.entry_points, []

    def entry_points(**wanted):
        if not found:
            found.append(look())
        return found[0].select(**wanted)

    metadata.entry_points = entry_points


sys.meta_path.insert(0, Spare)
