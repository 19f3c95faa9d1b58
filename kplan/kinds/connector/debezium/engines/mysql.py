"""MySQL, through its binary log."""

from __future__ import annotations

from kplan.kinds.connector.debezium import binlog
from kplan.kinds.connector.debezium.engine import Engine, SnapshotSignals

MYSQL = Engine(
    title="MySQL",
    java_class="io.debezium.connector.mysql.MySqlConnector",
    template="debezium-mysql",
    port=3306,
    required=binlog.REQUIRED,
    lists=binlog.LISTS,
    unique_on_server=(binlog.SERVER_ID,),
    risks=binlog.RISKS,
    names=binlog.NAMES,
    incremental=SnapshotSignals(),
    drops=binlog.NOTHING_TO_DROP,
    access=binlog.ACCESS,
    # "MySQL version 10.11-MariaDB should support SHOW BINARY LOG STATUS …. Check database permissions" (3.6.1)
    misleading_failures={"-MariaDB": "the server is a MariaDB: `template: debezium-mariadb`"},
)
