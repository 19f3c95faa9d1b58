"""Every built-in template in front of the plugin that it is for.

There is no database, so the only thing that a plugin may have against a connector is that it cannot connect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kplan.diagnostics import Diagnostic
from kplan.kinds.connector.templates import Blueprint, blueprint
from kplan.model import Action, Address, Change, Connector
from kplan.project.loading import Request, list_built_in_templates, load_built_in, load_project
from kplan.servers.access import Access, Pacing
from kplan.servers.connect.connectors import ConnectConnectors
from kplan.servers.connect.documents import to_literal
from tests.services import ConnectWorker, KafkaCluster
from tests.services.process import free_port

NO_DATABASE = re.compile(
    r"unable to connect|failed to establish connection|error while validating connector config|connection refused"
    r"|the tcp/ip connection to the host|socket",
    re.IGNORECASE,
)
WHERE = {"database.hostname", "mongodb.connection.string", "connection.uri", "connection.url"}
DEBEZIUM = [name for name in list_built_in_templates() if name.startswith("debezium-") and not name.endswith("-sink")]
# Those of Kafka, and those whose plugin is on Maven Central.
OTHERS = ("debezium-jdbc-sink", "mongodb-sink", "iceberg-sink", "mirror-source", "mirror-checkpoint",
          "mirror-heartbeat", "file-source", "file-sink")  # fmt: skip
# What the worker reads, a policy, the clients of MirrorMaker 2, and the catalog of Iceberg.
UNLISTED = (
    {"consumer.override.group.id", "replication.policy.class"}
    | {f"{side}.cluster.bootstrap.servers" for side in ("source", "target")}
    | {f"iceberg.catalog.{key}" for key in ("type", "uri", "warehouse")}
)
ONE_OF = re.compile(r"one of (.*)")
# Debezium's other word for `skip`; and what MySQL's and MariaDB's connectors list and then refuse.
NOT_OFFERED = {"ignore", "adaptive"}
COLUMNS = {"exclude": ["card"], "mask": {"email": 8, "phone": {"hash": "SHA-256", "salt": "s"}}, "truncate": {"a": 9}}
TABLES: Mapping[str, Any] = {"orders": {"columns": COLUMNS, "key": ["tenant", "id"]}, "customers": None}
OF: Mapping[str, Mapping[str, Any]] = {
    "debezium-mongodb": {"orders": {"columns": {"exclude": ["card"]}}, "customers": None},
    "debezium-sqlserver": {**TABLES, "archive.dbo.orders": None, "archive.dbo.customers": None},
}


def template(name: str) -> Blueprint:
    found, problems = blueprint(name, lambda each: (load_built_in(each), []))
    assert found is not None and not problems
    return found


def example(schema: Mapping[str, Any]) -> Any:
    """What the schema gives as its first example; of a map, all that it may hold."""
    if "properties" in schema:
        return {name: example(each) for name, each in schema["properties"].items()}
    return schema["examples"][0]


def least(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Examples of what the schema insists on."""
    properties = schema["properties"]
    return {
        name: least(properties[name]) if "required" in properties[name] else example(properties[name])
        for name in schema["required"]
    }


def somewhere(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters with a place where nobody listens."""
    port = free_port()
    place = {
        "hostname": "127.0.0.1",
        "port": port,
        "password": "${env:PATH}",
        "connection_string": f"mongodb://127.0.0.1:{port}/?replicaSet=rs0&serverSelectionTimeoutMS=2000",
    }
    database = parameters["database"]
    return {**parameters, "database": {key: place.get(key, value) for key, value in database.items()}}


def expanded(folder: Path, block: Mapping[str, Any], kafka: KafkaCluster, connect: ConnectWorker) -> Connector:
    topics = dict.fromkeys(block.get("reads", ()))
    stack = {"version": 1, "stack": "templates", "topics": topics, "connectors": {"cdc": block}}
    (folder / "stack.yaml").write_text(yaml.safe_dump(stack, sort_keys=False))
    request = Request([str(folder / "stack.yaml")], bootstrap=kafka.bootstrap, connect=connect.url, folder=str(folder))
    loaded = load_project(request)
    assert not loaded.diagnostics
    found = loaded.stacks[0].resources[Address("connector", "cdc")]
    assert isinstance(found, Connector)
    return found


def said(connect: ConnectWorker, connector: Connector) -> Iterator[Diagnostic]:
    backend = ConnectConnectors(Access([connect.url]), Pacing(request_timeout=90))
    try:
        for diagnostics in backend.check([Change(connector.address, Action.CREATE, after=connector)]).values():
            yield from diagnostics
    finally:
        backend.close()


def only_lacks_its_database(problem: Diagnostic) -> bool:
    there = problem.path.removeprefix("/config/") in WHERE
    return problem.code == "K302" and there and bool(NO_DATABASE.search(problem.detail))


@pytest.mark.parametrize("much", ["every parameter", "what is required"])
@pytest.mark.parametrize("name", DEBEZIUM)
def test_the_plugin_misses_nothing_but_its_database(
    name: str, much: str, kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path
) -> None:
    schema = template(name).parameters
    parameters = somewhere(example(schema) if much == "every parameter" else least(schema))
    parameters["database"] |= {"schema": "SHOP"} if name == "debezium-oracle" else {}
    parameters["database"] |= {"name": "shop"} if name == "debezium-mongodb" else {}
    block = {"template": name, **parameters, "tables": OF.get(name, TABLES)}
    problems = list(said(connect, expanded(tmp_path, block, kafka, connect)))
    assert [problem for problem in problems if not only_lacks_its_database(problem)] == []
    assert problems, "the plugin tried no connection"


def choices(schema: Mapping[str, Any], path: str = "p") -> Iterator[tuple[str, list[str]]]:
    """Each parameter with a fixed set of values, as the template's texts name it."""
    for key, each in schema["properties"].items():
        if "enum" in each:
            yield f"{path}.{key}", each["enum"]
        elif "properties" in each:
            yield from choices(each, f"{path}.{key}")


@pytest.mark.parametrize("name", DEBEZIUM)
def test_a_template_offers_what_the_plugin_takes(
    name: str, kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path
) -> None:
    """But for old names, which are mapped to today's."""
    found = template(name)
    set_by = {text: key for key, text in found.config.items()}
    offered = {set_by[f"{{{{ {path} }}}}"]: set(values) for path, values in choices(found.parameters)}
    block = {"template": name, **somewhere(least(found.parameters)), "tables": ["shop.orders"]}
    connector = expanded(tmp_path, block, kafka, connect)
    config = {**to_literal(connector.config), **dict.fromkeys(offered, "wrong"), "name": connector.name}
    answer = connect.request("PUT", f"/connector-plugins/{connector.java_class}/config/validate", config)
    values = [item["value"] for item in answer["configs"] if item["value"]]
    taken = {
        value["name"]: set(match[1].split(", "))
        for value in values
        for text in value["errors"]
        if (match := ONE_OF.search(text)) and value["name"] in offered
    }
    assert {"snapshot.mode", "event.processing.failure.handling.mode"} <= taken.keys()
    for key, allowed in taken.items():
        others = NOT_OFFERED | set(found.values.get(key, ()))
        assert offered[key] - others == allowed - others, key


@pytest.mark.parametrize("name", OTHERS)
def test_the_plugin_takes_what_a_template_sets(
    name: str, kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path
) -> None:
    """It knows every setting, and refuses none: only a server may be missing."""
    schema = template(name).parameters
    parameters = {key: example(each) for key, each in schema["properties"].items() if key != "reads_pattern"}
    if name == "mongodb-sink":
        uri = f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=500"
        parameters["connection_string"] = uri
        parameters["write_strategy"] = "com.mongodb.kafka.connect.sink.writemodel.strategy.ReplaceOneDefaultStrategy"
        del parameters["changes_of"]
    if "connection" in parameters:
        parameters["connection"] |= {"url": f"jdbc:postgresql://127.0.0.1:{free_port()}/x", "password": "${env:PATH}"}
    connector = expanded(tmp_path, {"template": name, **parameters}, kafka, connect)
    problems = [problem for problem in said(connect, connector) if not only_lacks_its_database(problem)]
    assert problems == []
    config = {**to_literal(connector.config), "name": connector.name}
    answer = connect.request("PUT", f"/connector-plugins/{connector.java_class}/config/validate", config)
    known = {item["definition"]["name"] for item in answer["configs"] if item["definition"]}
    assert connector.config.keys() - known - UNLISTED == set()
