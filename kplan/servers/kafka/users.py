"""SCRAM users on real brokers (KIP-554), through librdkafka's admin client."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from kplan.diagnostics import Conflict, ErrorClass, KplanError, Rejected, Timeout, Unsupported, codes
from kplan.kinds.acl.permissions import Acl
from kplan.kinds.user.logins import try_mechanisms
from kplan.kinds.user.user import FEWEST_ITERATIONS, MOST_ITERATIONS, Credentials, ScramUser, name_user
from kplan.kinds.user.wording import describe_unknown_password
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
LOGIN_PAUSES_S: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # before each try


class KafkaUsers(PlainBackend):
    """The SCRAM users of a Kafka cluster. No broker tells their passwords."""

    kind = ScramUser.kind

    def __init__(self, client: Client, settle_timeout: float = 120, checks_all_logins: bool = False) -> None:
        """With `checks_all_logins` a plan checks the password of every user, not only of those that change."""
        self._client = client
        self._settle_timeout = settle_timeout
        self.checks_all_logins = checks_all_logins
        self._logins: Logins | None = Logins(client.config)

    def check_logins(self, logins: Mapping[Address, Credentials]) -> Mapping[Address, bool]:
        """Return whether each login works; one of which nothing is known is left out."""
        return {} if self._logins is None else self._logins.check(logins)

    def skip_logins(self) -> None:
        """Let nobody log in from now on, not even to verify a password that was set."""
        self._logins = None

    # -- reading ------------------------------------------------------------------------------------------------------
    def read(self, names: Collection[str] | None) -> BackendState:
        """Read the users of these names (None: all) in one request; a user without credentials is not there."""
        users = self._read(names)
        return BackendState({user.address: user for user in users}, frozenset(user.name for user in users))

    def _read(self, names: Collection[str] | None) -> list[ScramUser]:
        wanted = None if names is None else [ScramUser(name).user_name for name in names]
        return [] if wanted == [] else self._client.retry(lambda: self._describe(wanted))

    def _describe(self, wanted: list[str] | None) -> list[ScramUser]:
        def send() -> Mapping[str, Any]:
            seconds = self._client.attempt_timeout
            asked = self._client.admin.describe_user_scram_credentials(wanted, request_timeout=seconds)
            return asked if isinstance(asked, dict) else {"": asked}

        answers = self._client.request(send, "describe users")
        if wanted is None and not isinstance(answers[""], KplanError):
            answers = answers[""]
        users = []
        for name, answer in answers.items():
            if isinstance(answer, Conflict):  # RESOURCE_NOT_FOUND: there is no such user
                continue
            if isinstance(answer, KplanError):
                raise self._explain(answer, Acl("Describe", "Cluster"))
            users.append(_from_wire(name, answer))
        return users

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """Return the mechanisms that each user has before its change."""
        live = {user.address: user for user in self._read([change.address.name for change in changes])}
        return {
            change.address: {"mechanisms": dict(live[change.address].mechanisms) if change.address in live else {}}
            for change in changes
        }

    # -- acting -------------------------------------------------------------------------------------------------------
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
        made = dict.fromkeys(alterations, 0)
        for number in range(max(map(len, alterations.values()), default=0)):
            batch = {
                address: each[number]
                for address, each in alterations.items()
                if number < len(each) and address not in refusals
            }
            for address, refusal in self._alter(batch).items() if batch else ():
                if refusal is not None:
                    refusals[address] = refusal
                else:
                    made[address] += 1
        outcomes = {a: Outcome(refusals.get(a), accepted=a in refusals and made[a] > 0) for a in alterations}
        lasts = {a for a, each in alterations.items() if made[a] == len(each) - 1}
        in_doubt = [c for c in changes if (e := refusals.get(c.address)) is not None and e.applied is None]
        return outcomes | self._decide_doubt(in_doubt, outcomes, lasts)

    def _alter(self, batch: Mapping[Address, Any]) -> dict[Address, KplanError | None]:
        """Return why each alteration was refused; None where it was made. Each may be sent again: it has one effect."""
        refusals: dict[Address, KplanError | None] = {}
        waiting = dict(batch)
        for attempt in range(1, self._client.attempts + 1):
            refusals |= self._send(waiting)
            reasons = {a: e for a in waiting if (e := refusals[a]) and e.error_class is ErrorClass.RETRIABLE}
            waiting = {address: batch[address] for address in reasons}
            if not waiting or attempt == self._client.attempts:
                break
            self._client.pause(attempt, next(iter(reasons.values())).message)
        return refusals

    def _send(self, batch: Mapping[Address, Any]) -> dict[Address, KplanError | None]:
        seconds = self._client.attempt_timeout
        try:
            asked = self._client.admin.alter_user_scram_credentials(list(batch.values()), request_timeout=seconds)
        except (KafkaException, ValueError, TypeError) as exception:
            return dict.fromkeys(batch, self._client.map_error(exception))
        answers = self._client.await_answers(asked, "alter users")
        return {address: self._judge(alteration, answers[alteration.user]) for address, alteration in batch.items()}

    def _judge(self, alteration: Any, answer: Any) -> KplanError | None:
        """Return why an alteration was refused; None where it was made, or what is to be deleted is not there."""
        if not isinstance(answer, KplanError):
            return None
        if isinstance(answer, Conflict):
            return None if isinstance(alteration, UserScramCredentialDeletion) else Rejected(answer.message)
        if "iterations" in answer.message:  # UNACCEPTABLE_CREDENTIAL, by `ScramControlManager`
            return Rejected(answer.message, help=f"write {FEWEST_ITERATIONS} to {MOST_ITERATIONS} `iterations`")
        return self._explain(answer, Acl("Alter", "Cluster"))

    def _explain(self, refusal: KplanError, right: Acl) -> KplanError:
        if isinstance(refusal, Unsupported):
            missing = Unsupported(
                f"the cluster keeps no SCRAM users: {refusal.message}",
                code=codes.K343,
                help="SCRAM users need Kafka 2.7, with KRaft 3.5; or remove `users:` for this environment",
            )
            missing.exit_code = Rejected.exit_code
            return missing
        return self._client.add_acl(refusal, right)

    def _decide_doubt(
        self, changes: Sequence[Change], outcomes: Mapping[Address, Outcome], lasts: Collection[Address]
    ) -> dict[Address, Outcome]:
        """Return the outcome of updates without an answer: a login decides, else they count as made.

        A user looks the same before and after. `lasts` are those of which nothing else was left to be sent.
        """
        updates = [change for change in changes if change.action is Action.UPDATE]
        deadline = time.monotonic() + self._client.timeout  # a broker may be starting, or still have the request
        told = self._await_logins({c.address: _list_set_logins(c) for c in updates}, deadline, True) if updates else {}
        decided: dict[Address, Outcome] = {}
        for address in (change.address for change in updates):
            outcome = outcomes[address]
            if told.get(address) and address in lasts:
                decided[address] = Outcome()
            elif told.get(address) is False and outcome.error is not None:
                outcome.error.applied = False
                decided[address] = outcome
            else:
                decided[address] = replace(outcome, accepted=True)
        return decided

    def _await_logins(
        self, logins: Mapping[Address, Sequence[Credentials]], deadline: float, awaits_answer: bool = False
    ) -> dict[Address, bool]:
        """Return what logins tell at last: brokers learn of a password one after the other. Each failure is logged.

        With `awaits_answer` a login of which nothing is known is repeated too: a broker may be starting.
        """
        told: dict[Address, bool] = {}
        if self._logins is None or not self._logins.is_possible:
            return told
        waiting = {address: each for address, each in logins.items() if each}
        for pause in LOGIN_PAUSES_S:
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
            told |= try_mechanisms(self.check_logins, waiting)
            waiting = {a: each for a, each in waiting.items() if not told.get(a, not awaits_answer)}
            if not waiting or time.monotonic() > deadline:
                break
        return told

    # -- settling -----------------------------------------------------------------------------------------------------
    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Wait until the brokers show the mechanisms of every user, and let those with a new password log in once."""
        deadline = time.monotonic() + self._settle_timeout
        wanted = {change.address: _find_mechanisms(change) for change in changes}
        while True:
            users = {user.address: user for user in self._read([a.name for a in wanted])}
            waiting = {a for a, mechanisms in wanted.items() if not _is_there(users.get(a), mechanisms)}
            if not waiting or time.monotonic() > deadline:
                break
            for address in waiting:
                progress(address, "accepted, not visible yet")
            time.sleep(POLL_S)
        late = Timeout(f"it is not as declared after {self._settle_timeout:g} s")
        logins = {c.address: _list_set_logins(c) for c in changes if c.address not in waiting}
        told = self._await_logins({a: each for a, each in logins.items() if each}, deadline)
        wrong = KplanError(
            "the password that was set does not log in",
            help="if the brokers of `kafka:` have other passwords than the cluster, use --no-login-check",
        )
        failures = dict.fromkeys(waiting, late) | {a: wrong for a, is_right in told.items() if not is_right}
        return {a: Outcome(failures[a], accepted=True) if a in failures else Outcome() for a in wanted}


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
        raise Rejected(describe_unknown_password(after))
    upserts = [
        UserScramCredentialUpsertion(
            user, ScramCredentialInfo(MECHANISMS[name], after.mechanisms[name]), (password or "").encode()
        )
        for name in set_ones
    ]
    gone = [name for name in before if name not in after.mechanisms and name in changed]
    return [*upserts, *(UserScramCredentialDeletion(user, MECHANISMS[name]) for name in gone)]


def _list_set_logins(change: Change) -> list[Credentials]:
    """Return the logins that work once the change is made, for each mechanism that it sets; none for a deletion."""
    user = change.after
    if change.action is Action.DELETE or not isinstance(user, ScramUser) or user.password is None:
        return []
    set_ones = {MECHANISMS[name] for name in user.mechanisms} & {
        alteration.scram_credential_info.mechanism
        for alteration in list_alterations(change)
        if isinstance(alteration, UserScramCredentialUpsertion)
    }
    word = user.password.value
    return [] if word is None else [Credentials(user.user_name, NAMES[wire], word) for wire in sorted(set_ones)]


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
    """Return the user, with those of its mechanisms that this client knows."""
    infos = [info for info in answer.scram_credential_infos if info.mechanism in NAMES]
    mechanisms = {NAMES[info.mechanism]: info.iterations for info in infos}
    return ScramUser(name_user(name), frozen(mechanisms))
