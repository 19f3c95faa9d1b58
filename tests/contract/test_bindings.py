"""The backends of bindings, users and quotas: what the simulation accepts, refuses and returns.

tests/services/test_access.py, test_users.py and test_quotas.py ask brokers the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import Rejected, Timeout, Unsupported
from kplan.kinds.acl.binding import make_binding
from kplan.kinds.acl.operations import OPERATIONS, ResourceType
from kplan.kinds.quota.quota import Quota
from kplan.kinds.registry import KINDS
from kplan.kinds.user.user import Credentials, ScramUser
from kplan.model import Action, Change, Resource, Secret
from kplan.servers.base import Backend, Outcome, ignore_progress
from kplan.servers.simulated_access import SimulatedAcls, SimulatedQuotas, SimulatedUsers

WORD = "canary-77d1-word"
BINDING = make_binding("User:größe *", "allow", "Read", ResourceType.TOPIC, "a/b*", host="10.0.0.7")
USER = ScramUser("orders%20service", {"SCRAM-SHA-512": 4096}, Secret("{{ var.word }}", WORD))
QUOTA = Quota("user=a,client-id-default", {"producer_byte_rate": 1048576.0, "request_percentage": 12.5})
MAKERS: dict[str, Callable[..., Any]] = {"acl": SimulatedAcls, "user": SimulatedUsers, "quota": SimulatedQuotas}
RESOURCES: dict[str, Resource] = {"acl": BINDING, "user": USER, "quota": QUOTA}


@pytest.fixture(params=MAKERS)
def resource(request: pytest.FixtureRequest) -> Resource:
    return RESOURCES[request.param]


@pytest.fixture
def backend(resource: Resource, tmp_path: Path) -> Iterator[Backend]:
    made = MAKERS[resource.kind](tmp_path / "sim.db")
    yield made
    made.close()


def run(backend: Backend, change: Change) -> Outcome:
    """One change, as a run makes it: it is captured, sent and settled."""
    captured = backend.capture([change])
    sent = backend.act([change], captured)[change.address]
    return (
        sent if sent.error else replace(backend.settle([change], ignore_progress)[change.address], adopted=sent.adopted)
    )


def create(resource: Resource) -> Change:
    return Change(resource.address, Action.CREATE, None, resource)


def update(before: Resource, after: Resource) -> Change:
    return Change(
        after.address, Action.UPDATE, before, after, KINDS[after.kind].comparison.compare(after, before, before).diffs
    )


def delete(resource: Resource) -> Change:
    return Change(resource.address, Action.DELETE, resource, None)


def read(backend: Backend, resource: Resource) -> Resource | None:
    return backend.read([resource.name]).resources.get(resource.address)


# -- what all three do -------------------------------------------------------------------------------------------------
def test_what_is_created_is_read_back(backend: Backend, resource: Resource) -> None:
    assert backend.read(None).resources == {} and read(backend, resource) is None
    assert run(backend, create(resource)) == Outcome()
    found = read(backend, resource)
    assert found is not None and KINDS[resource.kind].comparison.compare(resource, found, None).diffs == ()
    state = backend.read(None)
    assert state.names == {resource.name} and list(state.resources.values()) == [found]


def test_only_what_is_asked_for_is_read(backend: Backend, resource: Resource) -> None:
    run(backend, create(resource))
    state = backend.read(["other"])
    assert state.resources == {} and state.names == {resource.name}
    assert backend.read([]).resources == {}


def test_what_is_deleted_is_gone_and_may_be_deleted_again(backend: Backend, resource: Resource) -> None:
    run(backend, create(resource))
    assert run(backend, delete(resource)).ok and read(backend, resource) is None
    assert run(backend, delete(resource)).ok


def test_it_is_there_for_a_later_process(resource: Resource, tmp_path: Path) -> None:
    for _ in range(2):
        backend = MAKERS[resource.kind](tmp_path / "sim.db")
        if read(backend, resource) is None:
            run(backend, create(resource))
        backend.close()
    later = MAKERS[resource.kind](tmp_path / "sim.db")
    assert read(later, resource) is not None
    later.close()


def test_one_that_is_to_fail_is_accepted_and_fails_but_its_undo_does_not(resource: Resource, tmp_path: Path) -> None:
    backend = MAKERS[resource.kind](tmp_path / "sim.db", fail=[str(resource.address)])
    outcome = run(backend, create(resource))
    assert isinstance(outcome.error, Timeout) and outcome.accepted
    assert run(backend, replace(delete(resource), reason="undo")) == Outcome()
    backend.close()


def test_a_cluster_without_it_says_so(resource: Resource, tmp_path: Path) -> None:
    backend = MAKERS[resource.kind](tmp_path / "sim.db", missing="the cluster does not have it")
    for ask in (lambda: backend.read(None), lambda: backend.act([create(resource)], {})):
        with pytest.raises(Unsupported, match="the cluster does not have it") as refused:
            ask()
        assert "capabilities" in refused.value.help
        assert (refused.value.code == "K340") is (resource.kind == "acl")
    backend.close()


# -- bindings ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def acls(tmp_path: Path) -> Iterator[SimulatedAcls]:
    made = SimulatedAcls(tmp_path / "sim.db")
    yield made
    made.close()


def test_a_binding_that_is_there_is_adopted_by_what_was_captured(acls: SimulatedAcls) -> None:
    assert not run(acls, create(BINDING)).adopted
    assert acls.capture([create(BINDING)]) == {BINDING.address: {"there": True}}
    assert run(acls, create(BINDING)) == Outcome(adopted=True)


def test_brokers_answer_success_for_an_existing_binding(acls: SimulatedAcls) -> None:
    for _ in range(2):
        assert acls.act([create(BINDING)], {}) == {BINDING.address: Outcome()}


def test_a_reading_says_what_kplan_may_do(acls: SimulatedAcls) -> None:
    state = acls.read(None)
    assert state.operations == frozenset(OPERATIONS[ResourceType.CLUSTER]) and state.allows_by_default is False


def test_many_bindings_are_made_at_once(acls: SimulatedAcls) -> None:
    many = [make_binding("User:a", "allow", "Read", ResourceType.TOPIC, f"t{number}") for number in range(2000)]
    outcomes = acls.act([create(each) for each in many], {})
    assert len(outcomes) == 2000 and all(outcome.ok for outcome in outcomes.values())
    assert acls.can("User:a", "Read", "topic/t1999") and not acls.can("User:a", "Read", "topic/t2000")


# -- users -------------------------------------------------------------------------------------------------------------
@pytest.fixture
def users(tmp_path: Path) -> Iterator[SimulatedUsers]:
    made = SimulatedUsers(tmp_path / "sim.db")
    yield made
    made.close()


def can_log_in(users: SimulatedUsers, user: ScramUser, password: str) -> bool:
    login = Credentials(user.user_name, "SCRAM-SHA-512", password)
    return users.check_logins({user.address: login})[user.address] is True


def test_a_login_tells_the_password_and_nothing_else_does(users: SimulatedUsers, tmp_path: Path) -> None:
    run(users, create(USER))
    assert can_log_in(users, USER, WORD) and not can_log_in(users, USER, WORD + "x")
    live = users.read([USER.name]).resources[USER.address]
    assert isinstance(live, ScramUser) and live.password is None
    assert not can_log_in(users, ScramUser("nobody"), WORD)


def test_no_password_is_in_the_file(users: SimulatedUsers, tmp_path: Path) -> None:
    run(users, create(USER))
    with sqlite3.connect(tmp_path / "sim.db") as db:
        assert WORD not in "\n".join(db.iterdump())
    assert all(WORD.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_another_password_replaces_the_old_one(users: SimulatedUsers) -> None:
    run(users, create(USER))
    after = replace(USER, password=Secret("{{ var.word }}", "other"))
    assert run(users, update(USER, after)).ok
    assert can_log_in(users, USER, "other") and not can_log_in(users, USER, WORD)


def test_a_mechanism_that_kplan_did_not_make_stays(users: SimulatedUsers) -> None:
    both = replace(USER, mechanisms={"SCRAM-SHA-512": 4096, "SCRAM-SHA-256": 4096})
    run(users, create(both))
    after = replace(USER, mechanisms={"SCRAM-SHA-512": 8192})
    assert run(users, update(USER, after)).ok  # `before` has the one mechanism alone
    live = users.read([USER.name]).resources[USER.address]
    assert isinstance(live, ScramUser) and live.mechanisms == {"SCRAM-SHA-512": 8192, "SCRAM-SHA-256": 4096}


@pytest.mark.parametrize(("mechanism", "iterations"), [
    ("SCRAM-SHA-512", 4095), ("SCRAM-SHA-256", 16385), ("SCRAM-SHA-1", 4096),
])  # fmt: skip
def test_credentials_that_brokers_refuse_are_refused(users: SimulatedUsers, mechanism: str, iterations: int) -> None:
    outcome = run(users, create(replace(USER, mechanisms={mechanism: iterations})))
    assert isinstance(outcome.error, Rejected) and "4096 to 16384" in outcome.error.message
    assert users.read(None).resources == {}


# -- quotas ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def quotas(tmp_path: Path) -> Iterator[SimulatedQuotas]:
    made = SimulatedQuotas(tmp_path / "sim.db")
    yield made
    made.close()


def test_limits_are_set_and_removed_by_key(quotas: SimulatedQuotas) -> None:
    run(quotas, create(QUOTA))
    after = replace(QUOTA, values={"producer_byte_rate": 5.0})
    change = update(QUOTA, after)
    assert quotas.check_name == "validate_only" and quotas.check([change]) == {QUOTA.address: ()}
    assert run(quotas, change).ok
    assert quotas.read(None).resources == {QUOTA.address: after}


def test_a_limit_that_kplan_did_not_set_stays(quotas: SimulatedQuotas) -> None:
    run(quotas, create(QUOTA))
    own = Quota(QUOTA.name, {"producer_byte_rate": 1048576.0})
    assert run(quotas, update(own, replace(own, values={"producer_byte_rate": 5.0}))).ok
    live = quotas.read(None).resources[QUOTA.address]
    assert isinstance(live, Quota) and live.values == {"producer_byte_rate": 5.0, "request_percentage": 12.5}
