"""What kplan predicts for tables with every type is what the real connectors register, mode by mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services import ConnectWorker, KafkaCluster, MariaDB, Postgres
from tests.services.predictions import Lab
from tests.services.registry import Registry
from tests.services.test_cdc_schemas import SCHEMAS, capture, decode_rows
from tests.services.test_facts import until

# Each mode has another value in one of these; `python -m tests.faults.prediction` varies each value alone.
SAMPLE = (
    {},
    {"time.precision.mode": "connect", "decimal.handling.mode": "string", "binary.handling.mode": "hex"},
    {"time.precision.mode": "isostring", "decimal.handling.mode": "double", "bigint.unsigned.handling.mode": "precise"},
)


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_predicted_schemas_are_those_that_the_connector_registers(
    engine: str, kafka: KafkaCluster, connect: ConnectWorker, registry: Registry, postgres: Postgres, mariadb: MariaDB
) -> None:
    lab = Lab(engine, kafka, connect, registry, postgres if engine == "postgres" else mariadb)
    lab.prepare()
    assert len(lab.tables) >= 2 and {t.name for t in lab.tables} == {t.name for t in lab.from_ddl}
    assert lab.compare(SAMPLE) == []


def test_change_of_a_table_that_the_registry_will_refuse_is_an_error_of_the_plan(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, registry: Registry
) -> None:
    made = capture(tmp_path, kafka, connect, postgres, registry, "predicted")
    made.create("orders")
    made.insert("orders", "first")
    made.declare(block=SCHEMAS)
    made.apply()
    decode_rows(kafka, registry, made.topic("orders"), 1)
    assert "No changes" in made.kplan("plan").out
    made.execute("ALTER TABLE public.orders ADD COLUMN hint text")
    assert "K353" not in made.kplan("plan").all
    made.execute("ALTER TABLE public.orders ADD COLUMN channel text NOT NULL DEFAULT 'web'")
    assert "K353" not in made.kplan("plan").all
    made.execute("ALTER TABLE public.orders ALTER COLUMN channel DROP DEFAULT")
    refused = made.kplan("plan", expect=4).words
    assert "error[K353]: a change of a table breaks its schema --> stack.yaml:12:14" in refused
    assert "public.orders, column channel: predicted would stop, BACKWARD refuses" in refused
    assert "help: give `channel` a default in the database, or let it be NULL" in refused
    assert made.kplan("plan", "--target", "topic/*").code == 0, "the connector is not in this plan"
    made.declare(block=SCHEMAS.replace("BACKWARD", "FORWARD"))
    assert "K353" not in made.kplan("plan", expect=3).all, "by then the level is the one that the stack asks for"
    made.execute("ALTER TABLE public.orders ALTER COLUMN note TYPE int USING 1")
    assert "column note: predicted would stop, FORWARD refuses" in made.kplan("plan", expect=4).words
    made.execute("DROP TABLE public.orders")
    made.destroy()


def test_connector_really_stops_where_the_plan_says_so_and_goes_on_as_it_says(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, registry: Registry
) -> None:
    made = capture(tmp_path, kafka, connect, postgres, registry, "stopping")
    made.create("orders")
    made.insert("orders", "first")
    made.declare(block=SCHEMAS)
    made.apply()
    decode_rows(kafka, registry, made.topic("orders"), 1)
    made.execute("ALTER TABLE public.orders ADD COLUMN channel int NOT NULL DEFAULT 1")
    made.execute("ALTER TABLE public.orders ALTER COLUMN channel DROP DEFAULT")
    assert "K353" in made.kplan("plan", expect=4).all
    made.execute("INSERT INTO public.orders (note, channel) VALUES ('second', 2)")
    until(lambda: connect.request("GET", "/connectors/stopping/status")["tasks"][0]["state"] == "FAILED")
    trace = connect.request("GET", "/connectors/stopping/status")["tasks"][0]["trace"]
    assert ("chema" in trace and "409" in trace) or "ncompatible" in trace or "RuleViolation" in trace, trace
    made.execute("ALTER TABLE public.orders ALTER COLUMN channel SET DEFAULT 1")
    assert "K353" not in made.kplan("plan").all
    made.destroy()


def test_file_of_ddl_takes_the_place_of_the_database_and_of_a_snapshot(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, registry: Registry
) -> None:
    made = capture(tmp_path, kafka, connect, postgres, registry, "described")
    made.create("orders")
    made.insert("orders", "first")
    made.declare(block=SCHEMAS)
    made.apply()
    decode_rows(kafka, registry, made.topic("orders"), 1)
    made.kplan("snapshot", "--out", "live.json")
    dump = postgres.dump("described")
    made.shell.write("shop.sql", dump)
    made.declare(block=SCHEMAS.replace("avro,", "avro, ddl: shop.sql,"))
    for live in ((), ("--live", "live.json")):
        assert "K35" not in made.kplan("plan", *live).all
    made.shell.write("shop.sql", f"{dump}\nALTER TABLE public.orders ADD COLUMN channel varchar(9) NOT NULL;")
    for live in ((), ("--live", "live.json")):
        refused = made.kplan("plan", *live, expect=4).words
        assert "public.orders, column channel: described would stop, BACKWARD refuses" in refused
    made.shell.write("shop.sql", f"{dump}\nALTER TABLE public.orders ADD COLUMN area geography;")
    assert "K354" in made.kplan("plan").all and "public.orders: column area, type geography" in made.kplan("plan").words
    made.shell.write("shop.sql", f"{dump}\nSELECT 'no end")
    assert "error[K355]" in made.kplan("plan", expect=4).all
    made.declare(block=SCHEMAS.replace("avro,", "avro, ddl: missing.sql,"))
    assert "missing.sql: there is no such file" in made.kplan("plan", expect=4).words
    made.declare(block=SCHEMAS)
    made.destroy()


def test_nothing_is_predicted_where_the_environment_names_no_registry(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, registry: Registry
) -> None:
    made = capture(tmp_path, kafka, connect, postgres, registry, "unjudged")
    made.create("orders")
    avro = {"converter": "io.apicurio.registry.utils.converter.AvroConverter"}
    avro["converter.apicurio.registry.url"] = registry.url
    lines = [f"      {side}.{key}: {value}\n" for side in ("key", "value") for key, value in avro.items()]
    made.declare(block="    config:\n" + "".join(lines))
    with_registry = (tmp_path / "kplan.yaml").read_text()
    assert "K35" not in made.kplan("plan").all
    made.shell.write("kplan.yaml", "".join(t for t in with_registry.splitlines(True) if "schema_registry" not in t))
    planned = made.kplan("plan").all
    assert "connector/unjudged" in planned and "K35" not in planned and "predicted" not in planned
    made.execute("DROP TABLE public.orders")
