"""Looks into the databases of the connectors that a plan changes, and says what would go wrong there."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from kplan.backends.base import Cluster
from kplan.diagnostics import Denied, Diagnostic, KplanError, Unreachable
from kplan.discovery import Login, login
from kplan.model import Address, Change, Connector, SourceCheck, Target
from kplan.readiness import Ask, Found, ask, coming, problems, wants

NOT_AT_HAND = {
    "K316": "its password is not known here",
    "K318": "its driver is not installed here",
    "K320": "its address or user is not known here",
}


@dataclass(frozen=True, slots=True)
class Looked:
    """`checks` says of each database that matters whether it was looked into, and why not."""

    diagnostics: tuple[Diagnostic, ...] = ()
    checks: tuple[SourceCheck, ...] = ()


def look(cluster: Cluster, changes: Sequence[Change], target: Target) -> Looked:
    """What the databases say of `changes`. A database that cannot be asked from here is no problem."""
    wanted = [change for change in changes if wants(change)]
    if cluster.databases is None or not wanted:
        return Looked()
    asks: dict[Address, Ask] = {}
    why: dict[Address, str] = {}
    for change in wanted:
        try:
            asks[change.address] = ask(change, login_of(change.after, target))
        except KplanError as e:
            why[change.address] = _in_short(e)
    answers = cluster.databases.look(asks) if asks else {}
    found: dict[Address, Found] = {a: answer for a, answer in answers.items() if not isinstance(answer, KplanError)}
    why |= {a: _reason(asks[a].login, answer) for a, answer in answers.items() if isinstance(answer, KplanError)}
    slots = coming(asks, found)
    told: list[Diagnostic] = []
    for address, seen in found.items():
        each = asks[address]
        try:
            told += problems(each, seen, slots[each.login.host, each.login.port])
        except KplanError as e:
            why[address] = _in_short(e)
    checks = tuple(SourceCheck(c.address.name, c.address not in why, why.get(c.address, "")) for c in wanted)
    return Looked(tuple(told), checks)


def login_of(connector: object, target: Target) -> Login:
    """As the connector logs in. Raises KplanError, too, where `localhost` is another machine than Connect's."""
    assert isinstance(connector, Connector), "its database is wanted"
    found = login(connector)
    worker = urlsplit(target.connect_url.partition(",")[0]).hostname or ""
    if _is_here(found.host) and not _is_here(worker):
        raise KplanError(f"{found.host} is the Connect worker's, not this machine", code="K310")
    return found


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host in ("localhost", "localhost.localdomain")


def _reason(login: Login, problem: KplanError) -> str:
    """Why there was no look, in words that are the same each time."""
    where = f"{login.host}:{login.port}"
    if isinstance(problem, Denied):
        return f"{where} does not let {login.user} in from here"
    return f"{where} does not answer" if isinstance(problem, Unreachable) else _in_short(problem)


def _in_short(problem: KplanError) -> str:
    return NOT_AT_HAND.get(problem.code, problem.message)
