"""docker-compose.yml, as far as it can be judged without Docker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_only_for_what_can_come_true(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert how["condition"] in CONDITIONS
        assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[needed]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_mounts_only_what_is_in_the_repository_or_a_named_volume(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        assert source in COMPOSE["volumes"] or (ROOT / source).exists()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_an_image_with_a_version_or_built_here(name: str) -> None:
    service = SERVICES[name]
    assert (ROOT / "Dockerfile").exists() if "build" in service else ":" in service["image"]


def test_the_app_starts_after_kplan_and_kplan_after_kafka_and_connect() -> None:
    assert SERVICES["app"]["depends_on"] == {"kplan": {"condition": "service_completed_successfully"}}
    assert SERVICES["kplan"]["depends_on"].keys() >= {"kafka", "connect"}


def test_kplan_applies_the_stacks_beside_the_sample_tables() -> None:
    *_, folder = SERVICES["kplan"]["command"]
    stack = yaml.safe_load((ROOT / "stacks" / folder / "shop.yaml").read_text())
    tables = (ROOT / "stacks" / folder / "shop.sql").read_text()
    assert all(f"CREATE TABLE {table} " in tables for table in stack["connectors"]["shop-cdc"]["tables"])
