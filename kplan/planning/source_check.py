"""Looks into the databases of the connectors that a plan changes, and says what would go wrong there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kplan.diagnostics import Denied, Diagnostic, KplanError, Unreachable, codes
from kplan.kinds.connector.debezium.discovery import login_from_here
from kplan.kinds.connector.debezium.drops import hindrances, report_hindered_drop
from kplan.kinds.connector.debezium.engine import DatabaseQuestion, DatabaseState, Login
from kplan.kinds.connector.debezium.readiness import ask, count_new_slots, problems, wants
from kplan.kinds.connector.names import alias_of
from kplan.kinds.connector.options import drops_of
from kplan.model import Change, Connector, SourceCheck, Target
from kplan.servers.base import Cluster
from kplan.values import dataclass

NOT_AT_HAND = {
    codes.K316.number: "its password is not known here",
    codes.K318.number: "its driver is not installed here",
    codes.K320.number: "its address or user is not known here",
}
Key = tuple[int, bool]  # the change, and whether it is asked for what is to be dropped


@dataclass(frozen=True, slots=True)
class Looked:
    """`checks` says of each database that a connector is about to read whether it was looked into, and why not."""

    diagnostics: tuple[Diagnostic, ...] = ()
    checks: tuple[SourceCheck, ...] = ()


def look(cluster: Cluster, changes: Sequence[Change], target: Target) -> Looked:
    """Return what the databases say of `changes`. Not to be asked from here is no problem, unless something
    is dropped.
    """
    wanted = dict(_find_wanted_connectors(changes)) if cluster.databases is not None else {}
    if cluster.databases is None or not wanted:
        return Looked()
    asks: dict[Key, DatabaseQuestion] = {}
    why: dict[Key, str] = {}
    for key, connector in wanted.items():
        try:
            url, _ = target.find_connect(alias_of(connector.name))
            asks[key] = ask(changes[key[0]], connector, login_from_here(connector, url))
        except KplanError as e:
            why[key] = describe_failure(e)
    answers = cluster.databases.read_states(asks) if asks else {}
    found: dict[Key, DatabaseState] = {
        key: answer for key, answer in answers.items() if not isinstance(answer, KplanError)
    }
    why |= {key: describe_failure(e, asks[key].login) for key, e in answers.items() if isinstance(e, KplanError)}
    diagnostics = _ready(asks, {key: seen for key, seen in found.items() if not key[1]}, why)
    for key in (key for key in wanted if key[1]):
        change = changes[key[0]]
        diagnostics += (
            [report_hindered_drop(change, why[key])] if key in why else hindrances(change, asks[key], found[key])
        )
    return Looked(tuple(diagnostics), tuple(_check(changes[key[0]], why.get(key)) for key in wanted if not key[1]))


def _find_wanted_connectors(changes: Sequence[Change]) -> Iterator[tuple[Key, Connector]]:
    """Yield the connectors whose databases matter: what they are to become, and what of them is to be dropped."""
    for number, change in enumerate(changes):
        if wants(change) and isinstance(change.after, Connector):
            yield (number, False), change.after
        if drops_of(change) and isinstance(change.before, Connector):
            yield (number, True), change.before


def _ready(
    asks: Mapping[Key, DatabaseQuestion], found: Mapping[Key, DatabaseState], why: dict[Key, str]
) -> list[Diagnostic]:
    """Return what is wrong; a list of tables that kplan cannot read is a reason not to judge."""
    slots = count_new_slots(asks, found)
    diagnostics: list[Diagnostic] = []
    for key, seen in found.items():
        login = asks[key].login
        try:
            diagnostics += problems(asks[key], seen, slots[login.host, login.port])
        except KplanError as e:
            why[key] = describe_failure(e)
    return diagnostics


def _check(change: Change, why: str | None) -> SourceCheck:
    return SourceCheck(change.address.name, why is None, why or "")


def describe_failure(problem: KplanError, login: Login | None = None) -> str:
    """Return why there was no look, in words that are the same each time."""
    if login is None:
        return NOT_AT_HAND.get(problem.code, problem.message)
    where = f"{login.host}:{login.port}"
    if isinstance(problem, Denied):
        return f"{where} does not let {login.user} in from here"
    return f"{where} does not answer" if isinstance(problem, Unreachable) else describe_failure(problem)
