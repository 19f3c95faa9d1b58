"""One suite for every backend of connectors: what the simulation accepts, refuses and returns is what Connect does."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import Conflict, KplanError, Rejected
from kplan.kinds.connector.options import ConnectorOptions
from kplan.model import Action, Address, Change, Connector, Health, Secret, Topic
from kplan.planning.comparison import compare
from kplan.servers.access import Access, Pacing
from kplan.servers.base import Backend, Outcome
from kplan.servers.simulated import SimulatedConnectors

SOURCE = "org.apache.kafka.connect.file.FileStreamSourceConnector"
SINK = "org.apache.kafka.connect.file.FileStreamSinkConnector"


@dataclass
class World:
    """A backend, and a folder for the files that its connectors read and write."""

    backend: Backend
    folder: Path
    feed: Callable[[Connector], None]  # from now on the source has offsets
    made: list[str] = field(default_factory=list)

    def name(self) -> str:
        self.made.append(f"contract-{uuid.uuid4().hex[:8]}")
        return self.made[-1]

    def source(self, **config: str) -> Connector:
        name = self.name()
        file = self.folder / f"{name}.txt"
        return Connector(name, {"connector.class": SOURCE, "file": str(file), "topic": name, **config})

    def sink(self, **config: str) -> Connector:
        name = self.name()
        file = self.folder / f"{name}.out"
        return Connector(name, {"connector.class": SINK, "file": str(file), "topics": "contract-none", **config})

    def live(self, name: str) -> Connector | None:
        found = self.backend.read([name]).resources.get(Address("connector", name))
        return found if isinstance(found, Connector) else None

    def health(self, name: str) -> Health:
        return self.backend.read([name]).health[Address("connector", name)]

    def offsets(self, name: str) -> Sequence[Any]:
        gone = delete(name)
        return list(self.backend.capture([gone])[gone.address].get("offsets") or [])

    def make(self, connector: Connector) -> Connector:
        """The connector is there, as it is read."""
        outcome = run(self, create(connector))
        assert outcome.ok, outcome
        live = self.live(connector.name)
        assert live is not None
        return live

    def clean(self) -> None:
        run_all(self, [delete(name) for name in self.made])
        self.backend.close()


@pytest.fixture(params=["simulated", "connect"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "simulated":
        made = simulated(tmp_path)
    else:
        worker, cluster = request.getfixturevalue("connect"), request.getfixturevalue("kafka")
        made = real(worker.url, cluster.bootstrap, tmp_path)
    yield made
    made.clean()


def simulated(folder: Path) -> World:
    backend = SimulatedConnectors(folder / "sim.db")

    def feed(connector: Connector) -> None:
        place = {"partition": {"filename": connector.config["file"]}, "offset": {"position": 4}}
        backend.commit(connector.name, [place])

    return World(backend, folder, feed)


def real(url: str, bootstrap: str, folder: Path) -> World:
    connect = pytest.importorskip("kplan.servers.connect.connectors")
    from kplan.servers.kafka.topics import KafkaTopics

    topics = KafkaTopics({"bootstrap.servers": bootstrap}, delay=0.2, settle_timeout=30)
    made = World(
        connect.ConnectConnectors(Access([url]), Pacing(delay=0.2, settle_timeout=60, steady=0.3)),
        folder,
        lambda _: None,
    )

    def feed(connector: Connector) -> None:
        Path(str(connector.config["file"])).write_text("a\nb\n")
        topic = Topic(str(connector.config["topic"]))
        change = Change(topic.address, Action.CREATE, None, topic)
        assert topics.act([change], {})[topic.address].ok
        assert topics.settle([change], lambda *_: None)[topic.address].ok
        end = time.monotonic() + 60
        while not made.offsets(connector.name) and time.monotonic() < end:
            time.sleep(0.5)

    made.feed = feed
    return made


# -- changes ----------------------------------------------------------------------------------------------------------
def create(connector: Connector) -> Change:
    return Change(connector.address, Action.CREATE, None, connector)


def update(before: Connector, after: Connector) -> Change:
    diffs = compare(after, before, None).diffs
    return Change(before.address, Action.UPDATE, before, after, diffs)


def delete(name: str, **more: Any) -> Change:
    return Change(Address("connector", name), Action.DELETE, Connector(name), None, **more)


def run_all(
    world: World, changes: Sequence[Change], captured: Mapping[Address, Any] | None = None
) -> dict[Address, Outcome]:
    outcomes = dict(world.backend.act(changes, world.backend.capture(changes) if captured is None else captured))
    accepted = [change for change in changes if outcomes[change.address].ok]
    return outcomes | dict(world.backend.settle(accepted, lambda address, words: None))


def run(world: World, change: Change, captured: Mapping[str, Any] | None = None) -> Outcome:
    given = None if captured is None else {change.address: captured}
    return run_all(world, [change], given)[change.address]


def problems(world: World, change: Change) -> list[tuple[str, str]]:
    """What `check` has against it: code and path of each error."""
    said = world.backend.check([change])[change.address]
    return list(dict.fromkeys((problem.code, problem.path) for problem in said if problem.is_error))


def refused(world: World, change: Change) -> KplanError:
    error = run(world, change).error
    assert error is not None, "it was accepted"
    return error


# -- creating ---------------------------------------------------------------------------------------------------------
def test_a_created_connector_is_read_back_as_it_was_asked_for(world: World) -> None:
    asked = world.source(**{"tasks.max": "1", "batch.size": "200"})
    assert problems(world, create(asked)) == []
    assert world.make(asked) == asked
    health = world.health(asked.name)
    assert (health.state, [task.state for task in health.tasks]) == ("RUNNING", ["RUNNING"])
    assert asked.name in world.backend.read(None).names


def test_a_sink_reads_its_topics_and_has_as_many_tasks_as_it_may(world: World) -> None:
    live = world.make(world.sink(topics="contract-a, contract-b", **{"tasks.max": "2"}))
    assert live.reads == ("contract-a", "contract-b")
    assert [task.id for task in world.health(live.name).tasks] == [0, 1]


@pytest.mark.parametrize("state", ["paused", "stopped"])
def test_a_connector_may_be_created_at_rest(world: World, state: str) -> None:
    asked = replace(world.source(), state=state)
    assert world.make(asked) == asked
    health = world.health(asked.name)
    assert health.state == state.upper()
    assert state == "paused" or health.tasks == ()


def test_an_absent_connector_is_left_out(world: World) -> None:
    reading = world.backend.read([world.name()])
    assert (reading.resources, reading.hidden, reading.health) == ({}, frozenset(), {})


def test_creating_what_is_there_is_a_conflict(world: World) -> None:
    live = world.make(world.source())
    error = refused(world, create(replace(live, config={**live.config, "batch.size": "3"})))
    assert (type(error), error.code) == (Conflict, "K314")
    assert world.live(live.name) == live


REFUSED: Mapping[str, tuple[Callable[[World], Connector], str, str, str]] = {
    # what, the code of act, the code of check, the path
    "unknown class": (lambda w: Connector(w.name(), {"connector.class": "no.Such"}), "K303", "K303", "connector.class"),
    "no class": (lambda w: Connector(w.name(), {"topic": "t"}), "K301", "K303", "connector.class"),
    "no topic": (lambda w: Connector(w.name(), {"connector.class": SOURCE}), "K301", "K302", "topic"),
    "wrong number": (lambda w: w.source(**{"batch.size": "many"}), "K301", "K302", "batch.size"),
    "no tasks": (lambda w: w.source(**{"tasks.max": "0"}), "K301", "K302", "tasks.max"),
    "no number of tasks": (lambda w: w.source(**{"tasks.max": "x"}), "K301", "K302", "tasks.max"),
    "two ways to name topics": (lambda w: w.sink(**{"topics.regex": "a.*"}), "K301", "K302", "topics"),
    "no tolerance": (lambda w: w.source(**{"errors.tolerance": "some"}), "K301", "K302", "errors.tolerance"),
    "transform without a type": (lambda w: w.source(transforms="cut"), "K301", "K302", "transforms.cut.type"),
}


@pytest.mark.parametrize("claim", REFUSED)
def test_a_connector_that_connect_refuses(world: World, claim: str) -> None:
    make, acting, checking, key = REFUSED[claim]
    connector = make(world)
    assert (checking, f"/config/{key}") in problems(world, create(connector))
    error = refused(world, create(connector))
    assert (type(error), error.code, error.applied) == (Rejected, acting, False)
    assert world.live(connector.name) is None


def test_the_short_name_of_a_class_will_do(world: World) -> None:
    live = world.make(world.source(**{"connector.class": "FileStreamSource"}))
    assert live.java_class == "FileStreamSource"


def test_one_bad_of_three_leaves_two(world: World) -> None:
    connectors = [world.source(), world.source(**{"tasks.max": "0"}), world.sink()]
    outcomes = run_all(world, [create(connector) for connector in connectors])
    assert [outcomes[connector.address].ok for connector in connectors] == [True, False, True]
    assert [world.live(connector.name) is not None for connector in connectors] == [True, False, True]


# -- updating ---------------------------------------------------------------------------------------------------------
def test_a_config_is_replaced_whole(world: World) -> None:
    before = world.make(world.source(**{"batch.size": "5"}))
    after = replace(
        before, config={key: v for key, v in before.config.items() if key != "batch.size"} | {"tasks.max": "1"}
    )
    assert problems(world, update(before, after)) == []
    assert run(world, update(before, after)).ok
    assert world.live(before.name) == after


@pytest.mark.parametrize("state", ["paused", "stopped"])
def test_a_connector_rests_and_runs_again(world: World, state: str) -> None:
    running = world.make(world.source())
    resting = replace(running, state=state)
    assert run(world, update(running, resting)).ok
    assert world.live(running.name) == resting
    assert run(world, update(resting, running)).ok
    assert world.live(running.name) == running
    assert [task.state for task in world.health(running.name).tasks] == ["RUNNING"]


def test_a_refused_update_changes_nothing(world: World) -> None:
    before = world.make(world.source())
    after = replace(before, config={**before.config, "tasks.max": "0"})
    assert problems(world, update(before, after)) == [("K302", "/config/tasks.max")]
    error = refused(world, update(before, after))
    assert (type(error), error.code) == (Rejected, "K301")
    assert world.live(before.name) == before


def test_updating_what_is_gone_creates_nothing_by_changing_its_state(world: World) -> None:
    before = world.source()
    error = refused(world, update(before, replace(before, state="paused")))
    assert type(error) is Conflict
    assert world.live(before.name) is None


# -- secrets ----------------------------------------------------------------------------------------------------------
def test_a_secret_is_read_back_as_one(world: World) -> None:
    asked = world.source()
    asked = replace(asked, config={**asked.config, "some.password": Secret("{{ var.p }}", "s3cret-of-mine")})
    live = world.make(asked)
    assert isinstance(live.config["some.password"], Secret)
    assert live.secrets == ("some.password",)


def test_a_reference_to_a_secret_is_stored_as_written(world: World) -> None:
    live = world.make(world.source(**{"some.password": "${env:PATH}"}))
    assert live.config["some.password"] == "${env:PATH}"


def test_a_secret_that_nobody_knows_is_not_sent(world: World) -> None:
    asked = world.source()
    asked = replace(asked, config={**asked.config, "some.password": Secret("{{ var.p }}")})
    error = refused(world, create(asked))
    assert (type(error), error.code) == (Rejected, "K316")


def test_an_unknown_secret_stays_when_something_else_changes(world: World) -> None:
    asked = world.source()
    asked = replace(asked, config={**asked.config, "some.password": Secret(value="s3cret-of-mine")})
    before = world.make(asked)
    unknown = {**before.config, "some.password": Secret("{{ var.p }}"), "batch.size": "7"}
    assert run(world, update(before, replace(before, config=unknown))).ok
    live = world.live(before.name)
    assert live is not None
    assert live.config["batch.size"] == "7"
    [old, new] = [connector.config["some.password"] for connector in (before, live)]
    assert isinstance(old, Secret)
    assert isinstance(new, Secret)
    assert old.same_as(new)


# -- deleting, replacing, moving --------------------------------------------------------------------------------------
def test_a_deleted_connector_is_gone_with_its_offsets(world: World) -> None:
    connector = world.make(world.source())
    world.feed(connector)
    assert world.offsets(connector.name)
    assert run(world, delete(connector.name)).ok
    assert world.live(connector.name) is None
    world.make(replace(connector, state="stopped"))
    assert world.offsets(connector.name) == []


def test_deleting_what_is_gone_is_fine(world: World) -> None:
    assert run(world, delete(world.name())).ok


def test_kept_offsets_are_there_for_the_next_of_that_name(world: World) -> None:
    connector = world.make(world.source())
    world.feed(connector)
    offsets = world.offsets(connector.name)
    assert run(world, delete(connector.name, options=ConnectorOptions(keep_offsets=True))).ok
    world.make(replace(connector, state="stopped"))
    assert world.offsets(connector.name) == offsets


def test_captured_offsets_come_back(world: World) -> None:
    connector = world.make(world.source())
    world.feed(connector)
    gone = delete(connector.name)
    captured = world.backend.capture([gone])[gone.address]
    assert captured["offsets"]
    assert run(world, gone, captured).ok
    assert run(world, create(connector), captured).ok
    assert world.live(connector.name) == connector
    assert world.offsets(connector.name) == captured["offsets"]


def test_a_replaced_connector_starts_anew(world: World) -> None:
    before = world.make(world.source())
    world.feed(before)
    after = replace(before, config={**before.config, "batch.size": "9"}, state="stopped")
    change = Change(before.address, Action.REPLACE, before, after, update(before, after).diffs)
    assert problems(world, change) == []
    assert run(world, change).ok
    assert world.live(before.name) == after
    assert world.offsets(before.name) == []


def test_a_moved_connector_takes_its_offsets_along(world: World) -> None:
    before = world.make(world.source())
    world.feed(before)
    offsets = world.offsets(before.name)
    after = replace(before, name=world.name())
    change = Change(after.address, Action.MOVE, before, after)
    assert run(world, change).ok
    assert world.live(before.name) is None
    assert world.live(after.name) == after
    assert world.offsets(after.name) == offsets


# -- the rest ---------------------------------------------------------------------------------------------------------
def test_connectors_have_no_facts(world: World) -> None:
    assert world.backend.facts(["a"]) == {}


def test_the_worker_says_which_version_it_has(world: World) -> None:
    world.make(world.source())
    target = world.backend.identify()
    assert target.cluster_id
    assert target.connect_version.startswith("4.3.1")
