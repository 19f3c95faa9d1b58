"""Whether declared passwords are the live ones: no broker tells, so users log in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, cast

from kplan.kinds.user.comparison import is_another_password
from kplan.kinds.user.logins import try_mechanisms
from kplan.kinds.user.user import Credentials, ScramUser
from kplan.model import Address, Live, Resource, Secret, Stack
from kplan.planning.diff import Ledger
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
    declared = {
        address: resource
        for stack in stacks
        for address, resource in stack.resources.items()
        if isinstance(resource, ScramUser)
    }
    asked: dict[Address, list[Credentials]] = {}
    for address, user in declared.items():
        now, owned = live.resources.get(address), ledger.get(address)
        applied = owned.applied if owned is not None and isinstance(owned.applied, ScramUser) else None
        password = user.password.value if user.password is not None else None
        if not isinstance(now, ScramUser) or password is None:
            continue
        if backend.checks_all_logins or may_change(user, now, applied):
            live_ones = [name for name in user.mechanisms if name in now.mechanisms]
            asked[address] = [Credentials(user.user_name, name, password) for name in live_ones]
    told = try_mechanisms(backend.check_logins, asked)
    known: dict[Address, Resource] = {}
    for address, logins in asked.items():
        now = live.resources[address]
        assert isinstance(now, ScramUser)
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
    users = {
        address: replace(user, uncompared=reason)
        for address, user in live.resources.items()
        if isinstance(user, ScramUser)
    }
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
