"""Whether declared passwords are the live ones: no broker tells, so users log in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, cast

from kplan.kinds.user.comparison import is_another_password
from kplan.kinds.user.logins import try_mechanisms
from kplan.kinds.user.user import Credentials, ScramUser
from kplan.model import Address, Live, Resource, Secret, Stack
from kplan.planning.needed import Ledger
from kplan.servers.base import KAFKA, Cluster


class LoginServer(Protocol):
    """A server at which users log in. `checks_all_logins`: also of users that would not change otherwise."""

    checks_all_logins: bool

    def check_logins(self, logins: Mapping[Address, Credentials]) -> Mapping[Address, bool]:
        """Return whether each login works; one of which nothing is known is left out."""

    def skip_logins(self) -> None:
        """Let nobody log in from now on, not even to verify a password that was set."""


def find_login_server(cluster: Cluster) -> LoginServer | None:
    """Return the backend of users, where it can let them log in: a snapshot cannot."""
    backend = cluster.by_kind.get((ScramUser.kind, KAFKA))
    return cast(LoginServer, backend) if hasattr(backend, "check_logins") else None


def check_logins(stacks: Sequence[Stack], live: Live, ledger: Ledger, cluster: Cluster) -> Live:
    """Return the live state with what logins tell of the declared passwords. Each failure is in the broker's log."""
    backend = find_login_server(cluster)
    if backend is None:
        return live
    declared, users = _find_declared(stacks), _find_users(live.resources)
    asked: dict[Address, list[Credentials]] = {}
    for address, user in declared.items():
        now, owned = users.get(address), ledger.get(address)
        applied = owned.applied if owned is not None and isinstance(owned.applied, ScramUser) else None
        password = user.password.value if user.password is not None else None
        if now is None or password is None:
            continue
        if backend.checks_all_logins or may_change(user, now, applied):
            asked[address] = _list_logins(user, now, password)
    return _log_in(asked, declared, live, backend)


def check_every_login(stacks: Sequence[Stack], live: Live, cluster: Cluster) -> Live:
    """Return the live state with what a login of each declared user tells, and with the reason where nobody can try."""
    backend = find_login_server(cluster)
    if backend is None:
        return live
    declared, users = _find_declared(stacks), _find_users(live.resources)
    asked: dict[Address, list[Credentials]] = {}
    untried: dict[Address, Resource] = {}
    for address, user in declared.items():
        now = users.get(address)
        password = user.password.value if user.password is not None else None
        if now is None:
            continue
        if password is None:
            untried[address] = replace(now, uncompared="its password has no value here")
        elif logins := _list_logins(user, now, password):
            asked[address] = logins
        else:
            untried[address] = replace(now, uncompared="it has none of the declared mechanisms")
    return _log_in(asked, declared, replace(live, resources={**live.resources, **untried}), backend)


def _find_declared(stacks: Sequence[Stack]) -> dict[Address, ScramUser]:
    return {address: user for stack in stacks for address, user in _find_users(stack.resources).items()}


def _find_users(resources: Mapping[Address, Resource]) -> dict[Address, ScramUser]:
    return {address: user for address, user in resources.items() if isinstance(user, ScramUser)}


def _list_logins(user: ScramUser, now: ScramUser, password: str) -> list[Credentials]:
    return [Credentials(user.user_name, name, password) for name in user.mechanisms if name in now.mechanisms]


def _log_in(
    asked: Mapping[Address, Sequence[Credentials]],
    declared: Mapping[Address, ScramUser],
    live: Live,
    backend: LoginServer,
) -> Live:
    """Return the live state with what these logins tell."""
    told = try_mechanisms(backend.check_logins, asked)
    users = _find_users(live.resources)
    known: dict[Address, Resource] = {}
    for address, logins in asked.items():
        now = users[address]
        if address in told:
            known[address] = replace(now, password=make_live_password(declared[address], told[address]))
        elif logins:
            names = " and ".join(login.mechanism for login in logins)
            known[address] = replace(now, uncompared=f"no listener of `kafka:` answers a login by {names}")
    return replace(live, resources={**live.resources, **known}) if known else live


def skip_logins(live: Live, cluster: Cluster, reason: str) -> Live:
    """Return the live state with the reason why no password was compared; nobody logs in from now on."""
    backend = find_login_server(cluster)
    if backend is not None:
        backend.skip_logins()
    users = {a: replace(user, uncompared=reason) for a, user in _find_users(live.resources).items()}
    return replace(live, resources={**live.resources, **users})


def make_live_password(declared: ScramUser, is_right: bool) -> Secret:
    """Return what a login tells of the live password: it is the declared one, or it is not."""
    if is_right and declared.password is not None:
        return Secret(value=declared.password.value)
    return Secret(matches=lambda value: False)


def may_change(declared: ScramUser, now: ScramUser, applied: ScramUser | None) -> bool:
    """Whether the user would change whatever a login tells, is new to the stack, or names an old password."""
    if applied is None or declared.previous is not None:
        return True
    differs = any(now.mechanisms.get(name) != number for name, number in declared.mechanisms.items())
    return differs or is_another_password(declared, now, applied)
