"""What a backend says of resources that hold no records, have no id, and are on the server of the topics."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kplan.diagnostics import Diagnostic
from kplan.kinds.topic.placement import Placement
from kplan.model import Address, Change, Facts, Resource, Target
from kplan.servers.base import KAFKA


class PlainBackend:
    """The answers that are the same for all such resources; a backend inherits it, and reads, acts and settles."""

    server = KAFKA
    check_name = ""  # nothing can be checked beforehand
    retries = 0  # those of a shared client are counted with the topics

    def identify(self) -> Target:
        """Return nothing: the topics' backend knows the cluster."""
        return Target()

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        return {}

    def placement(self, names: Collection[str]) -> Placement:
        return Placement()

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        return {}

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        return {}

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        return {}

    def watch(self, addresses: Collection[Address], state: str) -> None:
        """Do nothing: no change of this kind takes a right of kplan's own user."""

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        return frozenset()

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        return {}

    def close(self) -> None:
        """Leave the client to the topics' backend, whose it is."""
