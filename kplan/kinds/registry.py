"""The kinds of resource that kplan knows, in the order in which they are shown."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from kplan.kinds.base import Kind
from kplan.kinds.connector.kind import CONNECTOR
from kplan.kinds.topic.kind import TOPIC

_kinds: dict[str, Kind[Any]] = {kind.name: kind for kind in (TOPIC, CONNECTOR)}
KINDS = MappingProxyType(_kinds)
