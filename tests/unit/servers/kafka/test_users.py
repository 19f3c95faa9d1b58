"""What is sent for a user, and what is made of the brokers' answers and of their silence. Codes are those of 4.3."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialsDescription,
)

from kplan.diagnostics import KplanError, Rejected
from kplan.kinds.user.user import Credentials, ScramUser
from kplan.model import Action, Address, AttrDiff, Change, Secret, frozen
from kplan.servers.base import Outcome
from kplan.servers.kafka import users
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.users import KafkaUsers, list_alterations

ADDRESS = Address("user", "u")
BOTH = {"SCRAM-SHA-256": 4096, "SCRAM-SHA-512": 8192}
Answer = Callable[[Any], Any]  # to an alteration: a KafkaError, or nothing


def user(word: str | None = "canary-new", **mechanisms: int) -> ScramUser:
    found = {name.replace("_", "-"): count for name, count in mechanisms.items()} or {"SCRAM-SHA-512": 4096}
    return ScramUser("u", frozen(found), Secret("{{ var.word }}", word))


def change(before: ScramUser | None, after: ScramUser | None, *paths: str) -> Change:
    action = Action.CREATE if before is None else Action.DELETE if after is None else Action.UPDATE
    diffs = tuple(AttrDiff(path, 1, None if "gone" in path else 2) for path in paths)
    return Change(
        ADDRESS, action, before, after, tuple(AttrDiff(d.path.removesuffix("gone"), 1, d.after) for d in diffs)
    )


NEW_PASSWORD = change(user(), user(), "/password")


class Admin:
    """librdkafka's client: each request is recorded, and each alteration answered by `answer`."""

    def __init__(self, answer: Answer = lambda alteration: None, live: Mapping[str, Any] | None = None) -> None:
        self.answer, self.live = answer, live or {}
        self.sent: list[list[Any]] = []

    def alter_user_scram_credentials(self, alterations: Sequence[Any], request_timeout: float) -> Any:
        self.sent.append(list(alterations))
        return {each.user: settled(self.answer(each)) for each in alterations}

    def describe_user_scram_credentials(self, names: Sequence[str] | None, request_timeout: float) -> Any:
        missing = KafkaError(KafkaError.RESOURCE_NOT_FOUND)
        if names is None:
            return settled(self.live)
        return {name: settled(self.live.get(name, missing)) for name in names}

    def poll(self, seconds: float) -> None: ...


def settled(answer: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(answer, KafkaError):
        future.set_exception(KafkaException(answer))
    else:
        future.set_result(answer)
    return future


def live(**mechanisms: int) -> UserScramCredentialsDescription:
    wire = [ScramCredentialInfo(getattr(ScramMechanism, name), count) for name, count in mechanisms.items()]
    return UserScramCredentialsDescription("u", wire)


def backend(
    monkeypatch: pytest.MonkeyPatch, admin: Admin, told: Mapping[str, bool | None] | None = None, attempts: int = 1
) -> KafkaUsers:
    """The backend; `told` is what a login with each password tells."""
    config = {"bootstrap.servers": "127.0.0.1:1", "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
              "sasl.username": "kplan", "sasl.password": "x"}  # fmt: skip
    client = Client(config, 1, attempts, 0, (), print)
    client.admin = admin  # type: ignore[assignment]
    monkeypatch.setattr(client, "pause", lambda attempt, reason: None)
    monkeypatch.setattr(users, "LOGIN_PAUSES_S", (0.0, 0.0))
    made = KafkaUsers(client, settle_timeout=0)

    def check(logins: Mapping[Address, Credentials]) -> Mapping[Address, bool]:
        answers = {address: (told or {}).get(login.password) for address, login in logins.items()}
        return {address: answer for address, answer in answers.items() if answer is not None}

    monkeypatch.setattr(made, "check_logins", check)
    return made


def act(made: KafkaUsers, asked: Change) -> Outcome:
    return made.act([asked], {})[asked.address]


# -- what is sent -----------------------------------------------------------------------------------------------------
def test_each_mechanism_has_a_request_of_its_own_in_the_order_of_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = Admin()
    assert act(backend(monkeypatch, admin), change(None, user(SCRAM_SHA_512=8192, SCRAM_SHA_256=4096))).ok
    infos = [each.scram_credential_info for (each,) in admin.sent]
    assert [(info.mechanism.name, info.iterations) for info in infos] == [
        ("SCRAM_SHA_512", 8192),
        ("SCRAM_SHA_256", 4096),
    ]


def test_only_what_changed_is_sent_and_what_left_goes_last() -> None:
    before = ScramUser("u", frozen(BOTH))
    after = user(SCRAM_SHA_512=4096)
    asked = change(before, after, "/mechanisms/SCRAM-SHA-512/iterations", "/mechanisms/SCRAM-SHA-256/iterationsgone")
    first, second = list_alterations(asked)
    assert first.scram_credential_info.mechanism is ScramMechanism.SCRAM_SHA_512
    assert isinstance(second, UserScramCredentialDeletion) and second.mechanism is ScramMechanism.SCRAM_SHA_256
    assert [type(each) for each in list_alterations(change(before, None))] == [UserScramCredentialDeletion] * 2


def test_a_password_without_a_value_is_refused_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = Admin()
    outcome = act(backend(monkeypatch, admin), change(user(), user(None), "/password"))
    assert isinstance(outcome.error, Rejected) and "KPLAN_VAR_word" in outcome.reason and not admin.sent


# -- what is answered -------------------------------------------------------------------------------------------------
def test_to_delete_what_is_not_there_is_success(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = KafkaError(KafkaError.RESOURCE_NOT_FOUND, "Attempt to delete a user credential that does not exist")
    assert act(backend(monkeypatch, Admin(lambda each: gone)), change(user(), None)).ok


def test_two_alterations_at_once_are_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = KafkaError(KafkaError.DUPLICATE_RESOURCE, "A user credential cannot be altered twice in the same request")
    assert not act(backend(monkeypatch, Admin(lambda each: twice)), change(None, user())).ok


def test_the_bounds_of_iterations_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    few = KafkaError(KafkaError.UNACCEPTABLE_CREDENTIAL, "Too few iterations")
    outcome = act(backend(monkeypatch, Admin(lambda each: few)), change(None, user()))
    assert outcome.error is not None and "4096 to 16384" in outcome.error.help and outcome.error.exit_code == 4


def test_a_cluster_without_scram_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    old = KafkaError(KafkaError.UNSUPPORTED_VERSION, "unsupported")
    made = backend(monkeypatch, Admin(live={"u": old}))
    with pytest.raises(KplanError, match="keeps no SCRAM users") as refused:
        made.read(["u"])
    assert (refused.value.code, refused.value.exit_code) == ("K343", 4)


def test_a_missing_right_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    denied = KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED)
    outcome = act(backend(monkeypatch, Admin(lambda each: denied)), change(None, user()))
    assert "Alter on Cluster" in outcome.reason
    with pytest.raises(KplanError, match="Describe on Cluster"):
        backend(monkeypatch, Admin(live={"u": denied})).read(["u"])


def test_absent_users_and_unknown_mechanisms_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made = backend(monkeypatch, Admin(live={"u": live(SCRAM_SHA_256=4096, UNKNOWN=1)}))
    for names in (["u", "other"], None):
        (found,) = made.read(names).resources.values()
        assert isinstance(found, ScramUser) and dict(found.mechanisms) == {"SCRAM-SHA-256": 4096}
    assert made.capture([NEW_PASSWORD])[ADDRESS] == {"mechanisms": {"SCRAM-SHA-256": 4096}}


# -- no answer --------------------------------------------------------------------------------------------------------
SILENCE = KafkaError(KafkaError._TIMED_OUT, "no answer")


def test_a_request_without_an_answer_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([SILENCE, None])
    admin = Admin(lambda each: next(answers))
    assert act(backend(monkeypatch, admin, attempts=2), NEW_PASSWORD).ok and len(admin.sent) == 2


@pytest.mark.parametrize(
    ("told", "ok", "accepted", "applied"),
    [
        ({"canary-new": True}, True, False, None),
        ({"canary-new": False}, False, False, False),
        ({}, False, True, None),  # nobody tells: it counts as made
    ],
    ids=["right", "wrong", "unknown"],
)
def test_a_login_decides_what_a_silent_broker_did(
    monkeypatch: pytest.MonkeyPatch, told: Mapping[str, bool | None], ok: bool, accepted: bool, applied: bool | None
) -> None:
    outcome = act(backend(monkeypatch, Admin(lambda each: SILENCE), told), NEW_PASSWORD)
    assert (outcome.ok, outcome.accepted) == (ok, accepted)
    assert outcome.error is None or outcome.error.applied is applied
    assert "canary" not in str(outcome)


def test_half_of_a_change_is_never_taken_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    both = user(SCRAM_SHA_256=4096, SCRAM_SHA_512=4096)
    made = backend(monkeypatch, Admin(lambda each: SILENCE), {"canary-new": True})
    outcome = act(made, change(both, both, "/password"))
    assert not outcome.ok and outcome.accepted  # the second mechanism was not sent


# -- verifying --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("told", "ok"), [({"canary-new": True}, True), ({"canary-new": False}, False), ({}, True)])
def test_a_new_password_logs_in_before_anything_goes_on(
    monkeypatch: pytest.MonkeyPatch, told: Mapping[str, bool | None], ok: bool
) -> None:
    made = backend(monkeypatch, Admin(live={"u": live(SCRAM_SHA_512=4096)}), told)
    outcome = made.settle([NEW_PASSWORD], lambda address, words: None)[ADDRESS]
    assert outcome.ok is ok and (ok or outcome.accepted)


def test_what_no_login_can_tell_is_not_waited_for_after_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener knows another mechanism: that will not change; a silent broker may come back."""
    made = backend(monkeypatch, Admin(live={"u": live(SCRAM_SHA_512=4096)}))
    tries: list[object] = []
    monkeypatch.setattr(made, "check_logins", lambda logins: tries.append(logins) or {})
    assert made.settle([NEW_PASSWORD], lambda address, words: None)[ADDRESS].ok and len(tries) == 1
    tries.clear()
    monkeypatch.setattr(made._client, "admin", Admin(lambda each: SILENCE))
    assert act(made, NEW_PASSWORD).accepted and len(tries) == len(users.LOGIN_PAUSES_S)
