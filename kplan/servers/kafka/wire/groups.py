"""Whether a consumer group has members."""

from __future__ import annotations

from typing import Final

from kplan.servers.kafka.wire.connection import DESCRIBE_GROUPS, FIND_COORDINATOR, BrokerConnection
from kplan.servers.kafka.wire.encoding import Unsuited, encode_array, encode_string

ABANDONED: Final = frozenset({"Empty", "Dead"})  # a group without members; one that does not exist is Dead
_GROUP_KEY: Final = b"\0"


def find_coordinator(connection: BrokerConnection, group: str) -> str:
    """Return where the group's coordinator is reached. Raises Unsuited where there is none."""
    answer = connection.ask(FIND_COORDINATOR, encode_string(group) + _GROUP_KEY)
    answer.take_int32()  # throttle time
    error = answer.take_int16()
    answer.take_text()
    answer.take_int32()
    host, port = answer.take_text(), answer.take_int32()
    if error:
        raise Unsuited(f"group {group}: error {error}")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_state(connection: BrokerConnection, group: str) -> str:
    """Return the group's state as its coordinator names it: Stable, Empty, Dead, PreparingRebalance … Raises Unsuited.

    An `Empty` or `Dead` group has no members.
    """
    answer = connection.ask(DESCRIBE_GROUPS, encode_array([encode_string(group)]))
    answer.take_int32()  # throttle time
    if answer.take_int32() != 1:
        raise Unsuited(f"group {group} is missing in the answer")
    error, name, state = answer.take_int16(), answer.take_text(), answer.take_text()
    if error or name != group:
        raise Unsuited(f"group {group}: error {error}")
    return state
