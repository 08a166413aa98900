"""Generate the table of metrics in the documentation, from app/metrics/: name, labels and description."""

import pkgutil
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import NamedTuple, Protocol

from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

from app import metrics
from app.documentation import replace_section

METRICS_BEGIN = "<!-- metrics: written by `make docs` -->"
METRICS_END = "<!-- end of metrics -->"
SUFFIXES = {"counter": "_total", "info": "_info"}


class KnownMetric(NamedTuple):
    name: str
    kind: str
    labels: tuple[str, ...]
    description: str


class Described(Protocol):
    """A metric, or a class of collectors whose `describe` needs no instance."""

    def describe(self) -> Iterable[Metric]: ...


def known_metrics() -> list[KnownMetric]:
    """Return every metric of app/metrics/, sorted by name."""
    return sorted({_known(made, family) for made in _metrics() for family in made.describe()})


def metrics_table() -> str:
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {description} |"
        for name, kind, labels, description in known_metrics()
    ]
    return "\n".join(rows)


def with_metrics_table(document: str) -> str:
    """Return the document with the table between its two markers."""
    return replace_section(document, METRICS_BEGIN, METRICS_END, metrics_table())


def _metrics() -> Iterator[Described]:
    for module in pkgutil.iter_modules(metrics.__path__, f"{metrics.__name__}."):
        for member in vars(import_module(module.name)).values():
            is_our_collector = getattr(member, "__module__", "") == module.name and hasattr(member, "describe")
            if is_our_collector or isinstance(member, MetricWrapperBase):
                yield member


def _known(made: Described, family: Metric) -> KnownMetric:
    # No public attribute holds the labels of a metric without values.
    labels: tuple[str, ...] = tuple(getattr(made if isinstance(made, MetricWrapperBase) else family, "_labelnames"))  # noqa: B009
    return KnownMetric(family.name + SUFFIXES.get(family.type, ""), family.type, labels, family.documentation)
