"""Which changes of a topic delete records: another cleanup policy, and limits that keep less."""

from __future__ import annotations

from collections.abc import Iterator

from kplan.kinds.topic import configs as catalog
from kplan.model import Action, Change, Topic

POLICY = "cleanup.policy"
LIMITS = ("retention.ms", "retention.bytes")


def may_lose(change: Change) -> bool:
    """Whether `change` deletes records if there are any."""
    if change.address.kind == "topic" and change.action in (Action.DELETE, Action.REPLACE):
        return True
    return is_changed_topic(change) and bool(gained_policies(change) or list(lowered_limits(change)))


def is_changed_topic(change: Change) -> bool:
    """Whether `change` is made to a topic that stays."""
    return change.action is Action.UPDATE and isinstance(change.before, Topic)


def value_before(change: Change, key: str) -> str | None:
    """Return the value of a config before the change."""
    return change.before.config.get(key) if isinstance(change.before, Topic) else None


def value_after(change: Change, key: str) -> str | None:
    """Return the value after the change; what the stack does not say stays as it is live."""
    found = next((d for d in change.diffs if d.path == f"/config/{key}"), None)
    if found is None:
        return value_before(change, key)
    return None if found.after is None else str(found.after)


def policies_of(value: str | None) -> frozenset[str]:
    """Return the policies of a `cleanup.policy`; unset is Kafka's default."""
    text = str(catalog.CONFIGS[POLICY].default) if value is None else value
    return frozenset(policy.strip() for policy in text.split(",") if policy.strip())


def gained_policies(change: Change) -> frozenset[str]:
    """Return the policies that the topic has after the change and not before."""
    return policies_of(value_after(change, POLICY)) - policies_of(value_before(change, POLICY))


def lowered_limits(change: Change) -> Iterator[str]:
    """Yield which limits hold before and after and keep less than before; -1 keeps all, and unset is Kafka's
    default.
    """
    if "delete" in policies_of(value_before(change, POLICY)) & policies_of(value_after(change, POLICY)):
        for key in LIMITS:
            before, after = limit_of(key, value_before(change, key)), limit_of(key, value_after(change, key))
            if after >= 0 and (before < 0 or after < before):
                yield key


def limit_of(key: str, value: str | None) -> float:
    """Return a limit as a number; unset is Kafka's default."""
    return number_of(value, catalog.CONFIGS[key].default)


def number_of(value: object, default: object) -> float:
    """Return a setting as a number, `default` where it is unset, 0 where it is none."""
    try:
        return float(str(default if value is None else value))
    except ValueError:
        return 0.0
