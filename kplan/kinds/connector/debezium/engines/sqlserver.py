"""SQL Server, through its change tables (CDC).

What stays after a connector: "Setting up SQL Server" in Debezium's manual.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplan.kinds.connector.debezium.common_settings import HISTORY_RISK
from kplan.kinds.connector.debezium.engine import Engine, SnapshotSignals
from kplan.kinds.connector.debezium.listed_tables import MAX_COMMANDS, describe_others, listed_names, plain_text
from kplan.kinds.connector.debezium.table_names import Settings, TableNames, first_database_name
from kplan.model import Connector

DATABASES = "database.names"


def shorten_name(entry: str, home: str) -> tuple[str, str]:
    """Return DATABASE.SCHEMA.TABLE, and the name without the schema that is SQL Server's own choice."""
    return f"{home}.{entry}", entry.removeprefix("dbo.") if entry.count(".") == 1 else entry


def find_catalog(connector: Connector) -> str:
    """Return the database, the first part of a table's full name."""
    return plain_text(connector, DATABASES)


def list_leftovers(config: Settings) -> Iterator[str]:
    """Yield the change tables, which SQL Server goes on filling."""
    names = listed_names(config, "table.include.list")
    commands = [_disable_capture(name) for name in names[:MAX_COMMANDS]] or [_disable_capture("dbo.TABLE")]
    databases = config.get(DATABASES, "")
    where = f" in {databases.replace(',', ', ')}" if databases else ""
    yield f"change tables{where} go on being filled by the capture job: {' '.join(commands)}{describe_others(names)}"


def _disable_capture(name: str) -> str:
    schema, _, table = name.rpartition(".")
    source = f"@source_schema = N'{schema or 'dbo'}', @source_name = N'{table}'"
    return f"EXEC sys.sp_cdc_disable_table {source}, @capture_instance = N'all';"


SQLSERVER = Engine(
    title="SQL Server",
    java_class="io.debezium.connector.sqlserver.SqlServerConnector",
    template="debezium-sqlserver",
    port=1433,
    required=("topic.prefix", "database.hostname", "database.user", DATABASES),
    lists=("table", "schema"),
    risks=HISTORY_RISK,
    names=TableNames(first_database_name, shorten_name, parts=3),
    incremental=SnapshotSignals(find_catalog),
    list_leftovers=list_leftovers,
)
