"""docker-compose.yml, as far as it can be judged without Docker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kplan.kinds.topic.internal import is_internal
from tests.services import MariaDB

ROOT = Path(__file__).parents[2]
PROFILES = {"mysql": {"mysql"}, "registry": {"registry"}, "sinks": {"connect-sinks"}, "ui": {"ui"}}
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "stacks").rglob("*.md"),
    ROOT / "docker-compose.yml",
]
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
    pinned = re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", service.get("image", ""))
    assert (ROOT / "Dockerfile").exists() if "build" in service else pinned


def test_the_app_starts_after_kplan_and_kplan_after_kafka_and_connect() -> None:
    assert SERVICES["app"]["depends_on"] == {"kplan": {"condition": "service_completed_successfully"}}
    assert SERVICES["kplan"]["depends_on"].keys() >= {"kafka", "connect"}


def test_kplan_applies_the_stacks_beside_the_sample_tables() -> None:
    *_, folder = SERVICES["kplan"]["command"]
    stack = yaml.safe_load((ROOT / "stacks" / folder / "shop.yaml").read_text())
    tables = (ROOT / "stacks" / folder / "shop.sql").read_text()
    assert all(f"CREATE TABLE {table} " in tables for table in stack["connectors"]["shop-cdc"]["tables"])


def list_ports() -> list[tuple[str, str]]:
    """List host and port of everything that is published."""
    published = [port.rsplit(":", 2) for service in SERVICES.values() for port in service.get("ports", [])]
    return [(host, port) for host, port, _ in published]


def test_nothing_is_published_twice_or_beyond_this_machine() -> None:
    hosts, ports = zip(*list_ports(), strict=True)
    assert set(hosts) == {"127.0.0.1"} and len(set(ports)) == len(ports)


def test_each_profile_starts_what_it_is_named_for() -> None:
    with_profile = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert {p: {name for name, mine in with_profile.items() if p in mine} for p in PROFILES} == PROFILES
    assert set().union(*with_profile.values()) == set(PROFILES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_needs_none_that_only_another_profile_starts(name: str) -> None:
    own = set(SERVICES[name].get("profiles", []))
    for needed in SERVICES[name].get("depends_on", {}):
        assert own >= set(SERVICES[needed].get("profiles", own))


def test_the_second_connect_is_a_cluster_of_its_own() -> None:
    first, second = (SERVICES[name]["environment"] for name in ("connect", "connect-sinks"))
    own = [key for key in first if key == "GROUP_ID" or key.endswith("_STORAGE_TOPIC")]
    assert len(own) == 4 and all(first[key] != second[key] for key in own)
    assert {key: value for key, value in second.items() if key not in own} == {
        key: value for key, value in first.items() if key not in own
    }
    assert all(is_internal(worker[key]) for worker in (first, second) for key in own if key != "GROUP_ID")


def test_the_ui_names_services_that_there_are() -> None:
    text = " ".join(map(str, SERVICES["ui"]["environment"].values()))
    addresses = re.findall(r"\b([\w-]+):(\d+)", text)
    assert {name for name, _ in addresses} == {"kafka", "connect", "connect-sinks", "registry"}
    for name, port in addresses:
        inside = {entry.rsplit(":", 1)[1] for entry in SERVICES[name].get("ports", [])}
        assert port in inside or (name, port) == ("kafka", "9092")


def test_the_registry_is_the_one_of_the_tests() -> None:
    maven = (ROOT / "tests" / "services" / "registry.xml").read_text()
    (version,) = re.findall("apicurio-registry-app</artifactId><version>(.+?)<", maven)
    assert SERVICES["registry"]["image"].rpartition(":")[2] == version


def test_mysql_has_the_tables_and_the_user_of_the_example(mariadb: MariaDB) -> None:
    """The script runs on MariaDB, under another user's name; MySQL itself is untried."""
    stack = yaml.safe_load((ROOT / "stacks" / "cdc-mysql.yaml").read_text())
    (connector,) = stack["connectors"].values()
    service, script = SERVICES["mysql"], (ROOT / "stacks" / "compose" / "kbe.sql").read_text()
    assert stack["variables"]["db_host"]["default"] == "mysql"
    assert connector["database"]["name"] == service["environment"]["MYSQL_DATABASE"]
    assert f"'{connector['database']['user']}'@'%'" in script
    mariadb.database("compose_kbe")
    mariadb.execute_script("compose_kbe", script.replace("'cdc'@", "'compose_cdc'@"))
    mariadb.execute("DROP USER compose_cdc")
    tables = mariadb.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'compose_kbe'")
    assert {name for (name,) in tables} == set(connector["tables"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_pages_say_of_it_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    for command in re.findall(r"docker compose ([^`\n]*\bup\b[^`\n]*)", text):
        options, _, services = command.partition(" up")
        assert set(re.findall(r"--profile (\S+)", options)) <= PROFILES.keys()
        assert {word for word in services.split() if not word.startswith("-")} <= SERVICES.keys()
    addresses = set(re.findall(r"localhost:(2\d{4})\b", text))
    assert addresses <= {port for _, port in list_ports()}


def test_the_profiles_are_described() -> None:
    head = (ROOT / "docker-compose.yml").read_text("utf-8").partition("\nname:")[0]
    described = dict(re.findall(r"^#   (\w+) .*localhost:(\d+)", head, re.MULTILINE))
    ports = {p: SERVICES[min(names)]["ports"][0].split(":")[1] for p, names in PROFILES.items()}
    assert described == ports
