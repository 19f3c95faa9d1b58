"""`kplan diff`: two environments, compared as they are declared and as they are live."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_estate import ESTATE
from tests.shell import Shell

CONFIG = """\
version: 1
default: dev
environments:
  dev:
    simulated: {connects: [sinks]}
    variables: {host: dev-db, target: default}
  prod:
    simulated: {connects: [sinks]}
    variables: {target: sinks}
    defaults: {topic: {config: {min.insync.replicas: 2}}}
    topics: {orders: {partitions: 12}}
"""
STACK = """\
version: 1
stack: shop
variables:
  host: {type: string, default: localhost}
  target: {type: string}
  password: {type: string, sensitive: true, env: DB_PASSWORD}
topics:
  orders: {partitions: 3, replication_factor: 3, config: {retention.ms: "{{ '1d' if kplan.env == 'dev' else '7d' }}"}}
connectors:
  sink:
    on: "{{ var.target }}"
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {topics: orders, file: "/tmp/{{ var.host }}", connection.password: "{{ var.password }}"}
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path, secrets=("first-canary", "second-canary"))
    shell.write("kplan.yaml", CONFIG)
    shell.write("stacks/shop.yaml", STACK)
    return shell


def diff(shell: Shell, *arguments: str, one: str = "dev", other: str = "prod") -> dict[str, Any]:
    command = ("diff", *arguments, "--env", one, "--env", other, "--format", "json")
    document: dict[str, Any] = json.loads(shell.kplan(*command).out)
    return document


def list_causes(document: dict[str, Any]) -> dict[str, list[str]]:
    """Return the kinds of causes of each setting that differs, and of each address."""
    causes = {}
    for resource in document["resources"]:
        name = next(address for address in resource["addresses"].values() if address)
        causes |= {name: resource["causes"]} if resource["causes"] else {}
        causes |= {f"{name}{setting['path']}": setting["causes"] for setting in resource["settings"]}
    return {
        key: [f"{each['kind']} {each.get('name', '')}".strip() for each in values] for key, values in causes.items()
    }


def test_each_difference_has_its_cause(shell: Shell) -> None:
    assert list_causes(diff(shell)) == {
        "topic/orders/partitions": ["overrides"],
        "topic/orders/config/retention.ms": ["environment"],
        "topic/orders/config/min.insync.replicas": ["defaults"],
        "connector/sink": ["variable target"],
        "connector/sink/config/file": ["variable host"],
    }


def test_the_causes_are_the_same_the_other_way_round(shell: Shell) -> None:
    there, back = list_causes(diff(shell)), list_causes(diff(shell, one="prod", other="dev"))
    assert {key.replace("sinks/", ""): value for key, value in back.items()} == there


def test_places_are_those_of_kplan_yaml(shell: Shell) -> None:
    resources = diff(shell)["resources"]
    causes = {setting["path"]: setting["causes"][0]["at"] for each in resources for setting in each["settings"]}
    assert causes["/partitions"] == {"dev": None, "prod": "kplan.yaml:11"}
    assert causes["/config/min.insync.replicas"] == {"dev": None, "prod": "kplan.yaml:10"}
    assert causes["/config/file"] == {"dev": "kplan.yaml:6", "prod": None}


def test_secrets_are_compared_where_they_are_known(shell: Shell) -> None:
    uncompared = {"address": "connector/sinks/sink", "path": "/config/connection.password"}
    assert diff(shell)["uncompared_secrets"] == [uncompared]
    shell.write("dev.env", "DB_PASSWORD=first-canary\n")
    shell.write("prod.env", "DB_PASSWORD=second-canary\n")
    document = diff(shell, "--env-file", "dev=dev.env", "--env-file", "prod=prod.env")
    assert list_causes(document)["connector/sink/config/connection.password"] == ["process"]
    assert document["uncompared_secrets"] == []


def test_a_file_of_variables_is_a_cause(shell: Shell) -> None:
    shell.write("prod.yaml", "host: from-file\n")
    causes = list_causes(diff(shell, "--var-file", "prod=prod.yaml"))
    assert causes["connector/sink/config/file"] == ["variable host", "var-file"]


def test_what_is_live_is_compared_with_what_is_declared(shell: Shell) -> None:
    shell.environment["DB_PASSWORD"] = "first-canary"
    shell.kplan("apply", "--env", "dev", "--yes")
    shell.write("stacks/shop.yaml", STACK.replace("partitions: 3", "partitions: 4"))
    live = diff(shell, "--read-live")["live"]
    changed = {"path": "/partitions", "declared": 4, "live": 3}
    assert live["dev"] == [{"address": "topic/orders", "is_there": True, "is_declared": True, "settings": [changed]}]
    assert [row["is_there"] for row in live["prod"]] == [False, False]


def test_what_a_stack_no_longer_declares_is_listed(shell: Shell) -> None:
    shell.environment["DB_PASSWORD"] = "first-canary"
    shell.kplan("apply", "--env", "dev", "--yes")
    shell.write("stacks/shop.yaml", STACK.partition("connectors:")[0])
    out = shell.kplan("diff", "--env", "dev", "--env", "prod", "--read-live").out
    assert "connector/sink  it is there, and no longer declared" in out


def test_equal_environments_say_so(shell: Shell) -> None:
    shell.write("kplan.yaml", "version: 1\ndefault: a\nenvironments: {a: {}, b: {}}\n")
    shell.write("stacks/shop.yaml", "version: 1\nstack: shop\ntopics: {orders: {}}\n")
    shell.kplan("diff", "--env", "a", "--env", "b", "--detailed-exitcode")
    assert shell.kplan("diff", "--env", "a", "--env", "b").out.startswith("a and b declare the same: 1 resource.")


def test_differences_may_be_an_exit_code(shell: Shell) -> None:
    shell.kplan("diff", "--env", "dev", "--env", "prod", "--detailed-exitcode", expect=2)


def test_one_environment_is_not_enough(shell: Shell) -> None:
    assert "Name two environments" in shell.kplan("diff", "--env", "dev", expect=64).err


def test_errors_of_a_stack_are_reported(shell: Shell) -> None:
    shell.write("stacks/shop.yaml", STACK.replace("partitions: 3", "partitons: 3"))
    assert "stacks/shop.yaml:8:" in shell.kplan("diff", "--env", "dev", "--env", "prod", expect=4).err


@pytest.mark.parametrize("pair", [("dev", "staging"), ("staging", "prod"), ("prod", "dev")])
def test_every_difference_of_the_estate_is_explained(tmp_path: Path, pair: tuple[str, str]) -> None:
    import shutil

    shutil.copytree(ESTATE, tmp_path / "estate", ignore=shutil.ignore_patterns(".kplan"))
    document = diff(Shell(tmp_path / "estate"), "teams", one=pair[0], other=pair[1])
    assert document["resources"] and document["same"] + len(document["resources"]) == 25
    for resource in document["resources"]:
        assert resource["settings"] or resource["causes"]
        assert all(setting["causes"] for setting in resource["settings"])
        assert all(place for each in resource["causes"] for place in each["at"].values())
