"""Bindings, users and quotas of a simulated cluster, in the file of its topics."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from kplan.diagnostics import CapabilityMissing, Denied, Diagnostic, KplanError, Rejected, Timeout, codes
from kplan.kinds.acl.authorizer import Authorizer
from kplan.kinds.acl.binding import AclBinding, parse_binding
from kplan.kinds.acl.operations import ANY_HOST, CLUSTER_NAME, OPERATIONS, ResourceType
from kplan.kinds.quota.quota import Quota
from kplan.kinds.user.comparison import PASSWORD
from kplan.kinds.user.user import FEWEST_ITERATIONS, MECHANISMS, MOST_ITERATIONS, Credentials, ScramUser
from kplan.kinds.user.wording import describe_unknown_password
from kplan.model import Action, Address, Change, Resource, frozen
from kplan.servers.base import BackendState, Outcome, Progress
from kplan.servers.plain import PlainBackend
from kplan.servers.simulated import SimulatedFile
from kplan.servers.simulated_limits import HELP
from kplan.servers.topics import NOT_IN_TIME

SUPER_USERS = frozenset({"User:kplan", "User:connect"})


class _SimulatedKind(PlainBackend):
    """Resources of one kind as JSON by name. Addresses in `fail` are accepted, and then do not become visible.

    `missing` is what a cluster without the capability answers; empty where the cluster has it.
    """

    kind: str

    def __init__(self, path: Path | str, *, fail: Sequence[str] = (), missing: str = "") -> None:
        self.file = SimulatedFile(path)
        self.fail = frozenset(fail)
        self._missing = missing

    def _require(self) -> None:
        if self._missing:
            raise CapabilityMissing(self._missing, code=codes.K340 if self.kind == AclBinding.kind else None,
                              help=HELP)  # fmt: skip

    def read(self, names: Collection[str] | None) -> BackendState:
        self._require()
        rows = self.file.read("SELECT name, data FROM sim_access WHERE kind = ? ORDER BY name", self.kind)
        wanted = None if names is None else set(names)
        found = [self._decode(name, json.loads(data)) for name, data in rows if wanted is None or name in wanted]
        return BackendState({each.address: each for each in found}, frozenset(name for name, _ in rows))

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Make all changes in one transaction, each with its own outcome."""
        self._require()
        outcomes = {}
        with self.file.write() as db:
            for change in changes:
                try:
                    self._act(db, change)
                    is_there = captured.get(change.address, {}).get("there") is True
                    outcomes[change.address] = Outcome(adopted=is_there and change.action is Action.CREATE)
                except KplanError as refusal:
                    outcomes[change.address] = Outcome(refusal)
        return outcomes

    def _act(self, db: sqlite3.Connection, change: Change) -> None:
        name = change.address.name
        rows = db.execute("SELECT data FROM sim_access WHERE kind = ? AND name = ?", (self.kind, name)).fetchall()
        if change.action is Action.DELETE or change.after is None:
            db.execute("DELETE FROM sim_access WHERE kind = ? AND name = ?", (self.kind, name))
            return
        salt = str(db.execute("SELECT value FROM sim_meta WHERE key = 'salt'").fetchone()[0])
        data = self._encode(change, json.loads(rows[0][0]) if rows else {}, salt)
        db.execute("INSERT OR REPLACE INTO sim_access VALUES (?, ?, ?)", (self.kind, name, json.dumps(data)))

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Return at once; what is to fail was accepted and does not become visible."""
        help = "`simulated: {fail: […]}` in kplan.yaml asks for this failure"
        failure = Timeout(f"simulated: {NOT_IN_TIME}", help=help)
        return {
            change.address: Outcome(failure if self._is_to_fail(change) else None, accepted=self._is_to_fail(change))
            for change in changes
        }

    def _is_to_fail(self, change: Change) -> bool:
        return str(change.address) in self.fail and change.reason != "undo"

    def close(self) -> None:
        self.file.close()

    @abstractmethod
    def _encode(self, change: Change, stored: Mapping[str, Any], salt: str) -> Mapping[str, Any]:
        """Return what is stored after the change. Raises Rejected, as brokers refuse it."""

    @abstractmethod
    def _decode(self, name: str, data: Mapping[str, Any]) -> Resource:
        """Return the live resource."""


class SimulatedAcls(_SimulatedKind):
    """The bindings of an authorizer that denies what no binding allows; kplan is a super user."""

    kind = AclBinding.kind

    def __init__(
        self,
        path: Path | str,
        *,
        fail: Sequence[str] = (),
        missing: str = "",
        principal: str = "",
        is_super_user: bool = False,
        allows_by_default: bool | None = None,
    ) -> None:
        """`principal` is kplan's own user; without one it is `User:kplan`, who is a super user."""
        super().__init__(path, fail=fail, missing=missing)
        self._principal = principal or "User:kplan"
        self._super_users = SUPER_USERS | {self._principal} if is_super_user else SUPER_USERS
        self._allows_by_default = bool(allows_by_default)

    def read(self, names: Collection[str] | None) -> BackendState:
        """Read all bindings. Raises Denied where kplan's own user may not see them."""
        state = super().read(names)
        authorizer = self._authorize(state)
        operations = frozenset(
            operation
            for operation in OPERATIONS[ResourceType.CLUSTER]
            if authorizer.is_allowed(self._principal, operation, ResourceType.CLUSTER, CLUSTER_NAME)
        )
        if "Describe" not in operations:
            raise Denied(
                f"the cluster: missing ACL: Describe on Cluster for {self._principal}",
                help="in kplan.yaml, `authorizer: {principal: …}` is kplan's own user, `super_user: true` makes it one",
            )
        return BackendState(
            state.resources, state.names, operations=operations, allows_by_default=self._allows_by_default
        )

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """Return whether each binding to create is there already, as the brokers' backend does."""
        new = [change for change in changes if change.action is Action.CREATE]
        there = self.read([change.address.name for change in new]).resources
        return {change.address: {"there": change.address in there} for change in new}

    def authorizer(self) -> Authorizer:
        """Return what decides who may do what here."""
        return self._authorize(super().read(None))

    def _authorize(self, state: BackendState) -> Authorizer:
        bindings = [each for each in state.resources.values() if isinstance(each, AclBinding)]
        return Authorizer(bindings, self._super_users, self._allows_by_default)

    def can(self, principal: str, operation: str, resource: str, host: str = ANY_HOST) -> bool:
        """Whether the principal may do the operation on `topic/NAME`, `group/ID`, `transactional-id/ID` or `cluster`.

        Raises ValueError for a principal without a type, another resource, and an operation that is not checked on it.
        """
        word, _, name = resource.partition("/")
        if word not in set(ResourceType) or bool(name) is (word == ResourceType.CLUSTER):
            raise ValueError(f"{resource!r} is neither topic/NAME, group/ID, transactional-id/ID nor cluster")
        if ":" not in principal:
            raise ValueError(f"{principal!r} has no type: write 'User:{principal}'")
        known = OPERATIONS[ResourceType(word)]
        if operation not in known:
            raise ValueError(f"{operation!r} is not an operation of a {ResourceType(word).noun}: {', '.join(known)}")
        return self.authorizer().is_allowed(principal, operation, ResourceType(word), name or CLUSTER_NAME, host)

    def _encode(self, change: Change, stored: Mapping[str, Any], salt: str) -> Mapping[str, Any]:
        return {}

    def _decode(self, name: str, data: Mapping[str, Any]) -> Resource:
        return parse_binding(name)


class SimulatedUsers(_SimulatedKind):
    """SCRAM users. Passwords are kept as salted digests, as brokers keep them."""

    kind = ScramUser.kind

    def _encode(self, change: Change, stored: Mapping[str, Any], salt: str) -> Mapping[str, Any]:
        user = change.after
        assert isinstance(user, ScramUser)
        for name, iterations in user.mechanisms.items():
            if name not in MECHANISMS or not FEWEST_ITERATIONS <= iterations <= MOST_ITERATIONS:
                raise Rejected(f"{name} takes {FEWEST_ITERATIONS} to {MOST_ITERATIONS} iterations, not {iterations}")
        is_set = any(diff.path == PASSWORD for diff in change.diffs)
        if is_set and (user.password is None or user.password.value is None):
            raise Rejected(describe_unknown_password(user))
        before = change.before.mechanisms if isinstance(change.before, ScramUser) else {}
        left = {
            name: each
            for name, each in (stored.get("mechanisms") or {}).items()
            if name not in before or name in user.mechanisms
        }
        digest = stored.get("digest", "")
        if user.password is not None and user.password.value is not None:
            digest = _digest(salt, user.password.value)
        return {"mechanisms": {**left, **user.mechanisms}, "digest": digest}

    def _decode(self, name: str, data: Mapping[str, Any]) -> Resource:
        return ScramUser(name, frozen(data["mechanisms"]))

    checks_all_logins = True  # nobody else's log has the failures

    def skip_logins(self) -> None:
        """Do nothing: no login verifies what is set here."""

    def check_logins(self, logins: Mapping[Address, Credentials]) -> Mapping[Address, bool]:
        """Return whether each user can log in with the password; one that is not there cannot."""
        salt = self.file.read_meta("salt")
        rows = self.file.read("SELECT name, data FROM sim_access WHERE kind = ?", self.kind)
        digests = {name: json.loads(data)["digest"] for name, data in rows}
        return {
            address: hmac.compare_digest(digests.get(address.name, ""), _digest(salt, login.password))
            for address, login in logins.items()
        }


def _digest(salt: str, password: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 1000).hex()


class SimulatedQuotas(_SimulatedKind):
    """Client quotas."""

    kind = Quota.kind
    check_name = "validate_only"

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """Return nothing that is wrong: what kplan writes is checked already."""
        return {change.address: () for change in changes if not change.is_ledger_only}

    def _encode(self, change: Change, stored: Mapping[str, Any], salt: str) -> Mapping[str, Any]:
        quota = change.after
        assert isinstance(quota, Quota)
        gone = {d.path.removeprefix("/limits/") for d in change.diffs if d.after is None}
        return {key: value for key, value in {**stored, **quota.values}.items() if key not in gone}

    def _decode(self, name: str, data: Mapping[str, Any]) -> Resource:
        return Quota(name, frozen({key: float(value) for key, value in data.items()}))
