"""Connectors of one Kafka Connect cluster, over its REST API: reading and acting.

The rest is in modules beside it: what failures mean (`connect_errors`), the client (`connect_rest`), Connect's JSON and
kplan's values (`connect_model`), one change's job (`connect_job`), settling (`connect_settle`) and validation
(`connect_check`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kplan.backends.base import Outcome, Progress, Reading
from kplan.backends.connect_check import VALIDATION_SECONDS, Validator, is_checked
from kplan.backends.connect_job import Captured, Job
from kplan.backends.connect_model import config_of, connector_of, health_of, listing
from kplan.backends.connect_rest import NAME, Patience, Rest, path_of, session_of, supports, without_login
from kplan.backends.connect_settle import Heartbeat, Settler
from kplan.diagnostics import Conflict, Diagnostic, KplanError, Unsupported
from kplan.model import Action, Address, Change, Facts, Target
from kplan.secrets import Mask


class ConnectConnectors:
    """The connectors of one Connect cluster, with `heartbeat` for topics' end offsets (the sum of all partitions)."""

    kind = "connector"

    def __init__(
        self,
        urls: Sequence[str],
        *,
        username: str = "",
        password: str = "",
        ca: str = "",
        certificate: str = "",
        key: str = "",
        request_timeout: float = 30,
        settle_timeout: float = 120,
        attempts: int = 5,
        delay: float = 1,
        parallel: int = 6,
        steady: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        heartbeat: Heartbeat | None = None,
        mask: Mask | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.mask = Mask() if mask is None else mask
        self._parallel = max(parallel, 1)
        self._version = ""
        patience = Patience(attempts, delay, settle_timeout, clock, sleep, jitter)
        plain, login = without_login(urls)
        session = session_of(username or login[0], password or login[1], certificate, key, self._parallel)
        self.mask.add([password, login[1]])
        self._rest = Rest(plain, session, ca or True, request_timeout, patience, self.mask)
        self._settler = Settler(self._rest, self.mask, lambda: self.version, settle_timeout, steady, heartbeat)

    def identify(self) -> Target:
        """Who answers, at the first try: to wait for a worker is the caller's business."""
        data = self._rest.once("GET", "/")
        if not isinstance(data, dict) or "kafka_cluster_id" not in data:
            raise Unsupported(f"{self._rest.url} does not answer like Kafka Connect", help="check `connect.url`")
        self._version = str(data.get("version", ""))
        return Target(
            cluster_id=str(data["kafka_cluster_id"]), connect_url=self._rest.url, connect_version=self._version
        )

    @property
    def version(self) -> str:
        """The version of the worker that was asked first."""
        if not self._version:
            self._version = str((self._rest.call("GET", "/") or {}).get("version", ""))
        return self._version

    def read(self, names: Collection[str] | None) -> Reading:
        """The live connectors, by one request unless a wanted one is missing from its answer."""
        # Connect leaves out what has no status yet (for 0.2 s after a 201, and for longer on another worker).
        listed = listing(self._rest.call)
        if names is not None and not set(names) <= listed.keys():
            listed = {**self._unreported(listed), **listed}
        wanted = listed.keys() if names is None else listed.keys() & set(names)
        found = {name: listed[name] for name in sorted(wanted)}
        return Reading(
            resources={Address("connector", n): connector_of(n, data, self.mask) for n, data in found.items()},
            names=frozenset(listed),
            health={Address("connector", n): health_of(data, self.mask) for n, data in found.items()},
        )

    def _unreported(self, listed: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """The connectors that are there and were left out, with what is known of them."""
        found: dict[str, Mapping[str, Any]] = {}
        for name in self._rest.call("GET", "/connectors") or ():
            if name in listed or not NAME.match(name):
                continue
            try:
                found[name] = {"info": self._rest.call("GET", path_of(name))}
            except Conflict:
                continue
        return found

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """What Connect has against the configs that are new or change."""
        to_check = [change for change in changes if is_checked(change)]
        if not to_check:
            return {}
        self._hide(to_check)
        validator = Validator(self._rest, self.mask, self.version, VALIDATION_SECONDS)
        with ThreadPoolExecutor(min(self._parallel, 8)) as pool:
            found = pool.map(validator.diagnostics, to_check)
            return {change.address: tuple(problems) for change, problems in zip(to_check, found, strict=True)}

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """The offsets of what is about to go, and whether it is there at all; a delete that keeps them needs none."""
        going = [c for c in changes if c.action in (Action.DELETE, Action.REPLACE, Action.MOVE) and not c.keep_offsets]
        with ThreadPoolExecutor(self._parallel) as pool:
            return dict(zip([c.address for c in going], pool.map(self._captured, going), strict=True))

    def _captured(self, change: Change) -> Mapping[str, Any]:
        if not supports(self.version, "read_offsets"):
            return {"existed": change.before is not None}
        name = (change.source or change.address).name
        try:
            data = self._rest.call("GET", path_of(name, "offsets")) or {}
        except Conflict:
            return {"existed": False}
        return {"existed": True, "offsets": list(data.get("offsets") or [])}

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """The changes are sent, `parallel` at a time."""
        self._hide(changes)
        self._settler.mark(changes)

        def outcome(change: Change) -> Outcome:
            return self._act(change, captured.get(change.address, {}))

        with ThreadPoolExecutor(self._parallel) as pool:
            return dict(zip([c.address for c in changes], pool.map(outcome, changes), strict=True))

    def _act(self, change: Change, captured: Captured) -> Outcome:
        if change.is_ledger_only:
            return Outcome()
        try:
            note = Job(self._rest, self.version, change, captured).run()
        except KplanError as failure:
            return Outcome(failure)
        if change.action is Action.UPDATE:  # the old task may have beaten meanwhile
            self._settler.mark([change])
        return Outcome(note=note)

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """All of them have held or failed."""
        return self._settler.settle(changes, progress)

    def _hide(self, changes: Iterable[Change]) -> None:
        """The secrets of these changes are in no message."""
        for change in changes:
            self.mask.add_config(config_of(change.before))
            self.mask.add_config(config_of(change.after))

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        """None: only topics have facts."""
        return {}

    def close(self) -> None:
        self._rest.close()


__all__ = ["ConnectConnectors"]
