"""SCRAM users on real brokers (KIP-554), through librdkafka's admin client."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from kplan.diagnostics import Conflict, KplanError, Rejected, Timeout
from kplan.kinds.acl.permissions import Acl
from kplan.kinds.user.user import FEWEST_ITERATIONS, MOST_ITERATIONS, ScramUser
from kplan.model import Action, Address, Change, frozen
from kplan.servers.base import BackendState, Outcome, Progress
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.logins import Logins
from kplan.servers.plain import PlainBackend

MECHANISMS: Final = {
    "SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256,
    "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512,
}
NAMES: Final = {wire: name for name, wire in MECHANISMS.items()}
POLL_S: Final = 0.1


class KafkaUsers(PlainBackend):
    """The SCRAM users of a Kafka cluster. No broker tells their passwords."""

    kind = ScramUser.kind

    def __init__(self, client: Client, settle_timeout: float = 120, checks_all_logins: bool = False) -> None:
        """With `checks_all_logins` a plan checks the password of every user, not only of those that change."""
        self._client = client
        self._settle_timeout = settle_timeout
        self.checks_all_logins = checks_all_logins
        self.check_logins = Logins(client.config).check

    def read(self, names: Collection[str] | None) -> BackendState:
        """Read the users of these names (None: all) in one request; a user without credentials is not there."""
        users = self._client.retry(lambda: self._read(names))
        return BackendState({user.address: user for user in users}, frozenset(user.name for user in users))

    def _read(self, names: Collection[str] | None) -> list[ScramUser]:
        wanted = None if names is None else [ScramUser(name).user_name for name in names]
        if wanted == []:
            return []
        asked = self._client.admin.describe_user_scram_credentials(wanted, request_timeout=self._client.timeout)
        futures: Mapping[str, Any] = asked if isinstance(asked, dict) else {"": asked}
        answers = self._client.request(lambda: futures, "describe users")
        if wanted is None:
            answers = answers[""] if not isinstance(answers[""], KplanError) else answers
        users = []
        for name, answer in answers.items():
            if isinstance(answer, Conflict):  # there is no such user
                continue
            if isinstance(answer, KplanError):
                raise self._client.add_acl(answer, Acl("Describe", "Cluster"))
            users.append(_from_wire(name, answer))
        return users

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Set and delete credentials. A request has one mechanism of a user: two of them are refused together."""
        refusals: dict[Address, KplanError] = {}
        alterations: dict[Address, list[Any]] = {}
        for change in changes:
            try:
                alterations[change.address] = list_alterations(change)
            except KplanError as problem:
                alterations[change.address], refusals[change.address] = [], problem
        sent: set[Address] = set()
        for number in range(max(map(len, alterations.values()), default=0)):
            batch = {
                address: each[number]
                for address, each in alterations.items()
                if number < len(each) and address not in refusals
            }
            for address, refusal in self._alter(batch).items():
                if refusal is not None:
                    refusals[address] = refusal
                else:
                    sent.add(address)
        return {
            address: Outcome(refusals.get(address), accepted=address in refusals and address in sent)
            for address in alterations
        }

    def _alter(self, batch: Mapping[Address, Any]) -> dict[Address, KplanError | None]:
        """Return why each alteration was refused; None where it was made."""
        by_user = {alteration.user: address for address, alteration in batch.items()}
        try:
            asked = self._client.admin.alter_user_scram_credentials(
                list(batch.values()), request_timeout=self._client.timeout
            )
            answers = self._client.await_answers(asked, "alter users")
        except (ValueError, TypeError) as exception:
            return dict.fromkeys(batch, self._client.map_error(exception))
        return {
            by_user[user]: self._explain(answer) if isinstance(answer, KplanError) else None
            for user, answer in answers.items()
        }

    def _explain(self, refusal: KplanError) -> KplanError | None:
        """Return the refusal with what to do; None where what is to be deleted is not there."""
        if isinstance(refusal, Conflict):
            return None
        if "iterations" in refusal.message:
            return Rejected(f"{refusal.message}", help=f"write {FEWEST_ITERATIONS} to {MOST_ITERATIONS} `iterations`")
        return self._client.add_acl(refusal, Acl("Alter", "Cluster"))

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Wait until the brokers show the mechanisms of every user, or time is up."""
        deadline = time.monotonic() + self._settle_timeout
        wanted = {change.address: _find_mechanisms(change) for change in changes}
        while True:
            users = {user.address: user for user in self._client.retry(lambda: self._read([a.name for a in wanted]))}
            waiting = {a for a, mechanisms in wanted.items() if not _is_there(users.get(a), mechanisms)}
            if not waiting or time.monotonic() > deadline:
                break
            for address in waiting:
                progress(address, "accepted, not visible yet")
            time.sleep(POLL_S)
        late = Timeout(f"it is not as declared after {self._settle_timeout:g} s")
        return {a: Outcome(late, accepted=True) if a in waiting else Outcome() for a in wanted}


def list_alterations(change: Change) -> list[Any]:
    """Return what is sent for a change, in order: what is set, then what goes."""
    name = change.address.name
    user = ScramUser(name).user_name
    after = change.after if isinstance(change.after, ScramUser) and change.action is not Action.DELETE else None
    before = change.before.mechanisms if isinstance(change.before, ScramUser) else {}
    if after is None:
        return [UserScramCredentialDeletion(user, MECHANISMS[mechanism]) for mechanism in before]
    changed = {diff.path.split("/")[2] for diff in change.diffs if diff.path.startswith("/mechanisms/")}
    has_password_changed = any(diff.path == "/password" for diff in change.diffs)
    is_whole = change.action is not Action.UPDATE or has_password_changed
    password = after.password.value if after.password is not None else None
    set_ones = [name for name in after.mechanisms if is_whole or name in changed]
    if set_ones and password is None:
        raise Rejected(f"the password of {user} is not known here")
    upserts = [
        UserScramCredentialUpsertion(
            user, ScramCredentialInfo(MECHANISMS[name], after.mechanisms[name]), (password or "").encode()
        )
        for name in set_ones
    ]
    gone = [name for name in before if name not in after.mechanisms and name in changed]
    return [*upserts, *(UserScramCredentialDeletion(user, MECHANISMS[name]) for name in gone)]


def _find_mechanisms(change: Change) -> Mapping[str, int | None]:
    """Return the iterations that each mechanism of a change is to have; None: it is to be gone."""
    after = change.after if isinstance(change.after, ScramUser) and change.action is not Action.DELETE else None
    before = change.before.mechanisms if isinstance(change.before, ScramUser) else {}
    if after is None:
        return dict.fromkeys(before)
    changed = {diff.path.split("/")[2] for diff in change.diffs if diff.path.startswith("/mechanisms/")}
    gone = [name for name in before if name in changed and name not in after.mechanisms]
    return {**after.mechanisms, **dict.fromkeys(gone)}


def _is_there(user: ScramUser | None, mechanisms: Mapping[str, int | None]) -> bool:
    live = user.mechanisms if user is not None else {}
    return all(live.get(name) == iterations for name, iterations in mechanisms.items())


def _from_wire(name: str, answer: Any) -> ScramUser:
    from kplan.kinds.user.user import name_user

    mechanisms = {NAMES[info.mechanism]: info.iterations for info in answer.scram_credential_infos}
    return ScramUser(name_user(name), frozen(mechanisms))
