"""Connectors of one Kafka Connect cluster, over its REST API: reading and acting.

Other modules of the package have the rest: what failures mean (`errors`), the client (`rest`), Connect's JSON and
kplan's values (`documents`), one change's requests (`job`), settling (`settle`), incremental snapshots (`incremental`),
what is dropped in databases (`drops`), validation (`check`) and which settings are passwords (`passwords`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from kplan.diagnostics import Conflict, Diagnostic, KplanError, Rejected, Unsupported
from kplan.kinds.connector.names import CONNECTOR_NAME, alias_of, qualify
from kplan.kinds.connector.options import connector_options, drops_of, keeps_offsets, snapshots_of
from kplan.kinds.topic.placement import Placement
from kplan.model import Action, Address, Change, Connector, Facts, Resource, Target
from kplan.model.masks import Mask
from kplan.servers.access import USUAL_PACING, Access, Pacing
from kplan.servers.base import CONNECT, BackendState, Outcome, Progress, ReportProgress, ignore_progress
from kplan.servers.connect.documents import config_of, connector_of, health_of, list_connectors
from kplan.servers.connect.passwords import create_lookup, passwords_of
from kplan.servers.connect.rest import PEER, path_of, supports
from kplan.servers.rest import Rest, open_rest

if TYPE_CHECKING:  # what only a change needs is imported with the first one
    from kplan.servers.connect.drops import Drops
    from kplan.servers.connect.incremental import IncrementalSnapshots, Signals
    from kplan.servers.connect.job import Captured, Job
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
        access: Access,
        pacing: Pacing = USUAL_PACING,
        *,
        heartbeat: Heartbeat | None = None,
        signals: Callable[[], Signals] | None = None,
        databases: Databases | None = None,
        mask: Mask | None = None,
        tell: ReportProgress = ignore_progress,
        alias: str = "",
    ) -> None:
        """`alias` is what the environment calls this Connect; empty for the default one."""
        self._tell = tell
        self.alias = alias
        self.find_peer: Callable[[str], ConnectConnectors] = self._find_self  # the Connect of a connector
        self.mask = Mask() if mask is None else mask
        self._parallel = max(pacing.parallel, 1)
        self._version = ""
        self._pacing = pacing
        self._rest = open_rest(PEER, access, pacing, self.mask)
        self._heartbeat, self._signals, self._databases = heartbeat, signals, databases

    def _find_self(self, name: str) -> ConnectConnectors:
        """Return this Connect, where it is the only one. Raises Rejected for a name of another one."""
        if alias_of(name) != self.alias:
            raise Rejected(
                f"{name!r} is not a name for a connector",
                help="use letters, digits, dot, underscore and hyphen; this environment has one Connect",
            )
        return self

    @cached_property
    def _settler(self) -> Settler:
        from kplan.servers.connect.settle import Settler

        pacing = self._pacing
        return Settler(
            self._rest, self.mask, lambda: self.version, pacing.settle_timeout, pacing.steady, self._heartbeat,
            self._tell,
        )  # fmt: skip

    @cached_property
    def _drops(self) -> Drops:
        from kplan.servers.connect.drops import Drops

        return Drops(self._databases, self._rest.url, self._rest.patience.wait_until)

    @property
    def rest(self) -> Rest:
        """Return the client of this Connect."""
        return self._rest

    @property
    def retries(self) -> int:
        return self._rest.retries

    def identify(self) -> Target:
        """Return who answers the first attempt: the caller decides whether to wait for a worker."""
        data = self._rest.send_once("GET", "/")
        if not isinstance(data, dict) or "kafka_cluster_id" not in data:
            raise Unsupported(f"{self._rest.url} does not answer like Kafka Connect", help="check `connect.url`")
        self._version = str(data.get("version", ""))
        return Target(
            cluster_id=str(data["kafka_cluster_id"]), connect_url=self._rest.url, connect_version=self._version
        )

    @property
    def version(self) -> str:
        """Return the version of the worker that was asked first."""
        if not self._version:
            self._version = str((self._rest.call("GET", "/") or {}).get("version", ""))
        return self._version

    def select(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that are of this Connect."""
        return [name for name in names if alias_of(name) == self.alias]

    def read(self, names: Collection[str] | None) -> BackendState:
        """Read the live connectors, by one request unless a requested one is missing from its answer."""
        # Connect leaves out connectors without a status (for 0.2 s after a 201, and longer on another worker).
        listed = {qualify(self.alias, name): data for name, data in list_connectors(self._rest.call).items()}
        if names is not None and not set(names) <= listed.keys():
            listed = {**self._read_unreported(listed), **listed}
        wanted = listed.keys() if names is None else listed.keys() & set(names)
        entries = {name: listed[name] for name in sorted(wanted)}
        return BackendState(
            resources={Address("connector", n): connector_of(n, data, self.mask) for n, data in entries.items()},
            names=frozenset(listed),
            health={Address("connector", n): health_of(data, self.mask) for n, data in entries.items()},
        )

    def _read_unreported(self, listed: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Read the connectors that exist and were left out, as far as they are known."""
        entries: dict[str, Mapping[str, Any]] = {}
        for known in self._rest.call("GET", "/connectors") or ():
            name = qualify(self.alias, known)
            if name in listed or not CONNECTOR_NAME.match(known):
                continue
            try:
                entries[name] = {"info": self._rest.call("GET", path_of(name))}
            except Conflict:
                continue
        return entries

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """Return Connect's objections to the configs that are new or change."""
        if not changes:
            return {}
        from kplan.servers.connect.check import VALIDATION_TIMEOUT_S, Validator, needs_check

        to_check = [change for change in changes if needs_check(change)]
        if not to_check:
            return {}
        self._hide_secrets(to_check)
        validator = Validator(self._rest, self.mask, self.version, VALIDATION_TIMEOUT_S)
        with ThreadPoolExecutor(min(self._parallel, 8)) as pool:
            results = self._count_results("connectors checked", pool.map(validator.validate, to_check), len(to_check))
            return {change.address: tuple(problems) for change, problems in zip(to_check, results, strict=True)}

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """Return the offsets of connectors to delete, and whether each exists; none where they are kept."""
        to_delete = [
            c for c in changes if c.action in (Action.DELETE, Action.REPLACE, Action.MOVE) and not keeps_offsets(c)
        ]
        with ThreadPoolExecutor(self._parallel) as pool:
            return dict(zip([c.address for c in to_delete], pool.map(self._capture_offsets, to_delete), strict=True))

    def _capture_offsets(self, change: Change) -> Mapping[str, Any]:
        name = (change.source or change.address).name
        peer = self.find_peer(name)
        if not supports(peer.version, "read_offsets"):
            return {"existed": change.before is not None}
        try:
            data = peer.rest.call("GET", path_of(name, "offsets")) or {}
        except Conflict:
            return {"existed": False}
        return {"existed": True, "offsets": list(data.get("offsets") or [])}

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Send the changes, `parallel` at a time."""
        self._hide_secrets(changes)
        self._settler.record_heartbeats(changes)

        def act_on_change(change: Change) -> Outcome:
            return self._act(change, captured.get(change.address, {}))

        with ThreadPoolExecutor(self._parallel) as pool:
            outcomes = self._count_results("connectors changed", pool.map(act_on_change, changes), len(changes))
            return dict(zip([c.address for c in changes], outcomes, strict=True))

    def _count_results(self, action: str, results: Iterable[T], total: int) -> Iterator[T]:
        """Yield the results, and report their number as they come."""
        self._tell(action, 0, total)
        for done, result in enumerate(results, 1):
            self._tell(action, done, total)
            yield result

    def _act(self, change: Change, captured: Captured) -> Outcome:
        if change.is_ledger_only:
            return Outcome()
        try:
            if connector_options(change).stops and self._incremental:
                self._incremental.stop(change)
            is_undo = change.reason == "undo" and change.action is Action.CREATE
            if drops_of(change) and is_undo and (reason := self._drops.describe_missing(change)):
                return Outcome(kept=reason)
            if drops_of(change) and change.action in (Action.DELETE, Action.REPLACE):
                self._drops.refuse_unreachable(change)
            note = self._make_job(change, captured).run()
        except KplanError as failure:
            return Outcome(failure)
        return Outcome(note=note)

    def _make_job(self, change: Change, captured: Captured) -> Job:
        """Return the change's requests; a move from another Connect sends some of them there."""
        from kplan.servers.connect.job import Job

        self.find_peer(change.address.name)
        peer = self.find_peer(change.source.name) if change.source is not None else self
        there = None if peer is self else Job(peer.rest, peer.version, change, captured)
        return Job(self._rest, self.version, change, captured, self._drops.drop, there)

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Wait until all changes hold or have failed; then read the existing rows of new tables, where declared."""
        outcomes = dict(self._settler.settle(changes, progress))
        deleted = [c for c in changes if drops_of(c) and c.action is Action.DELETE and outcomes[c.address].ok]
        outcomes |= {c.address: self._drop_leftovers(c, progress) for c in deleted}
        with_snapshots = [c for c in changes if snapshots_of(c) and outcomes[c.address].ok]
        if with_snapshots and self._incremental:
            outcomes |= self._incremental.run(with_snapshots, progress)
        return outcomes

    def _drop_leftovers(self, change: Change, progress: Progress) -> Outcome:
        progress(change.address, f"dropping {' and '.join(drops_of(change))}")
        try:
            return Outcome(note=self._drops.drop(change))
        except KplanError as failure:
            return Outcome(failure)

    @cached_property
    def _incremental(self) -> IncrementalSnapshots | None:
        if self._signals is None:
            return None
        from kplan.servers.connect.incremental import IncrementalSnapshots

        return IncrementalSnapshots(self._signals(), self._pacing.settle_timeout, self._pacing.clock)

    def _hide_secrets(self, changes: Iterable[Change]) -> None:
        """Mask the secrets of these changes in all messages."""
        for change in changes:
            self.mask.add_config(config_of(change.before))
            self.mask.add_config(config_of(change.after))

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        """Return none: only topics have facts."""
        return {}

    def watch(self, addresses: Collection[Address], state: str) -> None:
        """Note whether the run creates bindings: connectors that are refused at first are tried again."""
        from kplan.kinds.acl.binding import AclBinding

        self._settler.are_bindings_new = any(address.kind == AclBinding.kind for address in addresses)

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        return frozenset()

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        return {}

    def placement(self, names: Collection[str]) -> Placement:
        return Placement()

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        """Return what the plugins declare as passwords, with those of transformations and converters."""
        declared = create_lookup(self._rest)
        keys_by_address = {r.address: passwords_of(r, declared) for r in resources if isinstance(r, Connector)}
        return {address: keys for address, keys in keys_by_address.items() if keys is not None}

    # -- operations that declare nothing
    def restart(self, name: str, failed_only: bool) -> None:
        """Restart the connector and its tasks, or only what failed of them (KIP-745, Connect 3.0)."""
        only = str(failed_only).lower()
        self._rest.call("POST", path_of(name, f"restart?includeTasks=true&onlyFailed={only}"))

    def offsets(self, name: str) -> list[Any]:
        """Return its committed offsets (KIP-875, Connect 3.5)."""
        return list((self._rest.call("GET", path_of(name, "offsets")) or {}).get("offsets") or [])

    def put_offsets(self, name: str, offsets: Sequence[Any] | None) -> None:
        """Replace its offsets, or delete them; it must be STOPPED (KIP-875, Connect 3.6)."""
        if offsets is None:
            self._rest.call("DELETE", path_of(name, "offsets"))
        else:
            self._rest.call("PATCH", path_of(name, "offsets"), {"offsets": list(offsets)})

    def close(self) -> None:
        self._rest.close()
        if self._signals is not None and "_incremental" in self.__dict__ and self._incremental:
            self._incremental.signals.close()


__all__ = ["ConnectConnectors"]
