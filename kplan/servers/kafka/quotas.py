"""Client quotas on real brokers (KIP-546), through kafka-python: librdkafka has no requests for them."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from kplan.diagnostics import Diagnostic, KplanError, Rejected, Timeout, Unsupported, codes
from kplan.kinds.acl.permissions import Acl
from kplan.kinds.quota.comparison import LIMIT
from kplan.kinds.quota.quota import Entity, Quota, name_entity
from kplan.model import Action, Address, Change, frozen
from kplan.servers.base import BackendState, Outcome, Progress
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.features import QUOTAS, make_missing_error
from kplan.servers.kafka.second_client import SecondClient, is_installed
from kplan.servers.plain import PlainBackend

POLL_S: Final = 0.1
REMOVED: Final = 0.0  # the value that goes with the removal of a key, which brokers ignore
Operation = tuple[str, float, bool]  # the key, its value, and whether it is removed


class KafkaQuotas(PlainBackend):
    """The client quotas of a Kafka cluster."""

    kind = Quota.kind
    check_name = "validate_only"

    def __init__(self, client: Client, settle_timeout: float = 120) -> None:
        self._client = SecondClient(client)
        self._settle_timeout = settle_timeout

    def close(self) -> None:
        self._client.close()

    def read(self, names: Collection[str] | None) -> BackendState:
        """Read all quotas in one request."""
        quotas = self._client.client.retry(self._read_all)
        wanted = None if names is None else set(names)
        found = {quota.address: quota for quota in quotas if wanted is None or quota.name in wanted}
        return BackendState(dict(found), frozenset(quota.name for quota in quotas))

    def _read_all(self) -> list[Quota]:
        _require_extra()
        from kafka.protocol.admin import DescribeClientQuotasRequest

        answer = self._send(DescribeClientQuotasRequest(components=[], strict=False))
        if answer.error_code:
            raise self._make_error(answer.error_code, answer.error_message, Acl("DescribeConfigs", "Cluster"))
        return [_from_wire(entry) for entry in answer.entries or ()]

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """Return what the brokers refuse with `ValidateOnly`."""
        acting = [change for change in changes if not change.is_ledger_only]
        if not acting:
            return {}
        refused = self._alter(acting, validate_only=True)
        return {
            change.address: [refusal.diagnostic(change.address)] if (refusal := refused[change.address]) else []
            for change in acting
        }

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Set and remove limits; those of one entity are changed together or not at all."""
        try:
            return {address: Outcome(refusal) for address, refusal in self._alter(changes).items()}
        except KplanError as failure:
            return {change.address: Outcome(failure) for change in changes}

    def _alter(self, changes: Sequence[Change], validate_only: bool = False) -> dict[Address, KplanError | None]:
        """Return why each change was refused; None where it was made."""
        _require_extra()
        from kafka.protocol.admin import AlterClientQuotasRequest

        asked = [(change.address, list_operations(change)) for change in changes]
        entries = [(_to_wire(address), operations) for address, operations in asked if operations]
        refusals: dict[Address, KplanError | None] = dict.fromkeys(change.address for change in changes)
        if not entries:
            return refusals
        request = AlterClientQuotasRequest(entries=entries, validate_only=validate_only)
        answer = self._client.client.retry(lambda: self._send(request))  # to set a limit again does no harm
        answered = {name_entity(_entity_of(entry)): entry for entry in answer.entries}
        for address, operations in asked:
            entry = answered.get(address.name)
            if not operations:
                continue
            if entry is None:
                refusals[address] = Timeout("the broker's answer does not name it")
            elif entry.error_code:
                right = Acl("AlterConfigs", "Cluster")
                refusals[address] = self._make_error(entry.error_code, entry.error_message, right)
        return refusals

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Wait until the brokers show every change, or time is up."""
        deadline = time.monotonic() + self._settle_timeout
        while True:
            live = {quota.address: quota.values for quota in self._client.client.retry(self._read_all)}
            waiting = [change for change in changes if not _is_there(change, live.get(change.address, {}))]
            if not waiting or time.monotonic() > deadline:
                break
            for change in waiting:
                progress(change.address, "accepted, not visible yet")
            time.sleep(POLL_S)
        late = Timeout(f"it is not as declared after {self._settle_timeout:g} s")
        missed = {change.address for change in waiting}
        return {
            change.address: Outcome(late, accepted=True) if change.address in missed else Outcome()
            for change in changes
        }

    def _send(self, request: Any) -> Any:
        """Return the answer to a request. Raises its failure as an error of kplan."""

        def ask(admin: Any) -> Any:
            manager = admin._manager  # the library has the messages, and no method for them
            return manager.run(manager.send, request)

        try:
            return self._client.request(ask)
        except Unsupported as missing:
            raise missing if missing.code == codes.K328.number else make_missing_error(QUOTAS) from missing

    def _make_error(self, code: int, message: str | None, right: Acl) -> KplanError:
        client = self._client.client
        return client.add_acl(client.error_of_code(code, message or f"error {code}, without a reason"), right)


def _require_extra() -> None:
    """Raise Unsupported where kafka-python is not installed."""
    if is_installed():
        return
    missing = Unsupported(
        "quotas need another client, which is not installed",
        code=codes.K342,
        help="install it: pip install 'kplan[admin]'",
    )
    missing.exit_code = Rejected.exit_code
    raise missing


def list_operations(change: Change) -> list[Operation]:
    """Return what a request sets and removes. A limit that no stack declares stays."""
    if change.action is Action.DELETE:
        before = change.before.values if isinstance(change.before, Quota) else {}
        return [(key, REMOVED, True) for key in sorted(before)]
    after = change.after.values if isinstance(change.after, Quota) else {}
    removed = sorted(diff.path.removeprefix(LIMIT) for diff in change.diffs if diff.after is None)
    return [
        *((key, value, False) for key, value in sorted(after.items()) if key not in removed),
        *((key, REMOVED, True) for key in removed),
    ]


def _is_there(change: Change, live: Mapping[str, float]) -> bool:
    return all(
        (key not in live) if is_removed else live.get(key) == value
        for key, value, is_removed in list_operations(change)
    )


def _to_wire(address: Address) -> list[tuple[str, str | None]]:
    return list(Quota(address.name).entity.items())


def _entity_of(entry: Any) -> Entity:
    return {part.entity_type: part.entity_name for part in entry.entity}


def _from_wire(entry: Any) -> Quota:
    return Quota(name_entity(_entity_of(entry)), frozen({limit.key: float(limit.value) for limit in entry.values}))
