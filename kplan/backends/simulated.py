"""A cluster and a Connect worker simulated in one SQLite file, for people without servers, for tests and demos.

It refuses what Kafka and Connect refuse, with the same class of error; the contract suite holds it to the real ones.
No secret is stored: a connector's secret settings are kept as digests, salted by file.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kplan import catalog
from kplan.backends.base import Outcome, Progress, Reading
from kplan.codec import text_from_json, text_to_json
from kplan.diagnostics import Conflict, Diagnostic, JournalBroken, KplanError, Rejected, Unsupported, error
from kplan.model import (
    Action, Address, Change, Config, Connector, Facts, Health, Reader, Secret, Target, Task, Text, Topic, conceal,
)  # fmt: skip

MAX_PARTITIONS = 10_000  # of one request: "Excessively large number of partitions per request."
PLUGINS = (
    "io.debezium.connector.mariadb.MariaDbConnector", "io.debezium.connector.mongodb.MongoDbConnector",
    "io.debezium.connector.mysql.MySqlConnector", "io.debezium.connector.oracle.OracleConnector",
    "io.debezium.connector.postgresql.PostgresConnector", "io.debezium.connector.sqlserver.SqlServerConnector",
    "org.apache.kafka.connect.file.FileStreamSinkConnector", "org.apache.kafka.connect.file.FileStreamSourceConnector",
    "org.apache.kafka.connect.mirror.MirrorSourceConnector",
)  # fmt: skip
TABLES = """
CREATE TABLE IF NOT EXISTS sim_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sim_topics (name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, replicas INTEGER NOT NULL,
    config TEXT NOT NULL, records INTEGER NOT NULL DEFAULT 0, last_write INTEGER);
CREATE TABLE IF NOT EXISTS sim_readers (topic TEXT NOT NULL, reader TEXT NOT NULL, lag INTEGER NOT NULL, active INTEGER NOT NULL,
    PRIMARY KEY (topic, reader));
CREATE TABLE IF NOT EXISTS sim_connectors (name TEXT PRIMARY KEY, config TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sim_offsets (name TEXT PRIMARY KEY, offsets TEXT NOT NULL);
"""


class SimulatedFile:
    """The file. Reading a missing one sees an empty cluster and makes nothing."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._connection: sqlite3.Connection | None = None

    def read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        if self._connection is None and not self.path.exists():
            return []
        with self._told():
            db = self._open()
            if not db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'sim_offsets'").fetchone()[0]:
                return []
            return db.execute(query, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction; what is raised inside takes it back."""
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.parent.name == ".kplan" and not (self.path.parent / ".gitignore").exists():
                (self.path.parent / ".gitignore").write_text("*\n", "utf-8")
            db = self._open()
            db.executescript(TABLES)
            db.execute("BEGIN IMMEDIATE")
            try:
                db.execute("INSERT OR IGNORE INTO sim_meta VALUES ('cluster_id', ?)", (secrets.token_urlsafe(16),))
                db.execute("INSERT OR IGNORE INTO sim_meta VALUES ('salt', ?)", (secrets.token_hex(16),))
                yield db
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise

    def meta(self, key: str) -> str:
        rows = self.read("SELECT value FROM sim_meta WHERE key = ?", key)
        return str(rows[0][0]) if rows else ""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
        return self._connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as e:
            raise JournalBroken(f"{self.path}: {e}", help="check the disk's space and the file's permissions") from e


class SimulatedTopics:
    """Topics of a simulated cluster. Addresses in `fail` are taken, and then do not become visible."""

    kind = "topic"

    def __init__(self, path: Path | str, *, brokers: int = 3, fail: Sequence[str] = ()) -> None:
        self.file = SimulatedFile(path)
        self.brokers = brokers
        self.fail = frozenset(fail)

    def identify(self) -> Target:
        return Target(self.file.meta("cluster_id"), "simulated:9092", self.brokers, simulated=os.path.relpath(self.file.path))

    def read(self, names: Collection[str] | None) -> Reading:
        rows = self.file.read("SELECT name, partitions, replicas, config FROM sim_topics ORDER BY name")
        wanted = None if names is None else set(names)
        found = {Address("topic", n): Topic(n, p, r, json.loads(c)) for n, p, r, c in rows if wanted is None or n in wanted}
        return Reading(found, frozenset(row[0] for row in rows))

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        live = {a.name: r for a, r in self.read(None).resources.items() if isinstance(r, Topic)}
        said: dict[Address, Sequence[Diagnostic]] = {}
        for change in changes:
            if change.is_ledger_only or change.action is Action.DELETE:
                continue
            names = live if change.action is not Action.REPLACE else {n: t for n, t in live.items() if n != change.address.name}
            try:
                self._judge(change, names)
                said[change.address] = ()
            except KplanError as e:
                said[change.address] = (error(e.code, "the cluster refuses this", e.message, help=e.help, address=change.address,
                                              path=_named(change, e.message)),)  # fmt: skip
        return said

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        return {}

    def act(self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]) -> Mapping[Address, Outcome]:
        outcomes = {}
        for change in changes:
            try:
                with self.file.write() as db:
                    outcomes[change.address] = self._act(db, change)
            except KplanError as e:
                outcomes[change.address] = Outcome(e)
        return outcomes

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        failing = [c for c in changes if str(c.address) in self.fail and c.action is not Action.DELETE and c.reason != "undo"]
        return {c.address: Outcome(KplanError("simulated: it did not become visible", code="K511", applied=True)) if c in failing
                else Outcome() for c in changes}  # fmt: skip

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        stored = {n: (r, w) for n, r, w in self.file.read("SELECT name, records, last_write FROM sim_topics")}
        readers = self.file.read("SELECT topic, reader, lag, active FROM sim_readers ORDER BY reader")
        return {Address("topic", n): Facts(stored[n][0], None, stored[n][1],
                tuple(Reader(g, lag, bool(a)) for t, g, lag, a in readers if t == n)) for n in names if n in stored}  # fmt: skip

    def end_offsets(self, names: Collection[str]) -> Mapping[str, int]:
        return {n: r for n, r in self.file.read("SELECT name, records FROM sim_topics") if n in set(names)}

    def close(self) -> None:
        self.file.close()

    # -- what people do to a cluster besides kplan ------------------------------------------------------------------
    def produce(self, topic: str, count: int) -> None:
        """Adds `count` records."""
        with self.file.write() as db:
            db.execute("UPDATE sim_topics SET records = records + ?, last_write = ? WHERE name = ?", (count, int(time.time() * 1000), topic))

    def subscribe(self, group: str, topic: str, lag: int = 0, *, active: bool = True) -> None:
        """A consumer group reads the topic."""
        with self.file.write() as db:
            db.execute("INSERT OR REPLACE INTO sim_readers VALUES (?, ?, ?, ?)", (topic, group, lag, int(active)))

    # -- Kafka's rules ----------------------------------------------------------------------------------------------
    def _act(self, db: sqlite3.Connection, change: Change) -> Outcome:
        rows = db.execute("SELECT name, partitions, replicas, config, records FROM sim_topics").fetchall()
        live = {n: Topic(n, p, r, json.loads(c)) for n, p, r, c, _ in rows}
        name = change.address.name
        if change.action in (Action.DELETE, Action.REPLACE):
            records = next((row[4] for row in rows if row[0] == name), 0)
            if change.if_empty and records:
                return Outcome(kept=f"{records} record{'' if records == 1 else 's'} arrived since it was made")
            db.execute("DELETE FROM sim_topics WHERE name = ?", (name,))
            live.pop(name, None)
        if change.action is Action.DELETE:
            return Outcome()
        self._judge(change, live)
        assert isinstance(change.after, Topic)
        made = self._made(change, live.get(name))
        db.execute("INSERT INTO sim_topics (name, partitions, replicas, config) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE"
                   " SET partitions = excluded.partitions, config = excluded.config",
                   (name, made.partitions, made.replication_factor, json.dumps(dict(made.config), sort_keys=True)))  # fmt: skip
        return Outcome()

    def _made(self, change: Change, live: Topic | None) -> Topic:
        """The topic after the change, with values as Kafka stores them."""
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
        grown = next((d.after for d in change.diffs if d.path == "/partitions"), live.partitions)
        return replace(live, partitions=int(str(grown)), config=config)

    def _judge(self, change: Change, live: Mapping[str, Topic]) -> None:
        """Raises what Kafka would answer."""
        after, name = change.after, change.address.name
        if not isinstance(after, Topic):
            return
        if change.action is Action.UPDATE:
            self._judge_update(change, live.get(name))
            return
        problem = catalog.check_name(name)
        if problem:
            raise Rejected(f"the topic's name is illegal: {problem}")
        if name in live:
            raise Conflict(f"Topic '{name}' already exists.")
        collision = next((n for n in live if catalog.metric_name(n) == catalog.metric_name(name)), None)
        if collision:
            raise Rejected(f"Topic '{name}' collides with existing topic: {collision}")
        if after.partitions == 0 or after.partitions < -1:
            raise Rejected("Number of partitions must be larger than 0, or -1 to use the default value.")
        if after.partitions > MAX_PARTITIONS:
            raise Rejected("Excessively large number of partitions per request.")
        if after.replication_factor == 0 or after.replication_factor < -1:
            raise Rejected("Replication factor must be larger than 0, or -1 to use the default value.")
        if after.replication_factor > self.brokers:
            raise Rejected(f"Unable to replicate the partition {after.replication_factor} time(s): The target replication factor of "
                           f"{after.replication_factor} cannot be reached because only {self.brokers} broker(s) are registered.")  # fmt: skip
        _judge_config(after.config)

    def _judge_update(self, change: Change, live: Topic | None) -> None:
        if live is None:
            raise Conflict(f"the topic {change.address.name} does not exist")
        for diff in change.diffs:
            if diff.path == "/replication_factor":
                raise Unsupported(*_reassignment(live, int(str(diff.after)), self.brokers))
            if diff.path == "/partitions" and int(str(diff.after)) <= live.partitions:
                raise Rejected(f"Topic currently has {live.partitions} partitions, which is higher than the requested {diff.after}.")
        _judge_config({**live.config, **{d.key: str(d.after) for d in change.diffs if d.path.startswith("/config/") and d.after is not None}})


def _reassignment(topic: Topic, factor: int, brokers: int) -> tuple[str]:
    """What an operator would feed to kafka-reassign-partitions, as the sentence of the refusal."""
    partitions = [{"topic": topic.name, "partition": p, "replicas": [1 + (p + r) % brokers for r in range(factor)]} for p in range(topic.partitions)]
    plan = json.dumps({"version": 1, "partitions": partitions})
    return (f"the replication factor of {topic.name} is {topic.replication_factor}, not {factor}; replicas are moved by an operator, "
            f"with kafka-reassign-partitions and this JSON: {plan}",)  # fmt: skip


def _judge_config(config: Mapping[str, str]) -> None:
    for key, value in config.items():
        if key not in catalog.CONFIGS:
            raise Rejected(f"Unknown topic config name: {key}")
        try:
            catalog.canonical(key, value)
        except ValueError as e:
            raise Rejected(f"Invalid value {value} for configuration {key}: {e}") from e
    for _, problem in catalog.cross_check(config):
        raise Rejected(problem)


def _named(change: Change, message: str) -> str:
    """The path of the setting that the message names."""
    if "replicat" in message.lower():
        return "/replication_factor"
    if "partitions" in message:
        return "/partitions"
    keys = change.after.config if change.after else {}
    return next((f"/config/{key}" for key in sorted(keys, key=len, reverse=True) if key in message), "")


class SimulatedConnectors:
    """A Connect worker. A connector in `fail` is taken, and then its task fails."""

    kind = "connector"

    def __init__(self, path: Path | str, *, fail: Sequence[str] = ()) -> None:
        self.file = SimulatedFile(path)
        self.fail = frozenset(fail)

    def identify(self) -> Target:
        return Target(self.file.meta("cluster_id"), connect_url="simulated", connect_version="4.3.1 (simulated)")

    def read(self, names: Collection[str] | None) -> Reading:
        rows = self.file.read("SELECT name, config, state FROM sim_connectors ORDER BY name")
        wanted = None if names is None else set(names)
        found: dict[Address, Topic | Connector] = {}
        health = {}
        for name, config, state in rows:
            if wanted is None or name in wanted:
                settings = {k: text_from_json(v) for k, v in json.loads(config).items()}
                found[Address("connector", name)] = Connector(name, settings, state, reads=_sink_topics(settings))
                running = state.upper() if state != "stopped" else ""
                health[Address("connector", name)] = Health(state.upper(), (Task(0, running),) if running else ())
        return Reading(found, frozenset(row[0] for row in rows), health=health)

    def sign(self, config: Config) -> Config:
        """The config with this file's digests on its secrets, so that they can be compared with those that are stored."""
        salt = self.file.meta("salt")
        return {k: _signed(v, salt) for k, v in config.items()}

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        said: dict[Address, Sequence[Diagnostic]] = {}
        for change in changes:
            if isinstance(change.after, Connector) and not change.is_ledger_only:
                try:
                    _judge_connector(change.after)
                    said[change.address] = ()
                except KplanError as e:
                    said[change.address] = (error("K303", "Connect has no such connector class", e.message, help=e.help,
                                                  address=change.address, path="/config/connector.class"),)  # fmt: skip
        return said

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        captured = {}
        for change in changes:
            if change.action in (Action.DELETE, Action.REPLACE, Action.MOVE):
                name = (change.source or change.address).name
                rows = self.file.read("SELECT offsets FROM sim_offsets WHERE name = ?", name)
                captured[change.address] = {"offsets": json.loads(rows[0][0]) if rows else []}
        return captured

    def act(self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]) -> Mapping[Address, Outcome]:
        outcomes = {}
        for change in changes:
            try:
                with self.file.write() as db:
                    self._act(db, change, captured.get(change.address, {}).get("offsets"))
                outcomes[change.address] = Outcome()
            except KplanError as e:
                outcomes[change.address] = Outcome(e)
        return outcomes

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        outcomes = {}
        for change in changes:
            fails = str(change.address) in self.fail and change.action is not Action.DELETE and change.reason != "undo"
            outcomes[change.address] = Outcome(KplanError(
                "task 0: org.apache.kafka.connect.errors.ConnectException: simulated failure", code="K512", applied=True,
                help="`simulated: {fail: […]}` in kplan.yaml asks for this failure",
            )) if fails else Outcome()  # fmt: skip
        return outcomes

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        return {}

    def close(self) -> None:
        self.file.close()

    # -- Connect's rules ----------------------------------------------------------------------------------------------
    def _act(self, db: sqlite3.Connection, change: Change, offsets: object) -> None:
        name, after = change.address.name, change.after
        live = {row[0]: row[1] for row in db.execute("SELECT name, config FROM sim_connectors")}
        if change.action in (Action.DELETE, Action.REPLACE):
            db.execute("DELETE FROM sim_connectors WHERE name = ?", (name,))
            if not change.keep_offsets:
                db.execute("DELETE FROM sim_offsets WHERE name = ?", (name,))
        if change.action is Action.DELETE or not isinstance(after, Connector):
            return
        if change.action is Action.CREATE and name in live:
            raise Conflict(f"Connector {name} already exists")
        if change.action is Action.UPDATE and name not in live:
            raise Conflict(f"Connector {name} not found")
        _judge_connector(after)
        if change.action is Action.MOVE and change.source is not None:
            db.execute("DELETE FROM sim_connectors WHERE name = ?", (change.source.name,))
            db.execute("DELETE FROM sim_offsets WHERE name = ?", (change.source.name,))
        salt = str(db.execute("SELECT value FROM sim_meta WHERE key = 'salt'").fetchone()[0])
        known = json.loads(live[name]) if name in live else {}
        config = {k: _stored(k, v, salt, known) for k, v in after.config.items()}
        db.execute("INSERT OR REPLACE INTO sim_connectors VALUES (?, ?, ?)", (name, json.dumps(config, sort_keys=True), after.state))
        if change.action is Action.UPDATE or (after.state == "stopped" and offsets is None):
            return
        kept = offsets if offsets is not None else [{"partition": {"connector": name}, "offset": {"position": 1}}]
        if kept:
            db.execute("INSERT OR REPLACE INTO sim_offsets VALUES (?, ?)", (name, json.dumps(kept)))


def _judge_connector(connector: Connector) -> None:
    if connector.java_class not in PLUGINS:
        close = difflib.get_close_matches(connector.java_class, PLUGINS, 2, 0.5)
        raise Rejected(f"Failed to find any class that implements Connector and which name matches {connector.java_class}",
                       help=f"installed and near it: {', '.join(close)}" if close else "", code="K303")  # fmt: skip


def _sink_topics(config: Config) -> tuple[str, ...]:
    topics = config.get("topics")
    return tuple(t.strip() for t in topics.split(",") if t.strip()) if isinstance(topics, str) else ()


def _signed(value: Text, salt: str) -> Text:
    if not isinstance(value, Secret) or value.value is None:
        return value
    digest = hmac.new(salt.encode(), value.value.encode(), hashlib.sha256).hexdigest()
    return replace(value, fingerprint=f"sim:{digest[:32]}")


def _stored(key: str, value: Text, salt: str, known: Mapping[str, Any]) -> Any:
    """What goes into the file: a secret as its digest; one that is unknown here stays what it was."""
    secret = conceal(key, value) if isinstance(value, str) else value
    if not isinstance(secret, Secret):
        return value
    if secret.value is None:
        return known.get(key) or text_to_json(secret)
    signed = _signed(replace(secret, ref=""), salt)
    return text_to_json(signed)
