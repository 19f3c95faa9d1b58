"""What kplan predicts of tables with every type, compared with what the real connector registers for them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from kplan.kinds.connector.debezium.engine import Login
from kplan.kinds.connector.debezium.engines.mariadb import MARIADB
from kplan.kinds.connector.debezium.engines.postgres import POSTGRES
from kplan.kinds.connector.debezium.prediction.ddl import read_ddl
from kplan.kinds.connector.debezium.prediction.modes import KNOWN
from kplan.kinds.connector.debezium.prediction.parts import PredictedSchema, predict_parts
from kplan.kinds.connector.debezium.prediction.structure import TableStructure
from kplan.kinds.connector.schemas import choose_settings
from kplan.model import Connector
from kplan.servers.databases import mysql, postgres
from tests.services import ConnectWorker, KafkaCluster, MariaDB, Postgres
from tests.services.registry import Registry

STATEMENTS = Path(__file__).parent / "prediction"
SECONDS = 60  # for the first rows of a connector
PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
ONLY = {  # modes of one engine alone
    "postgres": ("interval.handling.mode", "hstore.handling.mode", "include.unknown.datatypes"),
    "mariadb": ("bigint.unsigned.handling.mode",),
}
VALUE = re.compile(r"'([a-z][a-z0-9_-]*)'")


@dataclass
class Lab:
    """A database with the tables, and the servers beside it."""

    engine: str
    kafka: KafkaCluster
    connect: ConnectWorker
    registry: Registry
    server: Postgres | MariaDB
    tables: Sequence[TableStructure] = ()
    from_ddl: Sequence[TableStructure] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def java_class(self) -> str:
        return (POSTGRES if self.engine == "postgres" else MARIADB).java_class

    def prepare(self) -> None:
        """The database has the tables, each with a row, and kplan has read them: from the server and from a dump."""
        text = (STATEMENTS / f"{self.engine}.sql").read_text(encoding="utf-8")
        login = {"database.hostname": self.server.host, "database.port": str(self.server.port),
                 "database.user": self.server.superuser,
                 "database.password": self.server.superuser_password}  # fmt: skip
        at = (self.server.host, self.server.port)
        user, password = self.server.superuser, self.server.superuser_password
        if isinstance(self.server, Postgres):
            self.server.database("prediction").execute(text)
            self.tables = postgres.read_structures(Login(POSTGRES, *at, "prediction", user, password))
            self.from_ddl = read_ddl(self.server.dump("prediction"), "postgres").tables
            self.settings = {**login, "database.dbname": "prediction", "plugin.name": "pgoutput"}
        else:
            self.server.database("prediction")
            self.server.execute_script("prediction", text)
            found = mysql.read_structures(Login(MARIADB, *at, "", user, password))
            self.tables = [table for table in found if table.name.startswith("prediction.")]
            self.from_ddl = read_ddl(self.server.dump("prediction"), "mysql", "prediction").tables
            history = {"bootstrap.servers": self.kafka.bootstrap, "topic": "prediction-history"}
            self.settings = {**login, "database.include.list": "prediction", "include.schema.changes": "false"}
            self.settings |= {f"schema.history.internal.kafka.{key}": value for key, value in history.items()}

    def list_variants(self) -> list[Mapping[str, str]]:
        """The defaults, and each value of each mode alone: those that kplan knows, and those that the plugin lists."""
        other = {mode for engine, modes in ONLY.items() if engine != self.engine for mode in modes}
        values = {mode: dict.fromkeys(known) for mode, known in KNOWN.items() if mode not in other}
        for definition in self.connect.request("GET", f"/connector-plugins/{self.java_class}/config"):
            if definition["name"] in values and definition["name"] != "include.unknown.datatypes":
                values[definition["name"]] |= dict.fromkeys(VALUE.findall(definition["documentation"]))
        return [{}, *({mode: value} for mode, known in values.items() for value in known)]

    def refuses(self, variant: Mapping[str, str]) -> bool:
        """Whether the plugin itself takes no such value."""
        path = f"/connector-plugins/{self.java_class.rpartition('.')[2]}/config/validate"
        answer = self.connect.request("PUT", path, self.configure("validated", variant))
        errors = {each["value"]["name"]: each["value"]["errors"] for each in answer["configs"]}
        return any(errors.get(mode) for mode in variant)

    def configure(self, name: str, variant: Mapping[str, str]) -> dict[str, str]:
        config = {"connector.class": self.java_class, "topic.prefix": name, **self.settings, **variant}
        config |= choose_settings("avro", "apicurio", self.registry.url)
        config |= {"topic.creation.default.replication.factor": "1", "topic.creation.default.partitions": "1"}
        if self.engine == "postgres":
            return {**config, "slot.name": name, "publication.name": name}
        config["schema.history.internal.kafka.topic"] = f"{name}-history"
        return {**config, "database.server.id": str(7000 + sum(name.encode()) % 10_000)}

    def compare(self, variants: Sequence[Mapping[str, str]]) -> list[str]:
        """What differs between predicted and registered, for connectors that run side by side."""
        parts: dict[str, list[PredictedSchema]] = {}
        configs: dict[str, dict[str, str]] = {}
        differences: list[str] = []
        for variant in variants:
            name = f"predicted_{self.engine}_{next(self._numbers)}"
            configs[name] = self.configure(name, variant)
            connector = Connector(name, {**configs[name]})
            found = list(predict_parts(connector, self.tables, {}))
            differences += [
                f"{dict(variant)}: {gap}" for gap in found if isinstance(gap, str) and not _is_expected(gap)
            ]
            parts[name] = [each for each in found if isinstance(each, PredictedSchema)]
            own = [each for each in predict_parts(connector, self.from_ddl, {}) if isinstance(each, PredictedSchema)]
            shown, told = ({each.subject: each.fields for each in side} for side in (parts[name], own))
            differences += [f"{s}: {shown.get(s)} and by the dump {told.get(s)}" for s in {*shown, *told}
                            if shown.get(s) != told.get(s)]  # fmt: skip
        try:
            for name, config in configs.items():
                self.connect.request("PUT", f"/connectors/{name}/config", config)
            for name, predicted in parts.items():
                for part in predicted:
                    differences += _list_differences(part, self._wait_for(name, part.subject))
        finally:
            for name in self.connect.request("GET", "/connectors"):
                if name in configs:
                    self.connect.request("DELETE", f"/connectors/{name}")
        return differences

    def _wait_for(self, name: str, subject: str) -> str:
        end = time.monotonic() + SECONDS
        while (found := self.registry.call("GET", f"/subjects/{subject}/versions/latest")) is None:
            status = self.connect.request("GET", f"/connectors/{name}/status") if time.monotonic() > end else None
            assert status is None, f"{subject} was not registered: {status}"
            time.sleep(0.3)
        return str(found["schema"])


def _is_expected(gap: str) -> bool:
    return ".nokey: key, " in gap


def _list_differences(part: PredictedSchema, registered: str) -> list[str]:
    text = part.make_text(registered)
    if text is None:
        return [f"{part.subject}: the registered schema takes no fields: {registered[:200]}"]
    there, here = (_index_fields(normalize(json.loads(each))) for each in (registered, text))
    return [f"{part.subject}: {name}: {there.get(name)} predicted as {here.get(name)}"
            for name in {**there, **here} if there.get(name) != here.get(name)] or (
        [] if list(there) == list(here) else [f"{part.subject}: the order of fields"])  # fmt: skip


def _index_fields(schema: Any) -> dict[str, Any]:
    """The fields of a row or a key, and all the rest of an envelope."""
    fields = {name: (kind, default) for name, kind, default in schema["fields"]}
    if "before" not in fields:
        return fields
    row = {name: (kind, default) for name, kind, default in fields.pop("before")[0][1]["fields"]}
    return row | {f"envelope {name}": each for name, each in fields.items()}


def normalize(node: Any, space: str = "") -> Any:
    """A schema as Avro understands it: full names, no properties of Connect's, and whether a field has a default."""
    if isinstance(node, list):
        return [normalize(each, space) for each in node]
    if isinstance(node, str):
        return node if node in PRIMITIVES or "." in node or not space else f"{space}.{node}"
    if node["type"] == "record":
        space = node.get("namespace", space)
        fields = [(each["name"], normalize(each["type"], space), "default" in each) for each in node["fields"]]
        return {"record": f"{space}.{node['name']}", "fields": fields}
    if node["type"] in ("array", "map"):
        return {node["type"]: normalize(node.get("items", node.get("values")), space)}
    if "logicalType" in node:
        return (node["type"], node["logicalType"], node.get("precision"), node.get("scale"))
    return normalize(node["type"], space)
