"""Connectors of one Kafka Connect cluster, over its REST API: reading and acting.

The rest is in modules beside it: what failures mean (`connect_errors`), the client (`connect_rest`), Connect's JSON and
kplan's values (`connect_model`), one change's job (`connect_job`), settling (`connect_settle`), incremental snapshots
(`connect_incremental`), what is dropped in databases (`connect_drops`), validation (`connect_check`) and which settings
are passwords (`connect_passwords`).
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeVar

from kplan.diagnostics import Conflict, Diagnostic, KplanError, Unsupported
from kplan.kinds.connector.options import connector_options, drops_of, keeps_offsets, snapshots_of
from kplan.kinds.topic.placement import Placement
from kplan.model import Action, Address, Change, Connector, Facts, Resource, Target
from kplan.model.masks import Mask
from kplan.servers.base import CONNECT, Outcome, Progress, Reading, Tell, untold
from kplan.servers.connect.check import VALIDATION_SECONDS, Validator, is_checked
from kplan.servers.connect.documents import config_of, connector_of, health_of, listing
from kplan.servers.connect.drops import Drops
from kplan.servers.connect.incremental import IncrementalSnapshots, Signals
from kplan.servers.connect.job import Captured, Job
from kplan.servers.connect.passwords import declared_by, passwords_of
from kplan.servers.connect.rest import NAME, Patience, Rest, context_of, path_of, session_of, supports, without_login
from kplan.servers.connect.settle import Heartbeat, Settler
from kplan.servers.databases.base import Databases

T = TypeVar("T")


class ConnectConnectors:
    """The connectors of one Connect cluster, with `heartbeat` for topics' end offsets (the sum of all partitions)."""

    kind = "connector"
    server = CONNECT
    check_name = "config/validate"

    def __init__(
        self,
        urls: Sequence[str],
        *,
        username: str = "",
        password: str = "",
        ca: str = "",
        certificate: str = "",
        key: str = "",
        key_password: str = "",
        request_timeout: float = 30,
        settle_timeout: float = 120,
        attempts: int = 5,
        delay: float = 1,
        parallel: int = 6,
        steady: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        heartbeat: Heartbeat | None = None,
        signals: Callable[[], Signals] | None = None,
        databases: Databases | None = None,
        mask: Mask | None = None,
        jitter: Callable[[], float] = random.random,
        tell: Tell = untold,
    ) -> None:
        self._tell = tell
        self.mask = Mask() if mask is None else mask
        self._parallel = max(parallel, 1)
        self._version = ""
        patience = Patience(attempts, delay, settle_timeout, clock, sleep, jitter)
        plain, login = without_login(urls)
        user, word = username or login[0], password or login[1]
        context = context_of(ca, certificate, key, key_password)
        session = session_of(user, word, context, self._parallel)
        self.mask.add([word, key_password, base64.b64encode(f"{user}:{word}".encode()).decode() if word else ""])
        self._rest = Rest(plain, session, ca or True, request_timeout, patience, self.mask)
        self._settler = Settler(self._rest, self.mask, lambda: self.version, settle_timeout, steady, heartbeat, tell)
        self._signals, self._settle_timeout, self._clock = signals, settle_timeout, clock
        self._drops = Drops(databases, self._rest.url, patience.until)

    @property
    def retries(self) -> int:
        return self._rest.retries

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
            found = self._told("connectors checked", pool.map(validator.diagnostics, to_check), len(to_check))
            return {change.address: tuple(problems) for change, problems in zip(to_check, found, strict=True)}

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """The offsets of what is about to go, and whether it is there at all; a delete that keeps them needs none."""
        going = [
            c for c in changes if c.action in (Action.DELETE, Action.REPLACE, Action.MOVE) and not keeps_offsets(c)
        ]
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
            outcomes = self._told("connectors changed", pool.map(outcome, changes), len(changes))
            return dict(zip([c.address for c in changes], outcomes, strict=True))

    def _told(self, what: str, results: Iterable[T], total: int) -> Iterator[T]:
        """The results; how many there are is told as they come."""
        self._tell(what, 0, total)
        for done, result in enumerate(results, 1):
            self._tell(what, done, total)
            yield result

    def _act(self, change: Change, captured: Captured) -> Outcome:
        if change.is_ledger_only:
            return Outcome()
        try:
            if connector_options(change).stops and self._incremental:
                self._incremental.stop(change)
            undoes = change.reason == "undo" and change.action is Action.CREATE
            if drops_of(change) and undoes and (why := self._drops.gone(change)):
                return Outcome(kept=why)
            if drops_of(change) and change.action in (Action.DELETE, Action.REPLACE):
                self._drops.refuse(change)
            note = Job(self._rest, self.version, change, captured, self._drops.run).run()
        except KplanError as failure:
            return Outcome(failure)
        return Outcome(note=note)

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """All of them have held or failed; where that is asked, the rows that new tables already had are read."""
        outcomes = dict(self._settler.settle(changes, progress))
        deleted = [c for c in changes if drops_of(c) and c.action is Action.DELETE and outcomes[c.address].ok]
        outcomes |= {c.address: self._dropped(c, progress) for c in deleted}
        asked = [c for c in changes if snapshots_of(c) and outcomes[c.address].ok]
        if asked and self._incremental:
            outcomes |= self._incremental.run(asked, progress)
        return outcomes

    def _dropped(self, change: Change, progress: Progress) -> Outcome:
        progress(change.address, f"dropping {' and '.join(drops_of(change))}")
        try:
            return Outcome(note=self._drops.run(change))
        except KplanError as failure:
            return Outcome(failure)

    @cached_property
    def _incremental(self) -> IncrementalSnapshots | None:
        return IncrementalSnapshots(self._signals(), self._settle_timeout, self._clock) if self._signals else None

    def _hide(self, changes: Iterable[Change]) -> None:
        """The secrets of these changes are in no message."""
        for change in changes:
            self.mask.add_config(config_of(change.before))
            self.mask.add_config(config_of(change.after))

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        """None: only topics have facts."""
        return {}

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        return frozenset()

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        return {}

    def placement(self, names: Collection[str]) -> Placement:
        return Placement()

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        """What the plugins declare as passwords, those of transformations and converters too."""
        declared = declared_by(self._rest)
        found = {r.address: passwords_of(r, declared) for r in resources if isinstance(r, Connector)}
        return {address: keys for address, keys in found.items() if keys is not None}

    # -- operations that declare nothing
    def restart(self, name: str, failed_only: bool) -> None:
        """The connector and its tasks, or only what has failed of them, are being restarted (KIP-745, Connect 3.0)."""
        only = str(failed_only).lower()
        self._rest.call("POST", path_of(name, f"restart?includeTasks=true&onlyFailed={only}"))

    def offsets(self, name: str) -> list[Any]:
        """Its committed offsets (KIP-875, Connect 3.5)."""
        return list((self._rest.call("GET", path_of(name, "offsets")) or {}).get("offsets") or [])

    def put_offsets(self, name: str, offsets: Sequence[Any] | None) -> None:
        """Its offsets are these, or none at all; it must be STOPPED (KIP-875, Connect 3.6)."""
        if offsets is None:
            self._rest.call("DELETE", path_of(name, "offsets"))
        else:
            self._rest.call("PATCH", path_of(name, "offsets"), {"offsets": list(offsets)})

    def close(self) -> None:
        self._rest.close()
        if self._signals is not None and "_incremental" in self.__dict__ and self._incremental:
            self._incremental.signals.close()


__all__ = ["ConnectConnectors"]
