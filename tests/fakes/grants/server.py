"""The server of grants: a JSON file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from kplan.diagnostics import Diagnostic, Rejected
from kplan.kinds.topic.placement import Placement
from kplan.model import Action, Address, Change, Facts, Resource, Target
from kplan.servers.base import BackendState, Outcome, Progress

HANGS = "GRANTS_HANG"  # set: it acts, and never answers


class GrantServer:
    """Says yes to a grant that is there already, and does not tell seals."""

    kind = "grant"
    server = "vault"
    check_name = "rehearsal"
    retries = 0

    def __init__(self, path: Path, fail: Sequence[str] = ()) -> None:
        self.path = path
        self.fail = frozenset(fail)

    def _limits(self) -> dict[str, int]:
        limits: dict[str, int] = json.loads(self.path.read_text("utf-8")) if self.path.exists() else {}
        return limits

    def identify(self) -> Target:
        return Target()

    def read(self, names: Collection[str] | None) -> BackendState:
        from tests.fakes.grants.kind import Grant

        limits = self._limits()
        grants = {name: Grant(name, limit) for name, limit in limits.items() if names is None or name in names}
        return BackendState({grant.address: grant for grant in grants.values()}, frozenset(limits))

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        return {}

    def placement(self, names: Collection[str]) -> Placement:
        return Placement()

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        return {change.address: () for change in changes}

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        return {}

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        from tests.fakes.grants.kind import Grant

        limits = self._limits()
        outcomes = {}
        for change in changes:
            name = change.address.name
            if str(change.address) in self.fail:
                refusal = Rejected(f"{name} is refused")
                refusal.applied = False
                outcomes[change.address] = Outcome(refusal)
                continue
            if change.action is Action.DELETE:
                limits.pop(name, None)
            elif isinstance(change.after, Grant):
                limits[name] = max(limits.get(name, 0), change.after.limit)
            outcomes[change.address] = Outcome()
        self.path.write_text(json.dumps(limits), "utf-8")
        if os.environ.get(HANGS):
            time.sleep(3600)
        return outcomes

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        return {change.address: Outcome() for change in changes}

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        return {}

    def watch(self, addresses: Collection[Address], state: str) -> None:
        """Do nothing: no change of this kind takes a right of kplan's own user."""

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        return frozenset()

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        return {}

    def close(self) -> None: ...
