"""Debezium's connector for MySQL on a MariaDB server, as far as it takes one (tried with its 3.6.1 on MariaDB 10.11).

It believes the server's version: a MariaDB that tells its own is newer than any MySQL, and is refused for want of what
MySQL 8.4 can. One that names an old MySQL's (its setting `version`, for clients that insist) is read like that.
"""

from __future__ import annotations

from pathlib import Path

from tests.services import ConnectWorker, KafkaCluster, MariaDB
from tests.services.cdc import captured
from tests.services.test_walk import ask, topics
from tests.shell import Shell


def test_a_mariadb_is_refused_with_the_template_that_is_meant(
    kafka: KafkaCluster, connect: ConnectWorker, mariadb: MariaDB, tmp_path: Path
) -> None:
    capture = captured(Shell(tmp_path), kafka, connect, mariadb, "mysqlno", "debezium-mysql")
    capture.create("orders")
    capture.declare()
    refused = capture.apply(expect=4)
    said = " ".join(refused.err.split())
    assert "error[K302]" in said and "stack.yaml:10:26" in said
    assert "the server is a MariaDB: `template: debezium-mariadb`" in said
    assert topics(kafka, "mysqlno") == {} and ask(connect, "GET", "/connectors/mysqlno")[0] == 404

    capture.template = "debezium-mariadb"
    capture.declare()
    capture.apply()
    capture.insert("orders", "after the advice")
    assert capture.rows("orders", ("c", "after the advice")) == [("c", "after the advice")]
    capture.destroy()


def test_a_mariadb_that_names_a_version_of_mysql_is_read(
    kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path
) -> None:
    with MariaDB({"version": "5.7.10-MariaDB"}) as server:  # the driver asks for a variable of MySQL from 5.7.20 on
        capture = captured(Shell(tmp_path), kafka, connect, server, "mysqlyes", "debezium-mysql")
        capture.create("orders", "customers")
        capture.insert("orders", "before")
        capture.declare()
        capture.apply()
        capture.insert("orders", "after")
        assert capture.rows("orders", ("c", "after")) == [("r", "before"), ("c", "after")]

        capture.declare("orders, customers")
        assert "1 to add, 1 to change, 0 to delete" in capture.kplan("plan").out
        capture.apply()
        capture.insert("customers", "new")
        capture.insert("orders", "later")
        assert capture.rows("customers", ("c", "new")) == [("c", "new")]
        assert capture.rows("orders", ("c", "later")) == [("r", "before"), ("c", "after"), ("c", "later")]
        assert "No changes." in capture.kplan("plan").out
        capture.destroy()
    assert topics(kafka, "mysqlyes") == {} and topics(kafka, "schema-changes.mysqlyes") == {}
