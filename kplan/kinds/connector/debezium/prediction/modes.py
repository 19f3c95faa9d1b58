"""The settings of a connector that decide what columns become."""

from __future__ import annotations

from typing import Final, Self

from kplan.kinds.connector.debezium.prediction.structure import Avro
from kplan.model import Connector
from kplan.values import dataclass

DECIMALS: Final = ("precise", "double", "string")
BINARIES: Final = ("bytes", "base64", "base64-url-safe", "hex")
TIMES: Final = (
    "adaptive", "adaptive_time_microseconds", "connect", "isostring", "structured", "microseconds", "nanoseconds",
)  # fmt: skip
KNOWN: Final = {
    "decimal.handling.mode": DECIMALS,
    "binary.handling.mode": BINARIES,
    "time.precision.mode": TIMES,
    "interval.handling.mode": ("numeric", "string"),
    "hstore.handling.mode": ("json", "map"),
    "bigint.unsigned.handling.mode": ("long", "precise"),
    "include.unknown.datatypes": ("false", "true"),
}


@dataclass(frozen=True, slots=True)
class Modes:
    """How a connector represents values; each is what its setting says, or Debezium's default."""

    decimal: str = "precise"
    binary: str = "bytes"
    time: str = "adaptive"
    interval: str = "numeric"
    hstore: str = "json"
    unsigned_bigint: str = "long"
    includes_unknown: bool = False

    @classmethod
    def of(cls, connector: Connector, usual_time: str) -> Self:
        """Return the modes of a connector; `usual_time` is the engine's default of `time.precision.mode`."""

        def read(setting: str, usual: str) -> str:
            value = connector.config.get(setting)
            return value.lower() if isinstance(value, str) and value else usual

        return cls(
            read("decimal.handling.mode", "precise"),
            read("binary.handling.mode", "bytes"),
            read("time.precision.mode", usual_time),
            read("interval.handling.mode", "numeric"),
            read("hstore.handling.mode", "json"),
            read("bigint.unsigned.handling.mode", "long"),
            read("include.unknown.datatypes", "false") == "true",
        )

    def decide_binary(self) -> Avro:
        """Return the type of a column of bytes."""
        return "bytes" if self.binary == "bytes" else "string"

    def decide_decimal(self, precision: int, scale: int) -> Avro:
        """Return the type of a column of decimals with a scale."""
        if self.decimal != "precise":
            return self.decimal
        return {"type": "bytes", "scale": scale, "precision": precision, "logicalType": "decimal"}

    def decide_time(self, part: str, precision: int) -> Avro:
        """Return the type of `Date`, `Time` or `Timestamp`; the precision counts for times alone."""
        if self.time == "isostring":
            return "string"
        if self.time == "structured":
            return f"io.debezium.time.Structured{part}"
        if self.time == "connect":
            physical, logical = CONNECT_TIMES[part]
            return {"type": physical, "logicalType": logical}
        if part == "Date" or (part == "Time" and self.time == "adaptive" and precision <= 3):
            return "int"
        return "long"


CONNECT_TIMES: Final = {
    "Date": ("int", "date"),
    "Time": ("int", "time-millis"),
    "Timestamp": ("long", "timestamp-millis"),
}


def find_unknown_mode(connector: Connector) -> str:
    """Return `SETTING: VALUE` of a mode that has no rule here; empty where all have one."""
    for setting, values in KNOWN.items():
        value = connector.config.get(setting)
        if value is not None and (not isinstance(value, str) or value.lower() not in values):
            return f"{setting}: {value if isinstance(value, str) else '(sensitive)'}"
    return ""
