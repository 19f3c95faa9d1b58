"""A cluster and a Connect worker simulated in one SQLite file, for tests, demos and users without servers.

It refuses what Kafka and Connect refuse, with the same class of error; the contract suite compares it with the real
ones. It stores no secret: a connector's secret settings are kept as digests, salted by file.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kplan.diagnostics import Conflict, Diagnostic, JournalBroken, KplanError, Rejected, Timeout, codes, error
from kplan.kinds.connector import sinks
from kplan.kinds.connector.names import DEFAULT
from kplan.kinds.connector.options import keeps_offsets
from kplan.kinds.groups import name_sink_group
from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.options import Replicas, reassignment_of, topic_options
from kplan.kinds.topic.placement import Placement
from kplan.model import (
    Action,
    Address,
    Change,
    Config,
    Connector,
    Facts,
    Health,
    Reader,
    Resource,
    Secret,
    Target,
    Task,
    Text,
    Topic,
    conceal,
)  # fmt: skip
from kplan.model.codec import text_from_json, text_to_json
from kplan.model.forecast import Storage, StorageState
from kplan.servers.base import CONNECT, KAFKA, BackendState, Outcome, Progress
from kplan.servers.simulated_limits import find_missing_state, refuse_config, refuse_topic
from kplan.servers.simulated_plugins import NO_CLASS, Plugins, find_connector_problems, is_sink_class
from kplan.servers.sqlite_file import is_read_only, open_to_read
from kplan.servers.topics import (  # fmt: skip
    NOT_IN_TIME,
    capture_replicas,
    config_changes,
    count_records,
    describe_arrived,
    find_conflict,
    find_insync_problem,
    find_refusal,
    new_partitions,
    no_reassignment_error,
    too_many_replicas_error,
)

MAX_PARTITIONS = 10_000  # of one request: "Excessively large number of partitions per request."
SIZES = (
    "SELECT topic, bytes, bytes * replicas, first_write FROM sim_sizes"
    " JOIN sim_topics ON topic = name LEFT JOIN sim_oldest USING (topic)"
)
FAILURE = "org.apache.kafka.connect.errors.ConnectException: simulated failure"
WORKER = "simulated:8083"
TABLES = """
CREATE TABLE IF NOT EXISTS sim_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sim_topics (name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, replicas INTEGER NOT NULL,
    config TEXT NOT NULL, records INTEGER NOT NULL DEFAULT 0, last_write INTEGER);
CREATE TABLE IF NOT EXISTS sim_readers (topic TEXT NOT NULL, reader TEXT NOT NULL, lag INTEGER NOT NULL,
    active INTEGER NOT NULL, PRIMARY KEY (topic, reader));
CREATE TABLE IF NOT EXISTS sim_oldest (topic TEXT PRIMARY KEY, first_write INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sim_sizes (topic TEXT PRIMARY KEY, bytes INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sim_replicas (topic TEXT PRIMARY KEY, replicas TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sim_ids (topic TEXT PRIMARY KEY, id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sim_connectors (name TEXT PRIMARY KEY, config TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sim_offsets (name TEXT PRIMARY KEY, offsets TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sim_failures (name TEXT PRIMARY KEY, cause TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sim_access (kind TEXT NOT NULL, name TEXT NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (kind, name));
CREATE TABLE IF NOT EXISTS sim_schemas (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, text TEXT NOT NULL,
    refs TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sim_versions (subject TEXT NOT NULL, version INTEGER NOT NULL, id INTEGER NOT NULL,
    deleted INTEGER NOT NULL, PRIMARY KEY (subject, version));
CREATE TABLE IF NOT EXISTS sim_levels (subject TEXT PRIMARY KEY, level TEXT NOT NULL);
"""


class SimulatedFile:
    """The file, for one thread after the other. Reading a missing one returns an empty cluster and creates nothing."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._connection: sqlite3.Connection | None = None
        self._turn = threading.RLock()

    def read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        if self._connection is None and not self.path.exists():
            return []
        with self._turn, self._map_errors():
            try:
                db = self._open()
                if not self._has_tables(db):
                    return []
                if not db.in_transaction:  # a script would end it
                    db.executescript(TABLES)  # a file of an earlier kplan may lack some
                return db.execute(query, values).fetchall()
            except sqlite3.OperationalError as failure:
                if not is_read_only(failure):
                    raise
            self.close()
            with closing(open_to_read(self.path)) as db:
                return db.execute(query, values).fetchall() if self._has_tables(db) else []

    @staticmethod
    def _has_tables(db: sqlite3.Connection) -> bool:
        return bool(db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'sim_topics'").fetchone()[0])

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Open one transaction; an exception inside rolls it back."""
        with self._turn, self._map_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.parent.name == ".kplan" and not (self.path.parent / ".gitignore").exists():
                (self.path.parent / ".gitignore").write_text("*\n", "utf-8")
            db = self._open()
            db.executescript(TABLES)
            db.execute("BEGIN IMMEDIATE")
            try:
                db.execute("INSERT OR IGNORE INTO sim_meta VALUES ('salt', ?)", (secrets.token_hex(16),))
                yield db
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise

    def read_meta(self, key: str) -> str:
        rows = self.read("SELECT value FROM sim_meta WHERE key = ?", key)
        return str(rows[0][0]) if rows else ""

    @property
    def identity(self) -> str:
        """Return the cluster's id: the same for one file, whether it exists yet or not."""
        return "simulated-" + hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:12]

    def close(self) -> None:
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
        return self._connection

    @contextmanager
    def _map_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as e:
            problem = JournalBroken(f"{self.path}: {e}", help="check the disk's space and the file's permissions")
            problem.exit_code = 1  # an apply that has started sets another one
            raise problem from e


class SimulatedTopics:
    """Topics of a simulated cluster. Addresses in `fail` are accepted, and then do not become visible."""

    kind = "topic"
    server = KAFKA
    check_name = "validate_only"
    retries = 0

    def __init__(
        self,
        path: Path | str,
        *,
        brokers: int = 3,
        fail: Sequence[str] = (),
        throttle: int | None = None,
        has_tiered_storage: bool = False,
        missing: Collection[str] = (),
    ) -> None:
        """`missing` are capabilities of simulated_limits."""
        self.file = SimulatedFile(path)
        self.brokers = brokers
        self.has_tiered_storage = has_tiered_storage
        self.missing = frozenset(missing)
        self.fail = frozenset(fail)
        self.throttle = throttle

    def identify(self) -> Target:
        return Target(self.file.identity, "simulated:9092", self.brokers, simulated=os.path.relpath(self.file.path))

    def read(self, names: Collection[str] | None) -> BackendState:
        rows = self.file.read("SELECT name, partitions, replicas, config FROM sim_topics ORDER BY name")
        wanted = None if names is None else set(names)
        topics = {
            Address("topic", n): Topic(n, p, r, json.loads(c)) for n, p, r, c in rows if wanted is None or n in wanted
        }
        return BackendState(topics, frozenset(row[0] for row in rows))

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        rows = self.file.read("SELECT topic, id FROM sim_ids")
        wanted = set(names)
        return {Address("topic", topic): id for topic, id in rows if topic in wanted}

    def placement(self, names: Collection[str]) -> Placement:
        """Return where the replicas are; their size in bytes is not simulated."""
        live = [topic for topic in self.read(names).resources.values() if isinstance(topic, Topic)]
        replicas = {topic.name: self._read_replicas(topic) for topic in live}
        return Placement(dict.fromkeys(range(1, self.brokers + 1), ""), replicas, {}, True, self.throttle)

    def _read_replicas(self, topic: Topic) -> Replicas:
        """Return the replicas as they were reassigned, otherwise one broker after the other."""
        width = range(topic.replication_factor)
        default = {p: tuple((p + n) % self.brokers + 1 for n in width) for p in range(topic.partitions)}
        rows = self.file.read("SELECT replicas FROM sim_replicas WHERE topic = ?", topic.name)
        reassigned = json.loads(rows[0][0]) if rows else {}
        return default | {int(p): tuple(brokers) for p, brokers in reassigned.items()}

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """Return what Kafka's `validate_only` would refuse; only the settings of a replacement can be checked."""
        live = {a.name: r for a, r in self.read(None).resources.items() if isinstance(r, Topic)}
        diagnostics: dict[Address, Sequence[Diagnostic]] = {}
        for change in changes:
            if change.is_ledger_only or change.action is Action.DELETE:
                continue
            others = live if change.action is not Action.REPLACE else _without_topic(live, change.address.name)
            problems = self._find_problems(change, others)
            if problems or change.action is not Action.REPLACE:
                diagnostics[change.address] = problems
        return diagnostics

    def _find_problems(self, change: Change, live: Mapping[str, Topic]) -> list[Diagnostic]:
        diagnostics = []
        try:
            self._refuse_change(change, live, live)
        except KplanError as e:
            refusal = error(e.entry, "the cluster refuses this", e.message, help=e.help, address=change.address)
            diagnostics.append(replace(refusal, path=_find_setting_path(change, e.message)))
        replica_problem = find_insync_problem(change)
        return [*diagnostics, *([replica_problem] if replica_problem else [])]

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """Return the ids of topics that are replaced, and the places of replicas that are moved.

        Raises Stale where those are not as planned.
        """
        moving = {change.address.name: change for change in changes if reassignment_of(change)}
        replicas = self.placement(list(moving)).replicas if moving else {}
        captured = {change.address: capture_replicas(change, replicas.get(name, {})) for name, change in moving.items()}
        replaced = [change.address.name for change in changes if change.action is Action.REPLACE]
        ids = self.read_ids(replaced) if replaced else {}
        return captured | {address: {"topic_id": id} for address, id in ids.items()}

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Make all changes in one transaction, each with its own outcome: a refused one leaves no trace."""
        outcomes = {}
        with self.file.write() as db:
            rows = db.execute("SELECT name, partitions, replicas, config FROM sim_topics").fetchall()
            live = {n: Topic(n, p, r, json.loads(c)) for n, p, r, c in rows}
            before = dict(live)
            for change in changes:
                try:
                    outcomes[change.address] = self._act(db, change, live, before)
                except KplanError as e:
                    outcomes[change.address] = Outcome(e)
        return outcomes

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Return at once; what is to fail was accepted and does not become visible."""
        failure = Timeout(
            f"simulated: {NOT_IN_TIME}", help="`simulated: {fail: […]}` in kplan.yaml asks for this failure"
        )
        return {c.address: Outcome(failure if _is_to_fail(c, self.fail) else None) for c in changes}

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        rows = self.file.read(
            "SELECT name, records, last_write, first_write FROM sim_topics LEFT JOIN sim_oldest ON topic = name"
        )
        records_of_topics = {name: (records, last, first) for name, records, last, first in rows}
        readers_of_topics: dict[str, list[Reader]] = {}
        readers = self.file.read("SELECT topic, reader, lag, active FROM sim_readers ORDER BY reader")
        for topic, group, lag, active in readers:
            readers_of_topics.setdefault(topic, []).append(Reader(group, lag, bool(active)))
        for topic, sink in self._list_sink_readers(records_of_topics.keys() & set(names)):
            if all(sink.group != reader.group for reader in readers_of_topics.get(topic, ())):
                readers_of_topics.setdefault(topic, []).append(sink)
        return {
            Address("topic", n): Facts(
                records, None, last, tuple(sorted(readers_of_topics.get(n, ()), key=_group_name)), first
            )
            for n in names
            if n in records_of_topics
            for records, last, first in [records_of_topics[n]]
        }

    def _list_sink_readers(self, topics: Collection[str]) -> Iterator[tuple[str, Reader]]:
        """Yield the topics with the consumer groups of the sinks that read them; a simulated sink has no lag."""
        rows = self.file.read(
            "SELECT name, config, state, cause FROM sim_connectors LEFT JOIN sim_failures USING (name)"
        )
        for name, stored, state, cause in rows:
            sink = _read_connector(name, json.loads(stored), state, "")
            group = Reader(sinks.group(sink), 0, state != "stopped" and not cause)
            yield from ((topic, group) for topic in sorted(topics) if sinks.reads(sink, topic))

    def read_storage(self, names: Collection[str]) -> StorageState:
        """Return what is stored in those topics whose records have a size."""
        rows = self.file.read(SIZES)
        return StorageState({topic: Storage(total, one, first) for topic, one, total, first in rows if topic in names})

    def watch(self, addresses: Collection[Address], state: str) -> None:
        """Do nothing: no change of this kind takes a right of kplan's own user."""

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        """Return groups that read, and those of sinks with offsets: in Kafka a deleted sink's group still has them."""
        readers = {name for (name,) in self.file.read("SELECT reader FROM sim_readers")}
        groups_of_sinks = {name_sink_group(name) for (name,) in self.file.read("SELECT name FROM sim_offsets")}
        return frozenset(groups) & (readers | groups_of_sinks)

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        return {}

    def read_end_offsets(self, names: Collection[str]) -> Mapping[str, int]:
        return {n: r for n, r in self.file.read("SELECT name, records FROM sim_topics") if n in set(names)}

    def close(self) -> None:
        self.file.close()

    # -- what others do to a cluster --------------------------------------------------------------------------------
    def produce(self, topic: str, count: int, *, at: int | None = None, size: int = 0) -> None:
        """Add `count` records of `size` bytes together, written now or at this time in milliseconds since 1970."""
        timestamp = int(time.time() * 1000) if at is None else at
        with self.file.write() as db:
            db.execute(
                "UPDATE sim_topics SET records = records + ?, last_write = max(coalesce(last_write, 0), ?)"
                " WHERE name = ?",
                (count, timestamp, topic),
            )
            db.execute("INSERT OR IGNORE INTO sim_oldest VALUES (?, ?)", (topic, timestamp))
            if size:
                db.execute("INSERT OR IGNORE INTO sim_sizes VALUES (?, 0)", (topic,))
                db.execute("UPDATE sim_sizes SET bytes = bytes + ? WHERE topic = ?", (size, topic))

    def subscribe(self, group: str, topic: str, lag: int = 0, *, active: bool = True) -> None:
        """Let a consumer group read the topic."""
        with self.file.write() as db:
            db.execute("INSERT OR REPLACE INTO sim_readers VALUES (?, ?, ?, ?)", (topic, group, lag, int(active)))

    # -- Kafka's rules ----------------------------------------------------------------------------------------------
    def _act(
        self, db: sqlite3.Connection, change: Change, live: dict[str, Topic], before: Mapping[str, Topic]
    ) -> Outcome:
        """Make the change in the file and in `live`. New names collide with those that existed `before`."""
        name = change.address.name
        others = _without_topic(live, name) if change.action is Action.REPLACE else live
        if change.action is Action.CREATE and name in live and isinstance(change.after, Topic):
            if problem := find_conflict(change.after, live[name]):
                raise problem
            return Outcome(adopted=True)
        if change.action is not Action.DELETE:
            try:
                self._refuse_change(change, others, _without_topic(before, name))
            except SameCount:
                change = replace(change, diffs=tuple(d for d in change.diffs if d.path != "/partitions"))
        if change.action in (Action.DELETE, Action.REPLACE):
            row = db.execute("SELECT records FROM sim_topics WHERE name = ?", (name,)).fetchone()
            if topic_options(change).if_empty and row and row[0]:
                return Outcome(kept=describe_arrived(row[0]))
            db.execute("DELETE FROM sim_topics WHERE name = ?", (name,))
            db.execute("DELETE FROM sim_readers WHERE topic = ?", (name,))
            db.execute("DELETE FROM sim_oldest WHERE topic = ?", (name,))
            db.execute("DELETE FROM sim_sizes WHERE topic = ?", (name,))
            db.execute("DELETE FROM sim_ids WHERE topic = ?", (name,))
            db.execute("DELETE FROM sim_replicas WHERE topic = ?", (name,))
            live.pop(name, None)
        if change.action is Action.DELETE or not isinstance(change.after, Topic):
            return Outcome()
        if (reassignment := reassignment_of(change)) is not None:
            replicas = {**self._read_replicas(live[name]), **reassignment.after}
            db.execute("INSERT OR REPLACE INTO sim_replicas VALUES (?, ?)", (name, json.dumps(replicas)))
        topic = live[name] = self._make_topic(change, live.get(name))
        db.execute(
            "INSERT INTO sim_topics (name, partitions, replicas, config) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET partitions = excluded.partitions, replicas = excluded.replicas,"
            " config = excluded.config",
            (name, topic.partitions, topic.replication_factor, json.dumps(dict(topic.config), sort_keys=True)),
        )
        if change.action is not Action.UPDATE:
            db.execute("INSERT OR REPLACE INTO sim_ids VALUES (?, ?)", (name, _create_id(db, name)))
        return Outcome()

    def _make_topic(self, change: Change, live: Topic | None) -> Topic:
        """Return the topic after the change, with values as Kafka stores them."""
        after = change.after
        assert isinstance(after, Topic)
        if live is None or change.action is not Action.UPDATE:
            replicas = after.replication_factor if after.replication_factor > 0 else min(3, self.brokers)
            config = {k: catalog.canonical(k, v) for k, v in after.config.items()}
            return replace(after, partitions=max(after.partitions, 1), replication_factor=replicas, config=config)
        config = dict(live.config)
        for diff in change.diffs:
            if diff.path.startswith("/config/"):
                if diff.after is None:
                    config.pop(diff.key, None)
                else:
                    config[diff.key] = catalog.canonical(diff.key, str(diff.after))
        partitions = next((d.after for d in change.diffs if d.path == "/partitions"), live.partitions)
        factor = live.replication_factor
        if (
            reassignment := reassignment_of(change)
        ) is not None:  # brokers report the factor of a topic's first partition
            factor = len(reassignment.after.get(0, range(factor)))
        return replace(live, partitions=int(str(partitions)), replication_factor=factor, config=config)

    def _refuse_change(self, change: Change, live: Mapping[str, Topic], before: Mapping[str, Topic]) -> None:
        """Raise what Kafka would answer. New names collide with those in `before`."""
        after, name = change.after, change.address.name
        if not isinstance(after, Topic):
            return
        refuse_topic(change, self.missing)
        if change.action is Action.UPDATE:
            self._refuse_update(change, live.get(name))
            return
        if problem := find_refusal(after):
            raise problem
        if name in live:
            raise Conflict(f"Topic '{name}' already exists.")
        collision = next((n for n in before if catalog.metric_name(n) == catalog.metric_name(name)), None)
        if collision:
            raise Rejected(f"Topic '{name}' collides with existing topic: {collision}")
        refuse_config(after.config, self.has_tiered_storage)
        if after.replication_factor == 0:
            raise Rejected("Replication factor must be larger than 0, or -1 to use the default value.")
        if after.partitions > MAX_PARTITIONS:
            raise Rejected("Excessively large number of partitions per request.")
        if count_records(after) > MAX_PARTITIONS:
            raise Rejected("Unable to perform excessively large batch operation.")
        if after.replication_factor > self.brokers:
            problem = too_many_replicas_error(after.replication_factor, self.brokers)
            setting = f"`simulated: {{brokers: {after.replication_factor}}}`"
            problem.help += f"; the cluster is simulated, {setting} in kplan.yaml gives it more brokers"
            raise problem

    def _refuse_update(self, change: Change, live: Topic | None) -> None:
        if live is None:
            raise Conflict(f"The topic '{change.address.name}' does not exist.")
        brokers = dict.fromkeys(range(1, self.brokers + 1), "")
        if problem := no_reassignment_error(change, self._read_replicas(live), brokers):
            raise problem
        sets, resets = config_changes(change)
        kept = {key: value for key, value in live.config.items() if key not in resets}
        refuse_config({**kept, **sets}, self.has_tiered_storage, live.config)
        count = new_partitions(change)
        if count is not None and count < live.partitions:
            raise Rejected(
                f"The topic {live.name} currently has {live.partitions} partition(s); {count} would not be an increase."
            )
        if count == live.partitions:
            raise SameCount(f"Topic already has {count} partition(s).")


def _create_id(db: sqlite3.Connection, name: str) -> str:
    """Return an id that no topic of this file had before; the same steps on another file give the same ids."""
    db.execute("INSERT OR IGNORE INTO sim_meta VALUES ('topics_created', '0')")
    db.execute("UPDATE sim_meta SET value = value + 1 WHERE key = 'topics_created'")
    (count,) = db.execute("SELECT value FROM sim_meta WHERE key = 'topics_created'").fetchone()
    digest = hashlib.sha256(f"{count} {name}".encode()).digest()[:16]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class SameCount(Conflict):
    """The topic already has that number of partitions."""


def _without_topic(topics: Mapping[str, Topic], name: str) -> dict[str, Topic]:
    return {each: topic for each, topic in topics.items() if each != name}


def _is_to_fail(change: Change, fail: Collection[str]) -> bool:
    """Return whether a failpoint applies: deleting and undoing succeed."""
    return str(change.address) in fail and change.action is not Action.DELETE and change.reason != "undo"


def _find_setting_path(change: Change, message: str) -> str:
    """Return the path of the setting that the message names."""
    if "replicat" in message.lower():
        return "/replication_factor"
    if "partitions" in message:
        return "/partitions"
    keys = change.after.config if isinstance(change.after, Topic) else {}
    return next((f"/config/{key}" for key in sorted(keys, key=len, reverse=True) if key in message), "")


VERSION = "4.3.1 (simulated)"


class SimulatedConnectors:
    """A Connect worker. A connector in `fail` is accepted, and then its task fails."""

    kind = "connector"
    server = CONNECT
    check_name = "config/validate"
    retries = 0

    def __init__(
        self,
        path: Path | str,
        *,
        fail: Sequence[str] = (),
        connects: Sequence[str] = (),
        plugins: Sequence[str] | None = (),
        missing: Collection[str] = (),
    ) -> None:
        """`connects` are aliases of Connect clusters: their connectors have other names, so they share a table.

        `plugins` are installed beside the known ones; None stands for any class with a plausible name. `missing` are
        capabilities of simulated_limits.
        """
        self.file = SimulatedFile(path)
        self.plugins = Plugins(None if plugins is None else tuple(plugins))
        self.missing = frozenset(missing)
        self.fail = frozenset(fail)
        self.others = tuple(alias for alias in connects if alias != DEFAULT)

    def identify(self) -> Target:
        others = tuple((alias, f"simulated/{alias}", VERSION) for alias in self.others)
        return Target(self.file.identity, connect_url="simulated", connect_version=VERSION, connects=others)

    def read(self, names: Collection[str] | None) -> BackendState:
        rows = self.file.read(
            "SELECT name, config, state, cause FROM sim_connectors LEFT JOIN sim_failures USING (name) ORDER BY name"
        )
        connectors: dict[Address, Topic | Connector] = {}
        health = {}
        salt = self.file.read_meta("salt")
        for name, config, state, cause in rows:
            if names is None or name in names:
                connector = _read_connector(name, json.loads(config), state, salt)
                connectors[connector.address] = connector
                health[connector.address] = _make_health(connector, cause, self.plugins)
        return BackendState(connectors, frozenset(row[0] for row in rows), health=health)

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        diagnostics: dict[Address, Sequence[Diagnostic]] = {}
        for change in changes:
            if isinstance(change.after, Connector) and not change.is_ledger_only:
                problems = find_connector_problems(change.after, self.others, self.plugins)
                of_change = [_to_diagnostic(problem, change) for problem in problems]
                if missing := find_missing_state(change.after, self.missing):
                    of_change.append(replace(missing.diagnostic(change.address), path="/state"))
                diagnostics[change.address] = of_change
        return diagnostics

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """Return the offsets of connectors to delete, and whether each exists; none where they are kept."""
        captured: dict[Address, Mapping[str, Any]] = {}
        for change in changes:
            if change.action in (Action.DELETE, Action.REPLACE, Action.MOVE) and not keeps_offsets(change):
                name = (change.source or change.address).name
                rows = self.file.read(
                    "SELECT offsets FROM sim_connectors LEFT JOIN sim_offsets USING (name) WHERE name = ?", name
                )
                existing = {"existed": True, "offsets": json.loads(rows[0][0]) if rows and rows[0][0] else []}
                captured[change.address] = existing if rows else {"existed": False}
        return captured

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        outcomes = {}
        for change in changes:
            try:
                with self.file.write() as db:
                    self._act(db, change, captured.get(change.address, {}))
                outcomes[change.address] = Outcome()
            except KplanError as e:
                outcomes[change.address] = Outcome(e)
        return outcomes

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Return at once. A connector that is to fail was accepted, and its task failed."""
        help = "`simulated: {fail: […]}` in kplan.yaml asks for this failure"
        outcomes = {}
        for change in changes:
            error = KplanError(f"task 0: {FAILURE}", code=codes.K512, applied=True, help=help)
            outcomes[change.address] = Outcome(error if _task_is_to_fail(change, self.fail) else None)
        return outcomes

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        return {}

    def placement(self, names: Collection[str]) -> Placement:
        return Placement()

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        return {}

    def watch(self, addresses: Collection[Address], state: str) -> None:
        """Do nothing: no change of this kind takes a right of kplan's own user."""

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        return frozenset()

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        """Return none but those whose names show it: these plugins have no definitions."""
        return {resource.address: () for resource in resources}

    def close(self) -> None:
        self.file.close()

    def restart(self, name: str, failed_only: bool) -> None:
        """Run its tasks again."""
        self._read_state(name)
        with self.file.write() as db:
            db.execute("DELETE FROM sim_failures WHERE name = ?", (name,))

    def offsets(self, name: str) -> list[Any]:
        self._read_state(name)
        rows = self.file.read("SELECT offsets FROM sim_offsets WHERE name = ?", name)
        return list(json.loads(rows[0][0])) if rows else []

    def put_offsets(self, name: str, offsets: Sequence[Any] | None) -> None:
        if self._read_state(name) != "stopped":
            raise Rejected(f"connector {name} must be STOPPED for that")
        with self.file.write() as db:
            db.execute("DELETE FROM sim_offsets WHERE name = ?", (name,))
            if offsets:
                db.execute("INSERT INTO sim_offsets VALUES (?, ?)", (name, json.dumps(list(offsets))))

    def _read_state(self, name: str) -> str:
        rows = self.file.read("SELECT state FROM sim_connectors WHERE name = ?", name)
        if not rows:
            raise Conflict(f"there is no connector {name}")
        return str(rows[0][0])

    def commit(self, name: str, offsets: Sequence[Mapping[str, Any]]) -> None:
        """Record that the connector reached these offsets."""
        with self.file.write() as db:
            db.execute("INSERT OR REPLACE INTO sim_offsets VALUES (?, ?)", (name, json.dumps(list(offsets))))

    # -- Connect's rules ----------------------------------------------------------------------------------------------
    def _act(self, db: sqlite3.Connection, change: Change, captured: Mapping[str, Any]) -> None:
        name, after = change.address.name, change.after
        live = {row[0]: json.loads(row[1]) for row in db.execute("SELECT name, config FROM sim_connectors")}
        if isinstance(after, Connector):
            self._refuse_change(change, after, live)
        offsets = captured.get("offsets") if change.action is Action.CREATE or captured.get("restore") else None
        stored_config = live.get(name, {})
        if change.action is Action.MOVE and change.source is not None and change.source.name in live:
            stored_config, offsets = live[change.source.name], _read_offsets(db, change.source.name) or []
            _delete_connector(db, change.source.name)
        if change.action in (Action.DELETE, Action.REPLACE):
            _delete_connector(db, name, offsets=not keeps_offsets(change))
        if change.action is Action.DELETE or not isinstance(after, Connector):
            return
        salt = str(db.execute("SELECT value FROM sim_meta WHERE key = 'salt'").fetchone()[0])
        config = {k: _to_stored_value(k, v, salt, stored_config) for k, v in after.config.items() if k != "name"}
        row = (name, json.dumps(config, sort_keys=True), after.state)
        db.execute("INSERT OR REPLACE INTO sim_connectors VALUES (?, ?, ?)", row)
        db.execute("DELETE FROM sim_failures WHERE name = ?", (name,))
        if _task_is_to_fail(change, self.fail):
            db.execute("INSERT INTO sim_failures VALUES (?, ?)", (name, FAILURE))
        if change.action is not Action.UPDATE:
            _write_first_offsets(db, after, offsets)

    def _refuse_change(self, change: Change, after: Connector, live: Collection[str]) -> None:
        """Raise what Connect would answer."""
        name = change.address.name
        if change.action is Action.CREATE and name in live:
            raise Conflict(f"Connector {name} already exists")
        if change.action is Action.UPDATE and name not in live:
            raise Conflict(f"Connector {name} not found")
        if change.action is Action.MOVE and change.source is not None and not {change.source.name, name} & set(live):
            raise Conflict(f"neither {change.source.name} nor {name} is there")
        if missing := find_missing_state(after, self.missing):
            raise missing
        if problems := find_connector_problems(after, self.others, self.plugins):
            message = "; ".join(problem.message for problem in problems)
            raise Rejected(message, code=codes.K303 if NO_CLASS in message else None, help=problems[0].help)


def _to_diagnostic(problem: Rejected, change: Change) -> Diagnostic:
    key = getattr(problem, "key", "")
    return replace(problem.diagnostic(change.address), path=f"/config/{key}" if key else "")


def _task_is_to_fail(change: Change, fail: Collection[str]) -> bool:
    is_running = isinstance(change.after, Connector) and change.after.state == "running"
    return is_running and _is_to_fail(change, fail)


def _delete_connector(db: sqlite3.Connection, name: str, *, offsets: bool = True) -> None:
    """Delete the connector; its offsets stay unless they are reset, as in Connect."""
    db.execute("DELETE FROM sim_connectors WHERE name = ?", (name,))
    db.execute("DELETE FROM sim_failures WHERE name = ?", (name,))
    if offsets:
        db.execute("DELETE FROM sim_offsets WHERE name = ?", (name,))


def _read_offsets(db: sqlite3.Connection, name: str) -> list[Any] | None:
    row = db.execute("SELECT offsets FROM sim_offsets WHERE name = ?", (name,)).fetchone()
    return list(json.loads(row[0])) if row else None


def _write_first_offsets(db: sqlite3.Connection, connector: Connector, offsets: object) -> None:
    """Give the new connector the offsets to restore, or those of an earlier one of its name, or its first."""
    if isinstance(offsets, list):
        db.execute("DELETE FROM sim_offsets WHERE name = ?", (connector.name,))
        if offsets:
            db.execute("INSERT INTO sim_offsets VALUES (?, ?)", (connector.name, json.dumps(offsets)))
    elif connector.state != "stopped":
        first = [{"partition": {"connector": connector.name}, "offset": {"position": 1}}]
        db.execute("INSERT OR IGNORE INTO sim_offsets VALUES (?, ?)", (connector.name, json.dumps(first)))


def _read_connector(name: str, stored: Mapping[str, Any], state: str, salt: str) -> Connector:
    config: dict[str, Text] = {}
    for key, raw in stored.items():
        value = text_from_json(raw)
        config[key] = replace(value, matches=_make_matcher(value, salt)) if isinstance(value, Secret) else str(value)
    return Connector(name, config, state, reads=_sink_topics(config))


def _make_health(connector: Connector, cause: str | None, plugins: Plugins) -> Health:
    """Return the health: a stopped connector has no tasks, a source has one, a sink as many as it may."""
    if connector.state == "stopped":
        return Health("STOPPED")
    max_tasks = str(connector.config.get("tasks.max", "1"))
    is_sink = is_sink_class(plugins.find_connector(connector.java_class) or "")
    count = int(max_tasks) if is_sink and max_tasks.isdecimal() else 1
    state = connector.state.upper()
    tasks = [Task(number, state, worker=WORKER) for number in range(count)]
    if cause and state == "RUNNING":
        tasks[0] = Task(0, "FAILED", cause, WORKER)
    return Health(state, tuple(tasks))


def _sink_topics(config: Config) -> tuple[str, ...]:
    topics = config.get("topics")
    return tuple(t.strip() for t in topics.split(",") if t.strip()) if isinstance(topics, str) else ()


def _group_name(reader: Reader) -> str:
    return reader.group


def _make_matcher(kept: Secret, salt: str) -> Callable[[str], bool]:
    """Return a function that says whether a value has the digest that is kept."""
    return lambda value: _sign_secret(Secret(value=value), salt) == Secret(value=value, fingerprint=kept.fingerprint)


def _sign_secret(value: Text, salt: str) -> Text:
    if not isinstance(value, Secret) or value.value is None or not salt:
        return value
    digest = hmac.new(salt.encode(), value.value.encode(), hashlib.sha256).hexdigest()
    return replace(value, fingerprint=f"sim:{digest[:32]}")


def _to_stored_value(key: str, value: Text, salt: str, stored_config: Mapping[str, Any]) -> Any:
    """Return what the file holds: a secret as its digest. Without a value it is that of a reading, or unchanged."""
    secret = conceal(key, value) if isinstance(value, str) else value
    if not isinstance(secret, Secret):
        return value
    if secret.value is None and not secret.fingerprint.startswith("sim:"):
        if key not in stored_config:
            raise Rejected(
                f"the value of {key} is not known here",
                code=codes.K316,
                help="set the variable that holds it, and run this again",
            )
        return stored_config[key]
    return text_to_json(_sign_secret(replace(secret, ref=""), salt))
