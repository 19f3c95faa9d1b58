"""One suite for every registry: the simulation and the imitated one of Confluent's do what a real one does.

`make confluent URL=…` runs it on a registry of yours; its subjects are named `contract.…`, and removed for good.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import KplanError, Rejected, codes
from kplan.kinds.subject.comparison import SubjectComparison
from kplan.kinds.subject.options import SubjectOptions
from kplan.kinds.subject.schemas import fingerprint
from kplan.kinds.subject.subject import Reference, Subject
from kplan.model import EMPTY, Action, Address, Change
from kplan.model.masks import Mask
from kplan.servers.access import Access, Pacing
from kplan.servers.base import Outcome
from kplan.servers.registry.api import NotCompatible, RegisteredSchema, Registry
from kplan.servers.registry.client import RegistryClient
from kplan.servers.registry.subjects import RegistrySubjects
from kplan.servers.simulated_registry import SimulatedRegistry
from tests.fakes.confluent_registry import ConfluentRegistry, serve_registry

URL = os.environ.get("KPLAN_TEST_REGISTRY", "")  # with its login, as in https://name:password@host
CONFLUENT = {"confluent": False, "confluent-forgets-level": True}  # whether a soft deletion removes the level
PLACES = ["yours"] if URL else ["simulated", *CONFLUENT, "apicurio"]

ORDER = {"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": "id", "type": "long"}]}
MONEY = {"type": "record", "name": "Money", "namespace": "common", "fields": [{"name": "amount", "type": "long"}]}
ITEM = {"type": "record", "name": "Item", "fields": [{"name": "price", "type": "common.Money"}]}
CHANNEL = {"name": "channel", "type": "string", "default": "web"}
NOTE = {"name": "note", "type": "string"}  # without a default: BACKWARD refuses it


@dataclass(frozen=True)
class World:
    """A backend, and its registry as other clients use it."""

    backend: RegistrySubjects
    registry: Registry
    names: list[str] = field(default_factory=list)

    def name(self) -> str:
        """Return a name for a new subject, which is removed at the end."""
        self.names.append(f"contract.{uuid.uuid4().hex[:8]}-value")
        return self.names[-1]

    def live(self, name: str, *states: Subject) -> Subject | None:
        found = self.backend.read_compared([name], states).resources.get(Address("subject", name))
        assert found is None or isinstance(found, Subject)
        return found

    def make(self, schema: Any, level: str | None = "BACKWARD", **more: Any) -> Subject:
        """The subject is there, and is returned as it is read."""
        wanted = declare(self.name(), schema, level, **more)
        outcome = run(self, create(wanted))
        assert outcome.ok, outcome
        live = self.live(wanted.name)
        assert live is not None
        return live

    def remove_all(self) -> None:
        for name in reversed(self.names):
            try:
                self.registry.delete_subject(name)
                self.registry.delete_subject(name, permanent=True)
                self.registry.delete_level(name)
            except KplanError:
                continue  # something of the test still refers to it


@pytest.fixture(params=PLACES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with open_registry(request, tmp_path) as registry:
        made = World(RegistrySubjects(registry, settle_timeout=10), registry)
        yield made
        made.remove_all()


@contextmanager
def open_registry(request: pytest.FixtureRequest, folder: Path) -> Iterator[Registry]:
    """The registry of a parameter; Apicurio is started for its tests alone."""
    if request.param == "simulated":
        simulated = SimulatedRegistry(folder / "sim.db")
        yield simulated
        simulated.close()
    elif request.param in CONFLUENT:
        fake = ConfluentRegistry(forgets_level=CONFLUENT[request.param])
        with serve_registry(fake) as url, connect(url) as registry:
            yield registry
    else:
        with connect(URL or request.getfixturevalue("registry").url) as registry:
            yield registry


@contextmanager
def connect(url: str) -> Iterator[RegistryClient]:
    client = RegistryClient(Access([url]), Pacing(attempts=2, delay=0.1), Mask())
    yield client
    client.close()


# -- changes ----------------------------------------------------------------------------------------------------------
def add_field(schema: Any, *fields: Any) -> Any:
    return {**schema, "fields": [*schema["fields"], *fields]}


def declare(name: str, schema: Any, level: str | None = None, references: tuple[Reference, ...] = ()) -> Subject:
    text = json.dumps(schema, indent=1)
    return Subject(name, "avro", fingerprint("avro", text), references, level, text=text)


def create(after: Subject) -> Change:
    return Change(after.address, Action.CREATE, None, after)


def update(before: Subject, after: Subject) -> Change:
    """The change that the planner makes of a declared and a live subject which kplan owns."""
    diffs = SubjectComparison().compare(after, before, before).diffs
    return Change(before.address, Action.UPDATE, before, after, diffs)


def delete(before: Subject, *, hard: bool = False) -> Change:
    return Change(before.address, Action.DELETE, before, None, options=SubjectOptions(hard=hard))


def run(world: World, change: Change, captured: Any = None) -> Outcome:
    """The outcome after acting and settling."""
    saved = world.backend.capture([change]) if captured is None else {change.address: captured}
    outcome = world.backend.act([change], saved)[change.address]
    return world.backend.settle([change], lambda address, words: None)[change.address] if outcome.ok else outcome


def undo(world: World, change: Change, captured: Any) -> Outcome:
    """The outcome of the change back; it gets what was captured, as a rollback gives it."""
    after, before = change.before, change.after
    action = Action.CREATE if before is None else Action.DELETE if after is None else Action.UPDATE
    back = Change(change.address, action, before, after, change.diffs, reason="undo")
    return run(world, back, {**captured, "restore": change.action is Action.DELETE})


def register(world: World, name: str, schema: Any) -> int:
    """Register a schema as another client does."""
    return world.registry.register(name, RegisteredSchema("avro", json.dumps(schema)))


# -- creating and reading ---------------------------------------------------------------------------------------------
def test_a_created_subject_is_read_back_as_it_was_declared(world: World) -> None:
    wanted = declare(world.name(), ORDER, "FULL")
    assert world.live(wanted.name) is None
    assert [*world.backend.check([create(wanted)])[wanted.address]] == []
    assert run(world, create(wanted)).ok
    live = world.live(wanted.name, wanted)
    assert live is not None and (live.version, live.level, live.schema_type) == (1, "FULL", "avro")
    assert SubjectComparison().compare(wanted, live, wanted).diffs == ()


def test_a_subject_without_a_level_has_none_of_its_own(world: World) -> None:
    assert world.make(ORDER, None).level is None


def test_the_same_schema_in_another_form_is_found_and_gets_no_second_version(world: World) -> None:
    live = world.make(ORDER)
    turned = dict(reversed(ORDER.items()))
    found = world.registry.find(live.name, RegisteredSchema("avro", json.dumps(turned)))
    assert found is not None and found.version == 1
    assert register(world, live.name, turned) == found.id
    assert list(world.registry.list_versions(live.name)) == [1]


def test_what_is_not_there_is_not_found(world: World) -> None:
    live, absent, schema = world.make(ORDER), world.name(), RegisteredSchema("avro", json.dumps(MONEY))
    assert world.registry.find(live.name, schema) is None
    assert world.registry.find(absent, schema) is None
    assert world.registry.read_version(absent) is None
    assert world.registry.read_version(live.name, 7) is None
    assert list(world.registry.list_versions(absent)) == []


def test_a_schema_has_the_same_id_in_every_subject(world: World) -> None:
    one, other = world.make(ORDER), world.make(ORDER)
    assert register(world, one.name, ORDER) == register(world, other.name, ORDER)


# -- new versions -----------------------------------------------------------------------------------------------------
def test_a_new_version_is_the_latest_and_the_earlier_one_is_known(world: World) -> None:
    live = world.make(ORDER)
    wanted = declare(live.name, add_field(ORDER, CHANNEL), "BACKWARD")
    assert [*world.backend.check([update(live, wanted)])[live.address]] == []
    assert run(world, update(live, wanted)).ok
    now = world.live(live.name, live)
    assert now is not None and (now.version, dict(now.earlier)) == (2, {live.fingerprint: 1})


def test_an_incompatible_schema_is_refused_by_check_and_by_act(world: World) -> None:
    live = world.make(ORDER)
    change = update(live, declare(live.name, add_field(ORDER, NOTE), "BACKWARD"))
    problems = world.backend.check([change])[live.address]
    assert [problem.code for problem in problems] == [codes.K341.number]
    assert "note" in str(problems[0])
    assert isinstance(run(world, change).error, NotCompatible)
    assert list(world.registry.list_versions(live.name)) == [1]


def test_a_transitive_level_judges_all_versions(world: World) -> None:
    live = world.make(add_field(ORDER, NOTE), "FORWARD")
    for fields in ([{**NOTE, "default": ""}], []):
        register(world, live.name, add_field(ORDER, *fields))  # each is read by the one before it, the last not by all
    other = RegisteredSchema("avro", json.dumps(add_field(ORDER, {"name": "more", "type": "int"})))
    assert world.registry.check(live.name, other, all_versions=False).is_compatible
    world.registry.set_level(live.name, "FORWARD_TRANSITIVE")
    assert not world.registry.check(live.name, other, all_versions=True).is_compatible


def test_an_invalid_schema_is_rejected(world: World) -> None:
    with pytest.raises(Rejected):
        register(world, world.name(), {"type": "record", "name": "Bad", "fields": [{"name": "f", "type": "str"}]})


# -- levels -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("level", ["FULL_TRANSITIVE", None], ids=["set", "removed"])
def test_a_level_is_set_and_removed(world: World, level: str | None) -> None:
    live = world.make(ORDER, "BACKWARD")
    change = update(live, replace(live, level=level))
    saved = world.backend.capture([change])[live.address]
    assert run(world, change).ok
    now = world.live(live.name)
    assert now is not None and (now.level, now.version) == (level, 1)
    assert undo(world, change, saved).ok
    back = world.live(live.name)
    assert back is not None and back.level == "BACKWARD"


def test_a_looser_level_comes_before_its_schema(world: World) -> None:
    live = world.make(ORDER, "FULL")
    wanted = declare(live.name, add_field(ORDER, NOTE), "FORWARD")
    assert [*world.backend.check([update(live, wanted)])[live.address]] == []
    assert run(world, update(live, wanted)).ok


# -- deleting ---------------------------------------------------------------------------------------------------------
def test_a_soft_deleted_subject_keeps_its_versions_and_returns_with_its_id(world: World) -> None:
    live = world.make(ORDER)
    old = register(world, live.name, ORDER)
    change = delete(live)
    saved = world.backend.capture([change])[live.address]
    assert run(world, change).ok
    assert world.live(live.name) is None
    assert list(world.registry.list_versions(live.name, deleted=True)) == [1]
    assert json.loads(world.registry.read_schema(old).text)["name"] == "Order"
    assert world.registry.read_level(live.name) is None
    assert undo(world, change, saved).ok
    back = world.live(live.name)
    assert back is not None and back.level == "BACKWARD"
    assert register(world, live.name, ORDER) == old


def test_undo_of_a_deletion_restores_versions_that_the_level_would_refuse(world: World) -> None:
    live = world.make(ORDER, "NONE")
    register(world, live.name, add_field(ORDER, NOTE))
    live = world.live(live.name) or live
    change = delete(live)
    saved = world.backend.capture([change])[live.address]
    assert run(world, change).ok
    assert undo(world, change, saved).ok
    assert len(world.registry.list_versions(live.name)) == 2
    back = world.live(live.name, live)
    assert back is not None and back.fingerprint == live.fingerprint


def test_a_hard_deleted_subject_leaves_nothing(world: World) -> None:
    live = world.make(ORDER)
    assert run(world, delete(live, hard=True)).ok
    assert list(world.registry.list_versions(live.name, deleted=True)) == []
    assert world.registry.read_level(live.name) is None


def test_deleting_again_is_no_error(world: World) -> None:
    live = world.make(ORDER)
    for _ in range(2):
        assert run(world, delete(live)).ok
    assert run(world, delete(live, hard=True)).ok
    assert list(world.registry.list_versions(live.name, deleted=True)) == []


# -- undo -------------------------------------------------------------------------------------------------------------
def test_undo_of_a_creation_deletes_the_subject(world: World) -> None:
    wanted = declare(world.name(), ORDER, "FULL")
    change = create(wanted)
    saved = world.backend.capture([change])[wanted.address]
    assert run(world, change).ok
    assert undo(world, change, saved).ok
    assert world.live(wanted.name) is None
    assert list(world.registry.list_versions(wanted.name)) == []


def test_undo_of_a_new_version_deletes_it_and_restores_the_level(world: World) -> None:
    live = world.make(ORDER)
    change = update(live, declare(live.name, add_field(ORDER, CHANNEL), "FULL"))
    saved = world.backend.capture([change])[live.address]
    assert run(world, change).ok
    assert undo(world, change, saved).ok
    back = world.live(live.name)
    assert back is not None and (back.version, back.level, back.fingerprint) == (1, "BACKWARD", live.fingerprint)


def test_undo_keeps_what_another_client_registered_since(world: World) -> None:
    live = world.make(ORDER)
    change = update(live, declare(live.name, add_field(ORDER, CHANNEL), "BACKWARD"))
    saved = world.backend.capture([change])[live.address]
    assert run(world, change).ok
    register(world, live.name, add_field(ORDER, CHANNEL, {"name": "more", "type": "int", "default": 0}))
    back = Change(live.address, Action.UPDATE, change.after, live, change.diffs, reason="undo")
    outcome = world.backend.act([back], {live.address: saved})[live.address]
    assert "another client" in outcome.kept
    assert list(world.registry.list_versions(live.name)) == [1, 2, 3]


# -- references -------------------------------------------------------------------------------------------------------
def test_a_reference_is_read_back_and_its_schema_cannot_be_deleted(world: World) -> None:
    money = world.make(MONEY)
    item = world.make(ITEM, references=(Reference("common.Money", money.name),))
    assert item.references == (Reference("common.Money", money.name, 1),)
    failure = run(world, delete(money)).error
    assert isinstance(failure, Rejected) and failure.code == codes.K347.number
    assert run(world, delete(item, hard=True)).ok
    assert run(world, delete(money)).ok


def test_a_subject_that_only_deleted_schemas_use_stays_in_apicurio_alone(world: World) -> None:
    money = world.make(MONEY)
    item = world.make(ITEM, references=(Reference("common.Money", money.name),))
    assert run(world, delete(item)).ok
    change = delete(money)
    outcome = world.backend.act([change], world.backend.capture([change]))[change.address]
    is_apicurio = not world.registry.keeps_none
    assert outcome.ok and outcome.waits is is_apicurio
    assert list(world.registry.list_versions(money.name)) == ([1] if is_apicurio else [])


def test_later_versions_are_deleted_and_come_back_with_their_ids_and_other_numbers(world: World) -> None:
    first = world.make(ORDER)
    note = {**NOTE, "default": ""}
    ids = [register(world, first.name, add_field(ORDER, *fields)) for fields in ([CHANNEL], [CHANNEL, note])]
    wanted = replace(declare(first.name, ORDER, "BACKWARD"), unwanted=(2, 3, 7))
    live = world.live(first.name, wanted)
    assert live is not None and (live.version, live.unwanted) == (3, (2, 3))
    change = update(live, wanted)
    assert [(diff.path, diff.before) for diff in change.diffs] == [("/versions", "2, 3")]
    captured = world.backend.capture([change])[change.address]
    assert run(world, change, captured).ok
    assert list(world.registry.list_versions(first.name)) == [1]
    now = world.live(first.name, wanted)
    assert now is not None and SubjectComparison().compare(wanted, now, wanted).diffs == ()
    for _ in range(2):  # an undo that was cut short is made again
        assert undo(world, change, captured).ok
        versions = world.registry.list_versions(first.name)
        assert len(versions) == 3
        assert {found.id for number in versions if (found := world.registry.read_version(first.name, number))} > {*ids}
        latest = world.registry.read_version(first.name)
        assert latest is not None and latest.id == ids[-1]


def test_a_reference_to_nothing_is_rejected(world: World) -> None:
    wanted = declare(world.name(), ITEM, references=(Reference("common.Money", world.name(), 1),))
    assert isinstance(run(world, create(wanted)).error, Rejected)
    assert world.live(wanted.name) is None


# -- what Confluent's registry alone does -----------------------------------------------------------------------------
def test_a_level_waits_for_its_subject_where_a_registry_refuses_it_before() -> None:
    wanted = Subject("early-value", level="FULL")
    with serve_registry(ConfluentRegistry(needs_subject=True)) as url, connect(url) as registry:
        world = World(RegistrySubjects(registry, settle_timeout=5), registry)
        outcome = world.backend.act([create(wanted)], EMPTY)[wanted.address]
        assert outcome.ok and outcome.waits
        register(world, wanted.name, ORDER)
        assert world.backend.complete([create(wanted)], lambda address, words: None)[wanted.address].ok
        assert registry.read_level(wanted.name) == "FULL"


@pytest.mark.parametrize("mode", ["READONLY", "IMPORT"])
def test_a_mode_that_forbids_changes_is_reported_by_check_and_by_act(mode: str) -> None:
    wanted = declare("closed-value", ORDER)
    fake = ConfluentRegistry()
    fake.modes[wanted.name] = mode
    with serve_registry(fake) as url, connect(url) as registry:
        world = World(RegistrySubjects(registry, settle_timeout=0), registry)
        problems = world.backend.check([create(wanted)])[wanted.address]
        failure = run(world, create(wanted)).error
    assert [problem.code for problem in problems] == [codes.K346.number]
    assert failure is not None and failure.code == codes.K346.number


def test_the_reasons_of_confluents_registry_are_shown_without_its_surroundings() -> None:
    with serve_registry(ConfluentRegistry()) as url, connect(url) as registry:
        world = World(RegistrySubjects(registry, settle_timeout=5), registry)
        live = world.make(ORDER)
        change = update(live, declare(live.name, add_field(ORDER, NOTE), "BACKWARD"))
        problems = world.backend.check([change])[live.address]
    reason = (
        "The field 'note' at path '/fields/1' in the new schema has no default value and is missing in the old schema"
    )
    assert [str(problem).count(reason) for problem in problems] == [1]
    assert "oldSchema" not in str(problems)
