"""Another replication factor, on three simulated brokers and on three real ones: moved, put back, and cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from kplan.app.servers import open_cluster, open_store
from kplan.diagnostics import Stale, Timeout
from kplan.execution.apply import Apply
from kplan.execution.run import Run
from kplan.kinds.topic.options import Replicas, TopicOptions, topic_options
from kplan.kinds.topic.placement import FOLLOWER_RATE, FOLLOWERS, LEADER_RATE, LEADERS
from kplan.model import Address, Change
from kplan.planning.pipeline import Options, make
from kplan.planning.reading import read_addresses
from kplan.planning.risk import Accepted
from kplan.project.loading import Request, load_environment, load_project
from kplan.servers.base import Backend, Cluster, Outcome, Progress
from kplan.state.base import Holder
from tests.services import KafkaCluster, ServiceMissing
from tests.services.fixtures import without
from tests.shell import Shell

THROTTLED = (LEADER_RATE, FOLLOWER_RATE, LEADERS, FOLLOWERS)
NARROW = "64KiB"  # a second: 6 MB are not moved while a test looks


@dataclass
class World:
    """A folder with stacks and an environment of three brokers, simulated without `bootstrap`."""

    shell: Shell
    bootstrap: str = ""
    name: str = "moved"
    options: dict[str, Any] = field(default_factory=dict)

    def environment(self, **options: Any) -> None:
        """What `kplan.yaml` says."""
        self.options = options
        where = {"kafka": {"bootstrap.servers": self.bootstrap}, "state": {"sqlite": "state.db"}}
        here = {**(where if self.bootstrap else {}), "timeouts": {"request": "5s"}, **options}
        self.shell.write("kplan.yaml", json.dumps({"version": 1, "environments": {"local": here}}))

    def stack(self, factor: int, **more: Any) -> None:
        topic = {"partitions": 3, "replication_factor": factor, "accept": ["durability"], **more}
        self.shell.write("stack.yaml", json.dumps({"version": 1, "stack": self.name, "topics": {self.name: topic}}))

    def apply(self, factor: int, expect: int = 0, **more: Any) -> Any:
        self.stack(factor, **more)
        return self.shell.kplan("apply", "stack.yaml", "--yes", expect=expect)

    @cached_property
    def backend(self) -> Backend:
        return open_cluster(load_environment(Request(folder=str(self.shell.folder)))).topics

    @property
    def replicas(self) -> Replicas:
        return self.backend.placement([self.name]).replicas[self.name]

    @property
    def factors(self) -> set[int]:
        return {len(replicas) for replicas in self.replicas.values()}

    @property
    def config(self) -> Mapping[str, Any]:
        return self.backend.read([self.name]).resources[Address("topic", self.name)].config

    def close(self) -> None:
        if "backend" in self.__dict__:
            self.backend.close()


@pytest.fixture(scope="module")
def brokers() -> Iterator[KafkaCluster]:
    try:
        with KafkaCluster(brokers=3) as cluster:
            yield cluster
    except ServiceMissing as missing:
        without(missing)


def world_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> World:
    bootstrap = request.getfixturevalue("brokers").bootstrap if kind == "kafka" else ""
    made = World(
        Shell(folder), bootstrap, f"moved-{folder.name.rstrip('0123456789')[:40].strip('-_')}".replace("_", "-")
    )
    made.environment()
    return made


@pytest.fixture(params=["simulated", "kafka"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with closing(world_of(request.param, request, tmp_path)) as made:
        yield made


@pytest.fixture
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with closing(world_of("kafka", request, tmp_path)) as made:
        yield made


# -- moving -----------------------------------------------------------------------------------------------------------
def test_replicas_come_and_go_and_leaders_stay(world: World) -> None:
    world.apply(1)
    first = world.replicas
    applied = world.apply(3, config={"min.insync.replicas": 2})
    assert "adds 6 replicas on brokers 1, 2, 3, in 3 partitions" in applied.out
    assert all(set(replicas) == {1, 2, 3} and replicas[0] == first[p][0] for p, replicas in world.replicas.items())
    assert world.config == {"min.insync.replicas": "2"}
    assert "No changes." in world.shell.kplan("plan", "stack.yaml").out
    three = world.replicas
    assert "removes 3 replicas" in world.apply(2, config={"min.insync.replicas": 1}).out
    two = world.replicas
    assert world.factors == {2} and all(set(two[p]) < set(three[p]) and two[p][0] == three[p][0] for p in two)
    assert "No changes." in world.shell.kplan("plan", "stack.yaml").out


def test_a_saved_plan_does_what_it_shows_or_is_stale(world: World) -> None:
    world.apply(1)
    world.stack(2)
    world.shell.kplan("plan", "stack.yaml", "--out", "plan.json")
    change = json.loads((world.shell.folder / "plan.json").read_text())["changes"][0]
    shown = {each["partition"]: tuple(each["after"]) for each in change["reassignment"]["partitions"]}
    assert change["undo"] == {"kind": "restore", "complete": True}
    world.shell.kplan("apply", "plan.json", "--yes")
    assert world.replicas == shown
    planned = make_plan(world, 3)
    elsewhere = {p: tuple(reversed(replicas)) for p, replicas in world.replicas.items()}
    moved = replace(topic_options(planned).reassignment, before=elsewhere)
    with pytest.raises(Stale, match=r"planned from brokers .*, now "):
        world.backend.capture([replace(planned, options=TopicOptions(reassignment=moved))])


def make_plan(world: World, factor: int) -> Any:
    """The change that the plan has."""
    world.stack(factor)
    return planned(world, Cluster.of(world.backend, None))[0].changes[0]


def planned(world: World, cluster: Cluster) -> Any:
    loaded = load_project(Request((str(world.shell.folder / "stack.yaml"),)))
    store = open_store(loaded.environment)
    return make(loaded.stacks[0], cluster, store, Options(accept=Accepted(("*",)))), store


@pytest.mark.parametrize("factor", [4, 9])
def test_more_replicas_than_brokers_are_refused(world: World, factor: int) -> None:
    world.apply(1)
    world.stack(factor)
    said = world.shell.kplan("plan", "stack.yaml", expect=4).all
    assert f"replication factor {factor} of {world.name} needs as many brokers, there are 3" in said


def test_partitions_and_replicas_are_not_changed_in_one_step(world: World) -> None:
    world.apply(1)
    world.stack(3, partitions=6)
    assert "error[K330]" in world.shell.kplan("plan", "stack.yaml", expect=4).all


def test_in_sync_replicas_that_would_stop_all_writes_are_refused(world: World) -> None:
    """Also where the stack does not say them: the topic has them."""
    world.apply(3, config={"min.insync.replicas": 2})
    world.shell.write("other.yaml", json.dumps({"version": 1, "stack": world.name, "topics": {
        world.name: {"partitions": 3, "replication_factor": 1, "ignore": ["min.insync.replicas"]}}}))  # fmt: skip
    assert "min.insync.replicas 2 > replication factor 1" in world.shell.kplan("plan", "other.yaml", expect=4).all


def test_without_the_extra_it_is_refused_with_the_way_out(real: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real.apply(1)
    change = make_plan(real, 3)
    bare = replace(change, options=TopicOptions(reassignment=None))
    monkeypatch.setitem(sys.modules, "kafka", None)
    said = real.backend.check([bare])[bare.address]
    assert [problem.code for problem in said] == ["K327"]
    assert "pip install 'kplan[admin]'" in said[0].help and '"replicas": [' in said[0].help
    for each in (bare, change):
        error = real.backend.act([each], {})[each.address].error
        assert error is not None and error.code == "K327"
    assert real.factors == {1}


# -- putting back -----------------------------------------------------------------------------------------------------
class Fails:
    """The backend, but settling fails once it has settled: the step was done and counts as failed."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.spoilt = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        outcomes = self._backend.settle(changes, progress)
        if self.spoilt:
            return outcomes
        self.spoilt += 1
        return {address: Outcome(Timeout("spoilt")) for address in outcomes}


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
def test_a_failure_puts_replicas_back_to_where_they_were(world: World, before: int, after: int) -> None:
    world.apply(before)
    was = world.replicas
    world.stack(after)
    cluster = Cluster.of(Fails(world.backend), None)  # type: ignore[arg-type]
    plan, store = planned(world, cluster)
    with closing(store):
        addresses = {change.address for change in plan.changes}
        holder = Holder("test@here", "run", "test", "now")
        run = Run(plan, cluster, store, holder, lambda: (read_addresses(cluster, addresses), store.ledger()))
        result = Apply(run).execute()
    assert (result.outcome, result.left) == ("rolled_back", ())
    assert world.replicas == was


# -- what only takes time on real brokers -----------------------------------------------------------------------------
def filled(world: World) -> Replicas:
    """A topic of one replica with 6 MB; where its replicas are."""
    from confluent_kafka import Producer

    world.apply(1)
    producer = Producer({"bootstrap.servers": world.bootstrap, "log_level": 0, "linger.ms": 20})
    for number in range(600):
        producer.produce(world.name, os.urandom(10_000), partition=number % 3)
    assert producer.flush(60) == 0
    return world.replicas


def throttles(world: World) -> list[str]:
    """All that is throttled on brokers and on the topic."""
    from confluent_kafka.admin import AdminClient, ConfigResource

    admin = AdminClient({"bootstrap.servers": world.bootstrap, "log_level": 0})
    asked = [ConfigResource(ConfigResource.Type.BROKER, str(broker)) for broker in (1, 2, 3)]
    asked.append(ConfigResource(ConfigResource.Type.TOPIC, world.name))
    entries = [next(iter(admin.describe_configs([each]).values())).result(30) for each in asked]
    return sorted(
        f"{each.name}/{key}"
        for each, found in zip(asked, entries, strict=True)
        for key in THROTTLED
        if key in found and found[key].source in (1, 2)
    )


def started(world: World, until: Callable[[], bool]) -> subprocess.Popen[bytes]:
    """An apply to three replicas that is running when `until` holds."""
    world.environment(reassign={"throttle": NARROW}, timeouts={"request": "5s", "reassign": "120s"})
    world.stack(3, config={"min.insync.replicas": 2})
    command = [sys.executable, "-m", "kplan", "apply", "stack.yaml", "--yes"]
    process = subprocess.Popen(
        command, cwd=world.shell.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 90
    while not until():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    return process


def killed(world: World) -> None:
    process = started(world, lambda: world.factors == {3})
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(throttles(world)) == 8, "it was killed too late"
    assert "was interrupted" in world.shell.kplan("plan", "stack.yaml", expect=8).all


def test_a_killed_run_is_put_back_with_its_throttle(real: World) -> None:
    was = filled(real)
    killed(real)
    real.shell.kplan("recover", "--yes")
    assert (real.replicas, throttles(real), real.config) == (was, [], {})
    real.stack(1)
    assert "No changes." in real.shell.kplan("plan", "stack.yaml").out


def test_a_killed_run_is_completed_with_its_throttle(real: World) -> None:
    filled(real)
    killed(real)
    real.shell.kplan("recover", "--forward", "--yes")
    assert (real.factors, throttles(real), real.config) == ({3}, [], {"min.insync.replicas": "2"})
    assert "No changes." in real.shell.kplan("plan", "stack.yaml").out


def test_ctrl_c_puts_back_what_is_still_being_moved(real: World) -> None:
    was = filled(real)
    process = started(real, lambda: real.factors == {3})
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 7
    assert (real.replicas, throttles(real)) == (was, [])


def test_what_takes_too_long_is_put_back(real: World) -> None:
    was = filled(real)
    real.environment(reassign={"throttle": NARROW}, timeouts={"request": "5s", "reassign": "3s"})
    said = real.apply(3, expect=7).all
    assert "error[K527]" in said and "not all replicas are in sync after 3 s" in said
    assert (real.replicas, throttles(real)) == (was, [])


def test_somebody_elses_throttle_stays_as_it_is(real: World) -> None:
    from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

    def set_rate(value: str | None) -> None:
        how = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        entry = ConfigEntry(LEADER_RATE, value, incremental_operation=how)
        broker = ConfigResource(ConfigResource.Type.BROKER, "2", incremental_configs=[entry])
        next(iter(admin.incremental_alter_configs([broker]).values())).result(30)

    admin = AdminClient({"bootstrap.servers": real.bootstrap, "log_level": 0})
    real.apply(1)
    set_rate("1000000")
    try:
        real.environment(reassign={"throttle": "10MiB"})
        real.apply(3)
        assert (real.factors, throttles(real)) == ({3}, [f"2/{LEADER_RATE}"])
    finally:
        set_rate(None)
