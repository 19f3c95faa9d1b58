"""Quotas of the brokers that every client has while an apply runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.stage import Stage
from tests.faults.world import World
from tests.services.kafka import java_command
from tests.services.process import run

WINDOWS = {"quota.window.num": "2", "controller.quota.window.num": "2"}  # else what 11 s allow may come at once


@dataclass(frozen=True)
class Quota:
    """A limit for each client id, in the words of kafka-configs.sh."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}"

    def set(self, world: World) -> None:
        _change(world.lane.stage, "--add-config", str(self))

    def remove(self, world: World) -> None:
        _change(world.lane.stage, "--delete-config", self.key)


def limits() -> Iterator[Quota]:
    """Limits that an apply exceeds, and such as hardly let anything pass."""
    yield Quota("controller_mutation_rate", "1")
    yield Quota("controller_mutation_rate", "0.2")
    yield Quota("producer_byte_rate", "2000")
    yield Quota("producer_byte_rate", "200")
    yield Quota("consumer_byte_rate", "2000")
    yield Quota("request_percentage", "1")
    yield Quota("request_percentage", "0.05")


def _change(stage: Stage, *what: str) -> None:
    command = [*java_command("-Xmx128m"), "kafka.admin.ConfigCommand", "--bootstrap-server", stage.kafka.bootstrap]
    run([*command, "--alter", *what, "--entity-type", "clients", "--entity-default"], stage.kafka.folder / "quota.log")
