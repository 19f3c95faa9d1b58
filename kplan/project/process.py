"""Read variables of the process (KAFKA_*) that configure a cluster and runs. docs/environments.md has their table."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import field
from typing import Any

from kplan.diagnostics import Diagnostic, codes, error
from kplan.language.durations import seconds
from kplan.patterns import late_pattern
from kplan.values import dataclass

TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
MAX_ATTEMPTS = 1000  # as in schemas/environments.v1.json
BOOTSTRAP, CONNECT_URL, USE_SSL, PROTOCOL = (
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_CONNECT_URL",
    "KAFKA_USE_SSL",
    "KAFKA_SECURITY_PROTOCOL",
)
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")  # of librdkafka's `security.protocol`
CLIENT = {  # librdkafka's settings
    "KAFKA_SSL_CAFILE": "ssl.ca.location",
    "KAFKA_SSL_CERTFILE": "ssl.certificate.location",
    "KAFKA_SSL_KEYFILE": "ssl.key.location",
    "KAFKA_SSL_PASSWORD": "ssl.key.password",
    "KAFKA_SASL_MECHANISM": "sasl.mechanism",
    "KAFKA_SASL_USERNAME": "sasl.username",
    "KAFKA_SASL_PASSWORD": "sasl.password",
}
CONNECTION = (BOOTSTRAP, CONNECT_URL, USE_SSL, PROTOCOL, *CLIENT)  # these count without a kplan.yaml alone
AUTO_CREATE = "KAFKA_TOPIC_AUTO_CREATE"
CREATION = "KAFKA_TOPIC_CREATION_"
FILLS = {
    "PARTITIONS": "/partitions",
    "REPLICATION_FACTOR": "/replication_factor",
    "RETENTION_MS": "/config/retention.ms",
    "RETENTION_BYTES": "/config/retention.bytes",
    "CLEANUP_POLICY": "/config/cleanup.policy",
    "COMPRESSION_TYPE": "/config/compression.type",
    "MIN_ISR": "/config/min.insync.replicas",
    "SEGMENT_BYTES": "/config/segment.bytes",
    "SEGMENT_MS": "/config/segment.ms",
}
REFERENCE = late_pattern(r"\benv(?:\.(\w+)|\[\s*['\"](\w+)['\"]\s*\])")


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """Hold what KAFKA_TOPIC_* variables set, with or without a kplan.yaml. None: not set."""

    fills: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # path -> (value, variable)
    create: bool | None = None
    request_timeout: float | None = None
    attempts: int | None = None
    delay: float | None = None
    problems: tuple[Diagnostic, ...] = ()


def read_settings(process: Mapping[str, str]) -> ProcessSettings:
    """Read the KAFKA_TOPIC_* variables; names that are not in the table of the docs are the user's own."""
    reader = _Reader(process)
    return ProcessSettings(
        fills={
            path: (process[f"KAFKA_TOPIC_{name}"], f"KAFKA_TOPIC_{name}")
            for name, path in FILLS.items()
            if process.get(f"KAFKA_TOPIC_{name}")
        },
        create=reader.read_boolean(AUTO_CREATE),
        request_timeout=reader.read_duration(f"{CREATION}TIMEOUT", positive=True),
        attempts=reader.read_attempts(f"{CREATION}RETRIES"),
        delay=reader.read_duration(f"{CREATION}RETRY_DELAY"),
        problems=tuple(reader.problems),
    )


def read_client(process: Mapping[str, str]) -> tuple[dict[str, str], list[Diagnostic]]:
    """Read the client's settings from the connection variables, and find where they contradict each other."""
    reader = _Reader(process)
    ssl = reader.read_boolean(USE_SSL)
    sasl = bool(process.get("KAFKA_SASL_MECHANISM") or process.get("KAFKA_SASL_USERNAME"))
    derived = {(True, True): "SASL_SSL", (True, False): "SSL", (False, True): "SASL_PLAINTEXT"}.get((bool(ssl), sasl))
    protocol = process.get(PROTOCOL) or derived or "PLAINTEXT"
    encrypted = protocol.upper().endswith("SSL")
    if protocol.upper() not in PROTOCOLS:
        reader.report(
            f"{PROTOCOL}: {protocol!r} is not a security protocol", f"set it to one of {', '.join(PROTOCOLS)}"
        )
        return {}, reader.problems
    files = [name for name in CLIENT if name.startswith("KAFKA_SSL_") and process.get(name)]
    if process.get(PROTOCOL) and ssl is not None and ssl is not encrypted:
        reader.report(f"{USE_SSL} and {PROTOCOL} contradict each other", f"unset {USE_SSL}: {PROTOCOL} says it all")
    elif files and ssl is None and not process.get(PROTOCOL):
        reader.report(
            f"{', '.join(files)} without TLS: the connection would be {protocol}", f"set {USE_SSL} to true or false"
        )
    settings = {"security.protocol": process.get(PROTOCOL) or derived}
    settings |= {key: process.get(name) for name, key in CLIENT.items()}
    return {key: value for key, value in settings.items() if value}, reader.problems


def list_set_connection_variables(process: Mapping[str, str]) -> list[str]:
    """Return the connection variables that are set, in the order of the table."""
    return [name for name in CONNECTION if process.get(name)]


def find_referenced_variables(data: Any) -> Collection[str]:
    """Return the variables of the process that templates in `data` name (`{{ env.X }}`)."""
    return {match[1] or match[2] for text in _iterate_texts(data) for match in REFERENCE.finditer(text)}


def _iterate_texts(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        for value in data.values():
            yield from _iterate_texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _iterate_texts(value)
    elif isinstance(data, str) and "{{" in data:
        yield data


class _Reader:
    """Reads values of the variables; `problems` names each variable with a value that it may not have."""

    def __init__(self, process: Mapping[str, str]) -> None:
        self.process = process
        self.problems: list[Diagnostic] = []

    def report(self, detail: str, help: str) -> None:
        self.problems.append(error(codes.K203, "a variable has a value that it may not have", detail, help=help))

    def read_boolean(self, name: str) -> bool | None:
        """Return None where the variable is not set, or empty."""
        value = self.process.get(name, "").strip().lower()
        if value not in (*TRUE, *FALSE):
            self.report(f"{name}: {value!r} is not a boolean", f"set {name} to true or false")
            return None
        return value in TRUE if value else None

    def read_duration(self, name: str, positive: bool = False) -> float | None:
        value = self.process.get(name, "").strip()
        if not value:
            return None
        try:
            duration = seconds(value)
        except ValueError:
            self.report(f"{name}: {value!r} is not a duration", "write a number of seconds, 30s, 2m or 500ms")
            return None
        if positive and not duration:
            self.report(f"{name}: {value!r} leaves no time", "write a number of seconds, 30s, 2m or 500ms")
            return None
        return duration

    def read_attempts(self, name: str) -> int | None:
        value = self.process.get(name, "").strip()
        if not value:
            return None
        if not re.fullmatch(r"[0-9]{1,9}", value) or not 1 <= int(value) <= MAX_ATTEMPTS:
            self.report(f"{name}: {value!r} is not a number of attempts", f"write a whole number, 1 to {MAX_ATTEMPTS}")
            return None
        return int(value)


__all__ = [
    "ProcessSettings",
    "find_referenced_variables",
    "list_set_connection_variables",
    "read_client",
    "read_settings",
    "seconds",
]
