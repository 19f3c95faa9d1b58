"""The backends of bindings, users and quotas, of a broker and of a simulated cluster: both accept, refuse and return
the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from kplan.diagnostics import Rejected, Timeout, Unsupported
from kplan.kinds.acl.binding import make_binding
from kplan.kinds.acl.operations import OPERATIONS, ResourceType
from kplan.kinds.quota.quota import Quota
from kplan.kinds.registry import KINDS
from kplan.kinds.user.user import Credentials, ScramUser
from kplan.model import Action, Address, Change, Resource, Secret
from kplan.servers.base import Backend, Outcome
from kplan.servers.kafka.acls import KafkaAcls
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.quotas import KafkaQuotas
from kplan.servers.kafka.users import KafkaUsers
from kplan.servers.simulated_access import SimulatedAcls, SimulatedQuotas, SimulatedUsers
from tests.services import ServiceMissing
from tests.services.fixtures import without
from tests.services.secure import SecureKafka

WORD = "canary-77d1-word"
BINDING = make_binding("User:größe *", "allow", "Read", ResourceType.TOPIC, "a/b*", host="10.0.0.7")
USER = ScramUser("orders%20service", {"SCRAM-SHA-512": 4096}, Secret("{{ var.word }}", WORD))
QUOTA = Quota("user=a,client-id-default", {"producer_byte_rate": 1048576.0, "request_percentage": 12.5})
MAKERS: dict[str, Callable[..., Any]] = {"acl": SimulatedAcls, "user": SimulatedUsers, "quota": SimulatedQuotas}
RESOURCES: dict[str, Resource] = {"acl": BINDING, "user": USER, "quota": QUOTA}
REAL: dict[str, Callable[..., Any]] = {"acl": KafkaAcls, "user": KafkaUsers, "quota": KafkaQuotas}
OWN = "harness"  # who logs in to the broker, a super user
OWN_PASSWORD = "canary-77d1-own"
Open = Callable[[str], Any]  # the backend of a kind
MANY = 2000


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The settings of a client of a broker with an authorizer."""
    try:
        with SecureKafka(
            tmp_path_factory.mktemp("certificates"), {"super.users": f"User:ANONYMOUS;User:{OWN}"}
        ) as kafka:
            kafka.add_user(OWN, OWN_PASSWORD)
            yield {
                "bootstrap.servers": kafka.at("SCRAM"),
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": OWN,
                "sasl.password": OWN_PASSWORD,
                "ssl.ca.location": str(kafka.servers.file),
            }
    except ServiceMissing as missing:
        without(missing)


@pytest.fixture(params=["simulated", pytest.param("kafka", marks=pytest.mark.xdist_group("bindings"))])
def open_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the backend of a kind; what a test leaves on a broker is removed after it."""
    opened: list[Any] = []
    if request.param == "simulated":
        makers: dict[str, Callable[[], Any]] = {
            kind: lambda make=make: make(tmp_path / "sim.db")  # type: ignore[misc]
            for kind, make in MAKERS.items()
        }
    else:
        client = Client(request.getfixturevalue("broker"), 30, 3, 1, (), print)
        makers = {kind: lambda make=make: make(client, 30) for kind, make in REAL.items()}  # type: ignore[misc]

    def open_one(kind: str) -> Any:
        opened.append(makers[kind]())
        return opened[-1]

    yield open_one
    for backend in opened:
        if request.param == "kafka":
            left = [each for each in backend.read(None).resources.values() if each.name != OWN]
            changes = [delete(each) for each in left]
            backend.act(changes, {})
            backend.settle(changes, ignore_words)
        backend.close()


@pytest.fixture(params=MAKERS)
def resource(request: pytest.FixtureRequest) -> Resource:
    return RESOURCES[request.param]


@pytest.fixture
def backend(resource: Resource, open_backend: Open) -> Backend:
    return cast("Backend", open_backend(resource.kind))


def list_names(names: Collection[str]) -> set[str]:
    """Return the names without that of the user who asks."""
    return set(names) - {OWN}


def ignore_words(address: Address, words: str) -> None:
    """Ignore what is waited for."""


def run(backend: Backend, change: Change) -> Outcome:
    """One change, as a run makes it: it is captured, sent and settled."""
    captured = backend.capture([change])
    sent = backend.act([change], captured)[change.address]
    return sent if sent.error else replace(backend.settle([change], ignore_words)[change.address], adopted=sent.adopted)


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
    assert list_names(backend.read(None).names) == set() and read(backend, resource) is None
    assert run(backend, create(resource)) == Outcome()
    found = read(backend, resource)
    assert found is not None and KINDS[resource.kind].comparison.compare(resource, found, None).diffs == ()
    state = backend.read(None)
    assert list_names(state.names) == {resource.name} and state.resources[resource.address] == found


def test_only_what_is_asked_for_is_read(backend: Backend, resource: Resource) -> None:
    run(backend, create(resource))
    state = backend.read(["other"])
    assert state.resources == {}
    assert {resource.name} >= list_names(state.names) >= ({resource.name} if KINDS[resource.kind].reads_all else set())
    assert backend.read([]).resources == {}


def test_what_is_deleted_is_gone_and_may_be_deleted_again(backend: Backend, resource: Resource) -> None:
    run(backend, create(resource))
    assert run(backend, delete(resource)).ok and read(backend, resource) is None
    assert run(backend, delete(resource)).ok


def test_what_is_there_may_be_put_back(backend: Backend, resource: Resource) -> None:
    """So a rollback undoes a deletion whose request may still be on its way."""
    run(backend, create(resource))
    found = read(backend, resource)
    assert found is not None
    assert run(backend, Change(resource.address, Action.UPDATE, found, resource)) == Outcome()
    assert read(backend, resource) == found


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
def acls(open_backend: Open) -> Any:
    return open_backend("acl")


def test_a_binding_that_is_there_is_adopted_by_what_was_captured(acls: Any) -> None:
    assert not run(acls, create(BINDING)).adopted
    assert acls.capture([create(BINDING)]) == {BINDING.address: {"there": True}}
    assert run(acls, create(BINDING)) == Outcome(adopted=True)


def test_brokers_answer_success_for_an_existing_binding(acls: Any) -> None:
    for _ in range(2):
        assert acls.act([create(BINDING)], {}) == {BINDING.address: Outcome()}


def test_a_reading_says_what_kplan_may_do(acls: Any) -> None:
    state = acls.read(None)
    assert state.operations == frozenset(OPERATIONS[ResourceType.CLUSTER]) and state.allows_by_default is False


def test_many_bindings_are_made_at_once(acls: Any) -> None:
    many = [make_binding("User:a", "allow", "Read", ResourceType.TOPIC, f"t{number}") for number in range(MANY)]
    changes = [create(each) for each in many]
    outcomes = acls.act(changes, {})
    assert len(outcomes) == MANY and all(outcome.ok for outcome in outcomes.values())
    assert all(outcome.ok for outcome in acls.settle(changes, ignore_words).values())
    assert acls.read(None).names == {each.name for each in many}


def test_a_simulated_authorizer_decides(tmp_path: Path) -> None:
    acls = SimulatedAcls(tmp_path / "sim.db")
    run(acls, create(make_binding("User:a", "allow", "Read", ResourceType.TOPIC, "t")))
    assert acls.can("User:a", "Read", "topic/t") and not acls.can("User:a", "Read", "topic/t2")
    acls.close()


# -- users -------------------------------------------------------------------------------------------------------------
@pytest.fixture
def users(open_backend: Open) -> Any:
    return open_backend("user")


def can_log_in(users: Any, user: ScramUser, password: str) -> bool:
    login = Credentials(user.user_name, "SCRAM-SHA-512", password)
    return users.check_logins({user.address: login})[user.address] is True


def test_a_login_tells_the_password_and_nothing_else_does(users: Any) -> None:
    run(users, create(USER))
    assert can_log_in(users, USER, WORD) and not can_log_in(users, USER, WORD + "x")
    live = users.read([USER.name]).resources[USER.address]
    assert isinstance(live, ScramUser) and live.password is None
    assert not can_log_in(users, ScramUser("nobody"), WORD)


def test_no_password_is_in_the_file(tmp_path: Path) -> None:
    users = SimulatedUsers(tmp_path / "sim.db")
    run(users, create(USER))
    users.close()
    with sqlite3.connect(tmp_path / "sim.db") as db:
        assert WORD not in "\n".join(db.iterdump())
    assert all(WORD.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_another_password_replaces_the_old_one(users: Any) -> None:
    run(users, create(USER))
    after = replace(USER, password=Secret("{{ var.word }}", "other"))
    assert run(users, update(USER, after)).ok
    assert can_log_in(users, USER, "other") and not can_log_in(users, USER, WORD)


def test_a_mechanism_that_kplan_did_not_make_stays(users: Any) -> None:
    both = replace(USER, mechanisms={"SCRAM-SHA-512": 4096, "SCRAM-SHA-256": 4096})
    run(users, create(both))
    after = replace(USER, mechanisms={"SCRAM-SHA-512": 8192})
    assert run(users, update(USER, after)).ok  # `before` has the one mechanism alone
    live = users.read([USER.name]).resources[USER.address]
    assert isinstance(live, ScramUser) and live.mechanisms == {"SCRAM-SHA-512": 8192, "SCRAM-SHA-256": 4096}


@pytest.mark.parametrize(("mechanism", "iterations"), [("SCRAM-SHA-512", 4095), ("SCRAM-SHA-256", 16385)])
def test_credentials_that_brokers_refuse_are_refused(users: Any, mechanism: str, iterations: int) -> None:
    outcome = run(users, create(replace(USER, mechanisms={mechanism: iterations})))
    assert isinstance(outcome.error, Rejected) and "4096 to 16384" in outcome.error.message + outcome.error.help
    assert list_names(users.read(None).names) == set()


# -- quotas ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def quotas(open_backend: Open) -> Any:
    return open_backend("quota")


def test_limits_are_set_and_removed_by_key(quotas: Any) -> None:
    run(quotas, create(QUOTA))
    after = replace(QUOTA, values={"producer_byte_rate": 5.0})
    change = update(QUOTA, after)
    assert quotas.check_name == "validate_only" and list(quotas.check([change])[QUOTA.address]) == []
    assert run(quotas, change).ok
    assert quotas.read(None).resources == {QUOTA.address: after}


def test_a_limit_that_kplan_did_not_set_stays(quotas: Any) -> None:
    run(quotas, create(QUOTA))
    own = Quota(QUOTA.name, {"producer_byte_rate": 1048576.0})
    assert run(quotas, update(own, replace(own, values={"producer_byte_rate": 5.0}))).ok
    live = quotas.read(None).resources[QUOTA.address]
    assert isinstance(live, Quota) and live.values == {"producer_byte_rate": 5.0, "request_percentage": 12.5}
