"""Names of topics that Kafka takes for the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kplan.diagnostics import Diagnostic, codes, error
from kplan.kinds.topic import configs as catalog
from kplan.model import Resource, Topic


def find_collisions(resources: Iterable[Resource]) -> Iterator[Diagnostic]:
    """Yield an error for each topic whose name differs from another's only in `.` and `_`."""
    seen: dict[str, Topic] = {}
    for resource in resources:
        if not isinstance(resource, Topic):
            continue
        other = seen.setdefault(catalog.metric_name(resource.name), resource)
        if other is not resource:
            yield error(
                codes.K110,
                "two topic names differ only in `.` and `_`",
                f"{resource.name} and {other.name}",
                help="Kafka refuses the second one, for both make the same metric: rename one",
                span=resource.origin.span,
                address=resource.address,
            )
