"""What stays in the database after a connector, by engine, with the command against it."""

from __future__ import annotations

import pytest

from kplan.kinds.connector.debezium.engines import ENGINES
from kplan.kinds.connector.debezium.leftovers import left_behind
from kplan.kinds.connector.templates import Blueprint, blueprint
from kplan.model import Connector
from kplan.project.loading import list_built_in_templates, load_built_in


def said(kind: str, **config: str) -> str:
    java_class = f"io.debezium.connector.{kind}"
    settings = {key.replace("__", "."): value for key, value in config.items()}
    return " ".join(left_behind(Connector("feed", {"connector.class": java_class, **settings})))


PG = "postgresql.PostgresConnector"
CAPTURED = r"dbo\.orders,dbo\.customers,sales\..*"


@pytest.mark.parametrize(
    ("kind", "config", "there", "missing"),
    [
        (PG, {"plugin__name": "pgoutput", "slot__name": "shop", "publication__name": "shop"},
         ["SELECT pg_drop_replication_slot('shop');", "DROP PUBLICATION shop;"], []),
        (PG, {}, ["pg_drop_replication_slot('debezium')"], ["PUBLICATION"]),
        (PG, {"plugin__name": "pgoutput", "publication__name": "Shop-1"}, ['DROP PUBLICATION "Shop-1";'], []),
        (PG, {"plugin__name": "pgoutput", "publication__autocreate__mode": "disabled"}, ["made by somebody"], []),
        (PG, {"slot__drop__on__stop": "true"}, [], ["slot"]),
        (PG, {"signal__data__collection": "public.signals"}, ["DROP TABLE public.signals;"], []),
        ("mysql.MySqlConnector", {}, [], ["DROP"]),
        ("mariadb.MariaDbConnector", {"signal__data__collection": "shop.signals"}, ["DROP TABLE shop.signals;"], []),
        ("sqlserver.SqlServerConnector", {"table__include__list": CAPTURED, "database__names": "shop,archive"},
         ["in shop, archive", "@source_schema = N'dbo', @source_name = N'orders', @capture_instance = N'all';",
          "N'customers'"], ["sales"]),
        ("sqlserver.SqlServerConnector", {}, ["@source_name = N'TABLE'"], []),
        ("oracle.OracleConnector", {"table__include__list": r"SHOP\.ORDERS", "database__user": "c##dbz"},
         ["table LOG_MINING_FLUSH of c##dbz: DROP TABLE LOG_MINING_FLUSH;",
          "ALTER TABLE SHOP.ORDERS DROP SUPPLEMENTAL LOG DATA (ALL) COLUMNS;"], ["OUTBOUND"]),
        ("oracle.OracleConnector", {"database__connection__adapter": "xstream", "database__out__server__name": "dbzx"},
         ["EXEC DBMS_XSTREAM_ADM.DROP_OUTBOUND('dbzx');"], ["LOG_MINING_FLUSH"]),
        ("oracle.OracleConnector", {"signal__data__collection": "PDB.DBZ.SIGNALS"}, ["DROP TABLE DBZ.SIGNALS;"], []),
        ("mongodb.MongoDbConnector", {"collection__include__list": r"shop\.orders"}, [], ["collMod"]),
        ("mongodb.MongoDbConnector",
         {"collection__include__list": r"shop\.orders", "capture__mode": "change_streams_with_pre_image"},
         ["db.getSiblingDB('shop').runCommand({collMod: 'orders'"], []),
        ("mongodb.MongoDbConnector", {"signal__data__collection": "shop.signals"},
         ["db.getSiblingDB('shop').getCollection('signals').drop()"], []),
    ],
)  # fmt: skip
def test_each_thing_has_its_command(kind: str, config: dict[str, str], there: list[str], missing: list[str]) -> None:
    text = said(kind, **config)
    assert all(each in text for each in there), text
    assert not any(each in text for each in missing), text


def test_a_connector_that_is_none_of_debeziums_leaves_nothing() -> None:
    assert left_behind(Connector("out", {"connector.class": "org.example.Sink", "slot.name": "x"})) == []


def test_every_built_in_template_has_an_engine_that_is_known() -> None:
    found: list[Blueprint] = [
        b for name in list_built_in_templates() if (b := blueprint(name, lambda n: (load_built_in(n), []))[0])
    ]
    assert {
        each.java_class for each in found if "topic_prefix" in each.parameters["properties"] and each.unique
    } == ENGINES.keys()
