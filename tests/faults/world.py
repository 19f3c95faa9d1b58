"""One trial's world: topics, connectors and a stack of its own, and what it looks like before and after its apply."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from confluent_kafka.admin import ConfigResource, NewTopic  # type: ignore[attr-defined]

from kplan.kinds.codec import owned_to_json
from kplan.state.base import Store
from kplan.state.kafka.store import KafkaStore
from kplan.state.sqlite import SqliteStore
from tests.faults.running import kplan
from tests.faults.stage import Lane

Seen = Mapping[str, Any]  # by address, or `ledger ADDRESS`
SOURCE = "org.apache.kafka.connect.file.FileStreamSourceConnector"
GROWN, GONE = "topic/P.grown", "topic/P.gone"  # what the plan says cannot be undone
SESSION = 3.0  # seconds until a killed holder's lock is free; the test's broker allows it
REQUEST = 5.0
LAST_LOOK = 15.0  # seconds until a difference counts

EVERY_BEFORE = f"""
version: 1
stack: P
topics:
  P.config: {{config: {{retention.ms: 1d}}}}
  P.reset: {{config: {{retention.ms: 1d, max.message.bytes: "1000000"}}}}
  P.grown:
  P.gone:
  P.released:
  P.lines:
connectors:
  P-changed: {{class: {SOURCE}, config: {{file: /no/P-changed, topic: P.lines}}}}
  P-paused: {{class: {SOURCE}, config: {{file: /no/P-paused, topic: P.lines}}}}
  P-resumed: {{class: {SOURCE}, state: paused, config: {{file: /no/P-resumed, topic: P.lines}}}}
  P-stopped: {{class: {SOURCE}, config: {{file: /no/P-stopped, topic: P.lines}}}}
  P-gone: {{class: {SOURCE}, config: {{file: /no/P-gone, topic: P.lines}}}}
  P-replaced: {{class: {SOURCE}, config: {{file: /no/P-replaced, topic: P.lines}}}}
  P-old: {{class: {SOURCE}, config: {{file: /no/P-old, topic: P.lines}}}}
"""
EVERY_AFTER = f"""
version: 1
stack: P
topics:
  P.config: {{config: {{retention.ms: 2d}}}}
  P.reset: {{config: {{retention.ms: 1d, compression.type: zstd}}}}
  P.grown: {{partitions: 3}}
  P.lines:
  P.one: {{partitions: 2}}
  P.two: {{config: {{cleanup.policy: compact}}}}
  P.found:
  P.found-otherwise: {{config: {{retention.ms: 3d}}}}
connectors:
  P-changed: {{class: {SOURCE}, config: {{file: /no/P-changed, topic: P.lines, batch.size: "10"}}}}
  P-paused: {{class: {SOURCE}, state: paused, config: {{file: /no/P-paused, topic: P.lines}}}}
  P-resumed: {{class: {SOURCE}, config: {{file: /no/P-resumed, topic: P.lines}}}}
  P-stopped: {{class: {SOURCE}, state: stopped, config: {{file: /no/P-stopped, topic: P.lines}}}}
  P-replaced: {{class: {SOURCE}, config: {{file: /no/P-other, topic: P.lines}}}}
  P-moved: {{class: {SOURCE}, config: {{file: /no/P-old, topic: P.lines}}}}
  P-new: {{class: {SOURCE}, config: {{file: /no/P-new, topic: P.one}}}}
moved:
  - {{from: connector/P-old, to: connector/P-moved}}
removed:
  - {{topic: P.released, keep: true}}
  - {{connector: P-gone}}
"""
DELETED = "  - {topic: P.gone}\n"
SMALL_BEFORE = f"""
version: 1
stack: P
topics:
  P.config: {{config: {{retention.ms: 1d}}}}
  P.grown:
  P.gone:
  P.lines:
connectors:
  P-changed: {{class: {SOURCE}, config: {{file: /no/P-changed, topic: P.lines}}}}
  P-gone: {{class: {SOURCE}, config: {{file: /no/P-gone, topic: P.lines}}}}
  P-old: {{class: {SOURCE}, config: {{file: /no/P-old, topic: P.lines}}}}
"""
SMALL_AFTER = f"""
version: 1
stack: P
topics:
  P.one: {{partitions: 2}}
  P.config: {{config: {{retention.ms: 2d}}}}
  P.grown: {{partitions: 3}}
  P.lines:
connectors:
  P-changed: {{class: {SOURCE}, config: {{file: /no/P-changed, topic: P.lines, batch.size: "10"}}}}
  P-moved: {{class: {SOURCE}, config: {{file: /no/P-old, topic: P.lines}}}}
moved:
  - {{from: connector/P-old, to: connector/P-moved}}
removed:
  - {{topic: P.gone}}
  - {{connector: P-gone}}
"""
ACCEPTED = ("--accept", "delete:*", "--accept", "replace:*", "--accept", "change:*")
FLAGS = ("--yes", "--offline", "--brief", "--parallel", "1", *ACCEPTED)


@dataclass(frozen=True)
class Scene:
    """A stack before and after, what its apply is asked for, and what was there that is not the stack's.

    `offsets` are the connectors that are given offsets, `commits` those that commit their own; with `fails` the last
    step is one that the broker refuses.
    `given` are flags that every apply needs, `recover` such as `kplan recover` gets; `settle` is in seconds.
    """

    before: str
    after: str
    flags: tuple[str, ...] = FLAGS
    offsets: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    fails: bool = False
    given: tuple[str, ...] = ()
    recover: tuple[str, ...] = ()
    settle: float = 60.0


EVERY = Scene(EVERY_BEFORE, EVERY_AFTER + DELETED, (*FLAGS, "--replace", "connector/P-replaced"),
              ("gone", "replaced", "old", "changed"), found=("found", "found-otherwise"))  # fmt: skip
REFUSED = "P.grown: {partitions: 3, config: {remote.storage.enable: true}}\n  P.gone:"  # "disabled in the broker"
FAILING = replace(EVERY, after=EVERY_AFTER.replace("P.grown: {partitions: 3}", REFUSED), fails=True)
SMALL = Scene(SMALL_BEFORE, SMALL_AFTER, FLAGS, ("gone", "old", "changed"))


@dataclass
class World:
    """A scene in which everything is named after `prefix`, which stands as P in stacks and in what is `seen`.

    The state is in a topic of its own, or in the file `sqlite`.
    """

    lane: Lane
    prefix: str
    scene: Scene
    sqlite: Path | None = None
    folders: list[tempfile.TemporaryDirectory[str]] = field(default_factory=list)

    # -- making ---------------------------------------------------------------------------------------------------
    def make(self) -> None:
        """The start state is there, made by kplan where the stack owns it."""
        self._found()
        ended = kplan(
            self.machine(self.named(self.scene.before)), "apply", "stack.yaml", "--yes", "--brief", *self.scene.given
        )
        assert ended.code == 0, ended.out
        for name in self.scene.offsets:
            self._give_offsets(f"{self.prefix}-{name}")
        for name in self.scene.offsets:
            self.await_state(name, "RUNNING")
        for name in self.scene.commits:
            self._await_offsets(f"{self.prefix}-{name}")

    def _await_offsets(self, name: str) -> None:
        """Wait until a connector has committed; one that had no offsets before would be taken for changed."""
        self._until(lambda: bool(self.lane.stage.ask("GET", f"/connectors/{name}/offsets").json().get("offsets")))

    def _found(self) -> None:
        """What another one made, and kplan is to adopt."""
        config = {"retention.ms": "1000000"}
        new = [NewTopic(f"{self.prefix}.{name}", 1, self.replicas, config=config) for name in self.scene.found]
        for future in self.lane.stage.admin.create_topics(new).values() if new else ():
            future.result(30)

    def _give_offsets(self, name: str) -> None:
        ask = self.lane.stage.ask
        ask("PUT", f"/connectors/{name}/stop")
        offsets = [{"partition": {"filename": f"/no/{name}"}, "offset": {"position": 7}}]
        self._until(lambda: ask("PATCH", f"/connectors/{name}/offsets", {"offsets": offsets}).status_code == 200)
        ask("PUT", f"/connectors/{name}/resume")

    def await_state(self, name: str, state: str) -> None:
        path = f"/connectors/{self.prefix}-{name}/status"

        def reached() -> bool:
            data = self.lane.stage.ask("GET", path).json()
            tasks = data.get("tasks", ())
            return bool(tasks) and all(each["state"] == state for each in tasks)

        self._until(reached)

    def _until(self, check: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < deadline, f"{self.prefix}: not in time"
            time.sleep(0.2)

    # -- kplan on it ----------------------------------------------------------------------------------------------
    def named(self, text: str) -> str:
        return text.replace("P", self.prefix)

    def machine(self, stack: str = "") -> Path:
        """A working folder that holds kplan.yaml, the stack if there is one, and nothing else."""
        folder = tempfile.TemporaryDirectory(prefix="kplan-machine-")
        self.folders.append(folder)
        Path(folder.name, "kplan.yaml").write_text(self.environment())
        if stack:
            Path(folder.name, "stack.yaml").write_text(stack)
        return Path(folder.name)

    def environment(self) -> str:
        return json.dumps({"version": 1, "default": "dev", "environments": {"dev": {
            "kafka": {"bootstrap.servers": self.lane.bootstrap, "log_level": 0},
            "connect": {"url": self.lane.url},
            "state": {"sqlite": str(self.sqlite)} if self.sqlite else {"kafka_topic": self.state},
            "defaults": {"topic": {"replication_factor": self.replicas}},
            "timeouts": {"request": f"{REQUEST:g}s", "settle": f"{self.scene.settle:g}s", "session": f"{SESSION:g}s"},
            "retry": {"delay": "0.5s"},
        }}})  # fmt: skip

    @property
    def replicas(self) -> int:
        return len(self.lane.stage.kafka.brokers)

    @property
    def state(self) -> str:
        return f"__kplan_{self.prefix}"

    @property
    def stack(self) -> str:
        return self.named(self.scene.after)

    @property
    def apply(self) -> list[str]:
        """The command line of the apply under trial."""
        return ["apply", "stack.yaml", *(self.named(flag) if "/P" in flag else flag for flag in self.scene.flags)]

    @property
    def recover(self) -> list[str]:
        """The flags that `kplan recover` needs besides."""
        return [self.named(flag) if "/P" in flag else flag for flag in self.scene.recover]

    # -- looking --------------------------------------------------------------------------------------------------
    def seen(self) -> Seen:
        """All that is there of this world: topics, connectors with state and offsets, the ledger, open runs."""
        found = {**self._topics(), **self._connectors(), **self._ledger()}
        text = json.dumps(found, sort_keys=True).replace(self.prefix, "P")
        return json.loads(text)  # type: ignore[no-any-return]

    def _topics(self) -> dict[str, Any]:
        admin = self.lane.stage.admin
        listed = admin.list_topics(timeout=20).topics
        mine = {name: topic for name, topic in listed.items() if name.startswith(f"{self.prefix}.")}
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in mine]
        configs = {r.name: f.result(20) for r, f in admin.describe_configs(resources).items()} if mine else {}
        return {f"topic/{name}": {"partitions": len(topic.partitions), "config": {
            key: entry.value for key, entry in configs[name].items() if entry.source == 1
        }} for name, topic in mine.items()}  # fmt: skip

    def _connectors(self) -> dict[str, Any]:
        every = self.lane.stage.ask("GET", "/connectors?expand=info&expand=status").json()
        named = self.lane.stage.ask("GET", "/connectors").json()  # the other leaves out what has no status yet
        mine = [name for name in {*every, *named} if name.startswith(f"{self.prefix}-")]
        return {f"connector/{name}": self._connector(name, every.get(name) or {}) for name in mine}

    def _connector(self, name: str, data: Mapping[str, Any]) -> dict[str, Any]:
        status = data.get("status") or {}
        config = (data.get("info") or {}).get("config")
        offsets = self.lane.stage.ask("GET", f"/connectors/{name}/offsets").json().get("offsets")
        if "database.hostname" in (config or {}):  # they go on by themselves
            offsets = [offset["partition"] for offset in offsets or ()]
        return {
            "config": config,
            "state": (status.get("connector") or {}).get("state"),
            "tasks": sorted({task["state"] for task in status.get("tasks", ())} - {"PAUSED"}),
            "offsets": offsets,
        }

    @cached_property
    def store(self) -> Store:
        """The world's state, to be read."""
        if self.sqlite is not None:
            return SqliteStore(self.sqlite)
        return KafkaStore({"bootstrap.servers": self.lane.stage.kafka.bootstrap, "log_level": "0"}, self.state)

    def forget_store(self) -> None:
        """Close the reader of the state; the next look opens another one."""
        if "store" in self.__dict__:
            self.store.close()
            del self.__dict__["store"]

    def _ledger(self) -> dict[str, Any]:
        opened = list(self.store.open_runs())
        records = {f"ledger {address}": _record(owned) for address, owned in self.store.ledger().items()}
        return {**records, **({"open runs": opened} if opened else {})}

    # -- ending ---------------------------------------------------------------------------------------------------
    def remove(self) -> None:
        """Nothing of it is left."""
        self.store.close()
        stage = self.lane.stage
        for name in stage.ask("GET", "/connectors").json():
            if name.startswith(f"{self.prefix}-"):
                stage.ask("DELETE", f"/connectors/{name}")
        topics = [name for name in stage.admin.list_topics(timeout=20).topics if self._mine(name)]
        if topics:
            for future in stage.admin.delete_topics(topics).values():
                future.exception(30)
        self.leave()

    def _mine(self, name: str) -> bool:
        return name == self.state or name.startswith(f"{self.prefix}.")

    def leave(self) -> None:
        """The machines' folders are gone."""
        while self.folders:
            self.folders.pop().cleanup()


def _record(owned: Any) -> dict[str, Any]:
    """A ledger record without when and by which run."""
    return {key: value for key, value in owned_to_json(owned).items() if key not in ("run", "at")}


def differing(one: Seen, other: Seen) -> list[str]:
    """The addresses at which two looks differ."""
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))


def irreversible(addresses: Iterable[str]) -> bool:
    """Whether all of these are what the plan said cannot be undone, or their records."""
    return all(address.removeprefix("ledger ") in (GROWN, GONE) for address in addresses)
