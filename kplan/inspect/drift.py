"""Find what was changed live since the last apply, and what the stack declares instead: ledger, servers and stack."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from kplan.kinds.registry import comparison_of
from kplan.model import Address, AttrDiff, Drift, Live, Resource, Secret, Stack, Text
from kplan.model.codec import text_to_json
from kplan.planning.comparison import compare, find_blocker
from kplan.planning.needed import Ledger
from kplan.values import dataclass

GONE = "/"  # the path of a resource that no longer exists
FORMAT = "1.0"


class Next(StrEnum):
    """State what the next apply does about what was changed live."""

    PUTS_BACK = "puts_back"  # the stack declares what was applied
    OVERWRITES = "overwrites"  # the stack declares another value now
    DELETES = "deletes"  # the resource left the stack
    GIVES_UP = "gives_up"  # the same, with `keep: true`
    REFUSES = "refuses"  # it cannot be changed in place
    IGNORES = "ignores"  # the stack leaves it to others
    NOTHING = "nothing"  # the stack declares what is live


WITHOUT_CHANGE = (Next.IGNORES, Next.NOTHING)  # no apply would change it, so it is not drift


@dataclass(frozen=True, slots=True)
class JudgedDrift:
    """Hold a difference of live to what was applied, what the stack declares now, and what the next apply does."""

    drift: Drift
    declared: Text | int | bool | None
    next: Next


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Hold all differences of one stack. `owned` of its resources were compared, `unseen` cannot be."""

    stack: str
    env: str
    owned: int
    differences: tuple[JudgedDrift, ...] = ()
    unseen: tuple[Address, ...] = ()

    @property
    def drift(self) -> tuple[JudgedDrift, ...]:
        return tuple(difference for difference in self.differences if difference.next not in WITHOUT_CHANGE)

    @property
    def without_change(self) -> tuple[JudgedDrift, ...]:
        return tuple(difference for difference in self.differences if difference.next in WITHOUT_CHANGE)


def compare_stack(stack: Stack, live: Live, ledger: Ledger, key: str | None = None) -> DriftReport:
    """Return each difference of `live` to what was applied for `stack`, judged by what the stack declares now."""
    addresses = [a for a, owned in sorted(ledger.items()) if owned.stack == stack.name and owned.applied is not None]
    unseen = tuple(address for address in addresses if address in live.hidden)
    judged_drift = [_judge(drift, stack, live, ledger, key) for drift in list_drift(stack.name, live, ledger, key)]
    return DriftReport(stack.name, stack.env, len(addresses), tuple(judged_drift), unseen)


def list_drift(stack: str, live: Live, ledger: Ledger, key: str | None = None) -> list[Drift]:
    """Return each attribute that kplan set for `stack` and that has changed since, and each resource that is gone.

    A secret is compared by the digest that was made of it with `key`; one without a digest is not compared.
    """
    drift: list[Drift] = []
    for address, owned in sorted(ledger.items()):
        if owned.stack != stack or owned.applied is None or address in live.hidden:
            continue
        resource = live.resources.get(address)
        if resource is None:
            drift.append(Drift(address, GONE, "there", None))
            continue
        diffs = compare(owned.applied, _sign_secrets(resource, owned.applied, key), None).diffs
        drift += [
            Drift(address, diff.path, diff.after, diff.before) for diff in diffs if not _is_same_secret(diff, key)
        ]
    return drift


def _sign_secrets(live: Resource, applied: Resource, key: str | None) -> Resource:
    """Return the live resource, with digests where a secret was applied: the ledger holds no value to compare with."""
    comparison = comparison_of(applied.address)
    present = {path: comparison.read_attribute(live, path) for path in comparison.secrets(applied)}
    digests = {
        path: (Secret(value=value) if isinstance(value, str) else value).signed(key)
        for path, value in present.items()
        if isinstance(value, str | Secret)
    }
    return comparison.with_values(live, digests)


def _is_same_secret(diff: AttrDiff, key: str | None) -> bool:
    """Return whether the difference is a secret that is the same, or that cannot be compared."""
    applied, live = diff.after, diff.before
    if not isinstance(applied, Secret):
        return False
    if live is None:
        return False
    if key is None or not applied.fingerprint:
        return True
    return applied.same_as(live if isinstance(live, Secret) else Secret(value=str(live)).signed(key)) is not False


# -- what the stack declares ------------------------------------------------------------------------------------------
def _judge(drift: Drift, stack: Stack, live: Live, ledger: Ledger, key: str | None) -> JudgedDrift:
    declared = _find_declared(drift.address, stack)
    if drift.path == GONE:
        return _judge_gone(drift, declared, stack)
    if declared is None:
        is_kept = any(entry.address == drift.address and entry.keep for entry in stack.removed)
        return JudgedDrift(drift, None, Next.GIVES_UP if is_kept else Next.DELETES)
    attribute = drift.path.removeprefix("/config/") if drift.path.startswith("/config/") else ""
    want = comparison_of(declared.address).read_attribute(declared, drift.path)
    if attribute in declared.rules.ignore:
        return JudgedDrift(drift, want, Next.IGNORES)
    resource = live.resources[drift.address]
    diffs = compare(declared, resource, ledger[drift.address]).diffs
    planned = next((d for d in diffs if d.path == drift.path), None)
    if planned is None:  # the plan changes nothing there; but an unknown value does not declare what is live
        unknown = isinstance(want, Secret) and want.value is None
        return JudgedDrift(drift, want, Next.PUTS_BACK if unknown else Next.NOTHING)
    if find_blocker(declared, resource, planned):
        return JudgedDrift(drift, want, Next.REFUSES)
    return JudgedDrift(drift, want, Next.PUTS_BACK if _is_same(want, drift.applied, key) else Next.OVERWRITES)


def _judge_gone(drift: Drift, declared: Resource | None, stack: Stack) -> JudgedDrift:
    if declared is None:
        return JudgedDrift(drift, None, Next.NOTHING)
    return JudgedDrift(drift, "there", Next.PUTS_BACK if stack.guards.create else Next.REFUSES)


def _find_declared(address: Address, stack: Stack) -> Resource | None:
    """Return what the stack declares there; of a connector that is to move, under its new name."""
    targets = (move.target for move in stack.moved if move.source == address)
    return stack.resources.get(address) or next((stack.resources[t] for t in targets if t in stack.resources), None)


def _is_same(want: object, applied: object, key: str | None) -> bool:
    if isinstance(want, Secret) and isinstance(applied, Secret):
        return want.signed(key).same_as(applied) is not False
    return want == applied


# -- as a document ----------------------------------------------------------------------------------------------------
def make_document(report: DriftReport, target: dict[str, Any], time: str) -> dict[str, Any]:
    """Return the document of schemas/drift.v1.json for one stack. `time` is the time of this reading."""
    return {
        "format_version": FORMAT,
        "created_at": time,
        "stack": {"name": report.stack, "env": report.env},
        "target": target,
        "owned": report.owned,
        "drift": [_encode(difference) for difference in report.drift],
        "taken_up": [_encode(difference) for difference in report.without_change],
        "unseen": [str(address) for address in report.unseen],
    }


def _encode(judged: JudgedDrift) -> dict[str, Any]:
    return {
        "address": str(judged.drift.address),
        "path": judged.drift.path,
        "applied": text_to_json(judged.drift.applied),
        "live": text_to_json(judged.drift.live),
        "declared": text_to_json(judged.declared),
        "next": str(judged.next),
    }
