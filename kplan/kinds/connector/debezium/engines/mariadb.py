"""MariaDB, through its binary log."""

from __future__ import annotations

from kplan.kinds.connector.debezium import binlog
from kplan.kinds.connector.debezium.engine import Engine, SnapshotSignals

MARIADB = Engine(
    title="MariaDB",
    java_class="io.debezium.connector.mariadb.MariaDbConnector",
    template="debezium-mariadb",
    port=3306,
    required=binlog.REQUIRED,
    lists=binlog.LISTS,
    unique_on_server=(binlog.SERVER_ID,),
    risks=binlog.RISKS,
    names=binlog.NAMES,
    incremental=SnapshotSignals(),
    drops=binlog.NOTHING_TO_DROP,
    access=binlog.ACCESS,
)
