"""Oracle, through LogMiner, XStream or OpenLogReplicator.

What stays after a connector: "Setting up Oracle" and "XStream" in Debezium's manual. A table's name in a signal:
OracleConnectorConfig.getCatalogName.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplan.kinds.connector.debezium.common_settings import DATABASE_NAME_RISK, HISTORY_RISK
from kplan.kinds.connector.debezium.engine import Engine, SnapshotSignals, drop_table
from kplan.kinds.connector.debezium.listed_tables import MAX_COMMANDS, describe_others, listed_names, plain_text
from kplan.kinds.connector.debezium.table_names import Settings, TableNames, database_name
from kplan.model import Connector

XSTREAM_SERVERS = ("xstream.out.server.name", "database.out.server.name")  # the second is Debezium's


def shorten_name(entry: str, home: str) -> tuple[str, str]:
    """Return the name, and how it is written: one in lower case needs double quotes."""
    return entry, entry if entry == entry.upper() else ".".join(f'"{part}"' for part in entry.split("."))


def find_catalog(connector: Connector) -> str:
    """Return the pluggable database or the database, in upper case."""
    return plain_text(connector, "database.pdb.name", "database.dbname").upper()


def list_leftovers(config: Settings) -> Iterator[str]:
    """Yield the flush table or the outbound server, and the supplemental logging of the tables."""
    if config.get("database.connection.adapter", "logminer").startswith("logminer"):
        if config.get("log.mining.read.only") != "true":
            table = config.get("log.mining.flush.table.name") or "LOG_MINING_FLUSH"
            yield f"table {table} of {config.get('database.user', 'its user')}: DROP TABLE {table};"
    elif server := config.get("database.out.server.name") or config.get("xstream.out.server.name"):
        yield f"outbound server {server} keeps redo logs: EXEC DBMS_XSTREAM_ADM.DROP_OUTBOUND('{server}');"
    names = listed_names(config, "table.include.list")
    commands = [f"ALTER TABLE {name} DROP SUPPLEMENTAL LOG DATA (ALL) COLUMNS;" for name in names[:MAX_COMMANDS]]
    if commands:
        yield f"supplemental logging makes redo logs larger: {' '.join(commands)}{describe_others(names)}"


def drop_signals(name: str) -> str:
    """Return what is left of signals; the setting has the database in front, which Oracle's SQL does not know."""
    return drop_table(name.partition(".")[2])


ORACLE = Engine(
    title="Oracle",
    java_class="io.debezium.connector.oracle.OracleConnector",
    template="debezium-oracle",
    port=1521,
    required=("topic.prefix", "database.hostname", "database.user", "database.dbname"),
    lists=("table", "schema"),
    unique_on_server=XSTREAM_SERVERS,
    risks={**DATABASE_NAME_RISK, **HISTORY_RISK},
    names=TableNames(database_name, shorten_name),
    incremental=SnapshotSignals(find_catalog),
    list_leftovers=list_leftovers,
    describe_signals=drop_signals,
)
