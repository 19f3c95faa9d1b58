"""The database engines that Debezium has a connector for: one file each, and its line here."""

from __future__ import annotations

from kplan.kinds.connector.debezium.engine import Engine
from kplan.kinds.connector.debezium.engines.mariadb import MARIADB
from kplan.kinds.connector.debezium.engines.mongodb import MONGODB
from kplan.kinds.connector.debezium.engines.mysql import MYSQL
from kplan.kinds.connector.debezium.engines.oracle import ORACLE
from kplan.kinds.connector.debezium.engines.postgres import POSTGRES
from kplan.kinds.connector.debezium.engines.sqlserver import SQLSERVER
from kplan.kinds.connector.debezium.table_names import Settings, TableNames
from kplan.model import Connector

_ALL = (POSTGRES, MYSQL, MARIADB, SQLSERVER, ORACLE, MONGODB)
ENGINES = {engine.java_class: engine for engine in _ALL}
_BY_SIMPLE_NAME = {engine.simple_name: engine for engine in _ALL}
_BY_TEMPLATE = {engine.template: engine for engine in _ALL}

# Settings of all engines together, for what looks at a setting without its connector.
INCLUDE_LISTS = tuple(dict.fromkeys(f"{noun}.include.list" for engine in _ALL for noun in engine.lists))
EXCLUDE_LISTS = tuple(dict.fromkeys(f"{noun}.exclude.list" for engine in _ALL for noun in engine.lists))
TABLE_LISTS = tuple(dict.fromkeys(engine.table_list for engine in _ALL))
SETTING_RISKS = {setting: risk for engine in _ALL for setting, risk in engine.risks.items()}


def engine_of(connector: Connector) -> Engine | None:
    """Return the engine whose databases the connector reads."""
    return ENGINES.get(connector.java_class)


def engine_by_simple_name(java_class: str) -> Engine | None:
    """Return the engine by the end of its class's name, which Connect takes for the class."""
    return _BY_SIMPLE_NAME.get(java_class.rpartition(".")[2])


def table_names_of(template: str) -> TableNames:
    """Return how the stacks of a connector template name tables; of a template that is not built in as most do."""
    engine = _BY_TEMPLATE.get(template)
    return engine.names if engine is not None else TableNames()


def find_host(config: Settings) -> str:
    """Return the server that a connector of any class reads, by its settings; "" where they do not say that."""
    hosts = (engine.find_host(config) for engine in _ALL if engine.find_host is not None)
    return next(filter(None, hosts), config.get("database.hostname", ""))


def is_readable(java_class: str) -> bool:
    """Tell whether kplan itself can look into the databases of this connector."""
    engine = ENGINES.get(java_class)
    return engine is not None and engine.access is not None
