"""Topics that keep the state of Kafka, Connect, a schema registry or kplan: what may never be done to them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from kplan.kinds.topic.losses import may_lose
from kplan.model import Action, Address, Change, Owned, Stack, Topic
from kplan.patterns import late_pattern

CONNECT: Final = r"(?:.*[._-])?connect[._-](?:configs?|offsets?|status(?:es)?)\Z"
INTERNAL: Final = late_pattern(rf"__|_schemas\Z|_confluent|{CONNECT}")
GIVE_UP: Final = "`keep: true` under `removed:` gives it up; only Kafka's own tools delete it"
KEEP_SETTING: Final = "leave this setting as it is on the cluster"


def is_internal(name: str) -> bool:
    """Whether a topic is Kafka's, Connect's, a registry's or a connector's own, by its name."""
    return bool(INTERNAL.match(name))


def is_left_out(name: str) -> bool:
    """Whether a topic is Kafka's or kplan's own. Debezium's heartbeats begin with `__` too, and are declared."""
    return name.startswith("__") and not name.startswith("__debezium")


def state_address(name: str) -> Address:
    """Return the address of a topic that holds kplan's own state."""
    return Address("topic", name)


def is_state_topic(address: Address, stack: Stack) -> bool:
    """Whether the address is that of the topic with kplan's own state."""
    return address == state_address(stack.state_topic)


def find_refusal(change: Change, owner: Owned | None, state: str, internal: Collection[str] = ()) -> str:
    """Say why `change` is never made; empty where it may be.

    `owner` is the ledger's record of its topic, `state` the topic that holds kplan's own state, `internal` are the
    topics that kplan.yaml names as those of Connect. A topic that a template made for its connector, such as a
    heartbeat topic, may go again.
    """
    name = change.address.name
    if change.address.kind != "topic" or not (is_internal(name) or name == state or name in internal):
        return ""
    if name != state and name not in internal and name.startswith("__") and is_made_by_template(change, owner):
        return ""
    if change.action in (Action.DELETE, Action.REPLACE):
        return f"{name} is an internal topic, so it is never deleted"
    if may_lose(change):
        keys = ", ".join(diff.key for diff in change.diffs if diff.path.startswith("/config/"))
        return f"{name} is an internal topic, so no policy may delete its records ({keys})"
    return ""


def is_made_by_template(change: Change, owner: Owned | None) -> bool:
    """Whether kplan created the topic, and a template asked for it."""
    notes = [owner.applied.origin.note] if owner is not None and isinstance(owner.applied, Topic) else []
    notes += [each.origin.note for each in (change.before, change.after) if isinstance(each, Topic)]
    return owner is not None and owner.created and any(" of connector/" in note for note in notes)
