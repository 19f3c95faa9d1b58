"""What a simulated cluster is made to lack."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shell import Shell

KPLAN = "version: 1\nenvironments: {local: {simulated: SIMULATED}}\n"
BEFORE = "partitions: 3, config: {retention.ms: 1d}"
LIMITS = {
    "settings": ("partitions: 3, config: {retention.ms: 7d}", "cannot change a topic's settings"),
    "partitions": ("partitions: 6, config: {retention.ms: 1d}", "cannot add partitions"),
    "replicas": (f"replication_factor: 2, {BEFORE}", "cannot change replication factors"),
    "compaction": ("partitions: 3, config: {cleanup.policy: compact}", "have no compaction"),
}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A project with an applied topic, on a cluster that has everything."""
    made = Shell(tmp_path)
    declare(made, f"topics: {{shop.orders: {{{BEFORE}}}}}")
    made.kplan("apply", "shop.yaml", "--yes")
    return made


def declare(shell: Shell, stack: str, simulated: str = "{}") -> None:
    shell.write("kplan.yaml", KPLAN.replace("SIMULATED", simulated))
    shell.write("shop.yaml", f"version: 1\nstack: shop\n{stack}\n")


@pytest.mark.parametrize("name", LIMITS)
def test_what_brokers_lack_is_an_error_of_the_plan(name: str, shell: Shell) -> None:
    after, words = LIMITS[name]
    declare(shell, f"topics: {{shop.orders: {{{after}}}}}", f"{{capabilities: {{{name}: false}}}}")
    errors = shell.kplan("plan", "shop.yaml", expect=4).err
    assert "K338" in errors and f"the simulated brokers {words}" in errors and "simulated: {capabilities" in errors
    declare(shell, f"topics: {{shop.orders: {{{after}}}}}")
    assert "K338" not in shell.kplan("plan", "shop.yaml", expect=None).all


def test_a_connect_without_the_state_stopped_takes_the_others(shell: Shell) -> None:
    source = "connectors: {copy: {class: FileStreamSource, state: STATE, config: {topic: shop.lines}}}"
    old = "{capabilities: {stopped_state: false}}"
    declare(shell, source.replace("STATE", "stopped"), old)
    errors = shell.kplan("plan", "shop.yaml", "--exclude", "topic/shop.orders", expect=4).err
    assert "has no state `stopped`" in errors
    declare(shell, source.replace("STATE", "paused"), old)
    shell.kplan("apply", "shop.yaml", "--yes", "--exclude", "topic/shop.orders")


def test_tiered_storage_is_there_unless_it_is_turned_off(shell: Shell) -> None:
    tiered = "topics: {shop.orders: {partitions: 3, config: {retention.ms: 1d, remote.storage.enable: ENABLED}}}"
    declare(shell, tiered.replace("ENABLED", "true"), "{tiered_storage: false}")
    errors = shell.kplan("plan", "shop.yaml", expect=4).err
    assert "disabled in the simulated brokers" in errors and "`simulated: {tiered_storage: true}`" in errors
    declare(shell, tiered.replace("ENABLED", "true"))
    shell.kplan("apply", "shop.yaml", "--yes")
    declare(shell, tiered.replace("ENABLED", "false"))
    assert "without deleting remote data" in shell.kplan("plan", "shop.yaml", expect=4).err


def test_more_brokers_hold_more_replicas(shell: Shell) -> None:
    stack = "topics: {shop.orders: {partitions: 3, config: {retention.ms: 1d}}, shop.wide: {replication_factor: 5}}"
    declare(shell, stack)
    assert "`simulated: {brokers: 5}` in kplan.yaml" in shell.kplan("plan", "shop.yaml", expect=4).err
    declare(shell, stack, "{brokers: 5}")
    shell.kplan("plan", "shop.yaml")
