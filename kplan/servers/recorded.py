"""A cluster as a snapshot knows it: read and never changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kplan.diagnostics import Diagnostic, Unsupported
from kplan.kinds.registry import KINDS
from kplan.kinds.topic.placement import Placement
from kplan.model import Address, Change, Facts, Live, Resource, Target
from kplan.servers.base import Outcome, Progress, Reading


class Recorded:
    """The resources of one kind that were live when the snapshot was taken."""

    check_name = ""  # nothing can be checked

    def __init__(self, kind: str, live: Live) -> None:
        self.kind = kind
        self.server = KINDS[kind].server
        self._live = live

    @property
    def retries(self) -> int:
        return 0

    def identify(self) -> Target:
        return self._live.target

    def read(self, names: Collection[str] | None) -> Reading:
        wanted = None if names is None else set(names)
        found = {
            a: r
            for a, r in self._live.resources.items()
            if a.kind == self.kind and (wanted is None or a.name in wanted)
        }
        health = {a: h for a, h in self._live.health.items() if a in found}
        hidden = frozenset(a for a in self._live.hidden if a.kind == self.kind)
        every = frozenset(a.name for a in self._live.resources if a.kind == self.kind)
        return Reading(found, every, hidden, health)

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        """Return the ids that the snapshot has of these topics; an older one has none."""
        wanted = set(names)
        return {a: id for a, id in self._live.ids.items() if a.kind == self.kind and a.name in wanted}

    def placement(self, names: Collection[str]) -> Placement:
        """Not known: a snapshot does not say where replicas are."""
        return Placement()

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """Nothing: there is no server to be asked."""
        return {}

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        """What was read of these topics; of those that are left out nothing is known."""
        wanted = set(names)
        return {a: facts for a, facts in self._live.facts.items() if a.name in wanted}

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        """None that is known: a snapshot holds those in the topics that it has facts of."""
        return frozenset()

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        return {}

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        raise _only_read()

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        raise _only_read()

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        raise _only_read()

    def close(self) -> None: ...


def _only_read() -> Unsupported:
    return Unsupported("a snapshot is only read", help="apply to the environment itself")
