"""What topics store, and what they will store once changes have had their effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class Storage:
    """What a topic stores: bytes of all replicas, bytes of one replica of each partition, and the time of the oldest
    record (milliseconds since 1970). `unknown` says why that could not be read."""

    bytes: int = 0
    bytes_of_one: int = 0
    first_write: int | None = None
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class StorageState:
    """What topics store, by name, and how many replicas each broker holds, those of all topics together."""

    topics: Mapping[str, Storage] = field(default_factory=dict)
    replicas: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StorageForecast:
    """What a topic stores on all brokers, and how that goes on.

    `rate` are bytes a second that are written to one replica of each partition, on average over the last `window`
    seconds. `after` bytes are stored `seconds` later (0: as soon as the change is made). A topic that `is_unlimited`
    grows by `growth` bytes a day. `unknown` says why there is no forecast.
    """

    bytes: int | None = None
    rate: float | None = None
    window: int | None = None
    after: int | None = None
    seconds: int | None = None
    is_unlimited: bool = False
    growth: int | None = None
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecasts of a plan's topics, by address, and how many replicas each broker holds now."""

    storage: Mapping[str, StorageForecast] = field(default_factory=dict)
    replicas: Mapping[int, int] = field(default_factory=dict)
