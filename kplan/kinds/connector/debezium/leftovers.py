"""What a deleted connector leaves behind in its database, with the commands that take it away.

Nothing of this is in Kafka: the topics that a connector makes for itself (schema history, heartbeats, signals) are
declared with it, and have steps of their own. By engine, from the chapters "Setting up …" and "Dropping …" of
https://debezium.io/documentation/reference/stable/connectors/.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from kplan.kinds.connector.tables import is_pattern, split, unescaped
from kplan.model import Connector, Text
from kplan.text import listed

DEBEZIUM = "io.debezium.connector."
MOST = 5  # commands for single tables


def left_behind(connector: Connector, dropped: Collection[str] = ()) -> list[str]:
    """Phrases, each about one thing and with its command; what is `dropped` (`slot NAME`) does not stay."""
    if not leaves_something(connector):
        return []
    engine = _engine(connector)
    config = {key: value for key, value in connector.config.items() if isinstance(value, str)}
    phrases = [*_ENGINES[engine](config), *_signals(engine, config)]
    return [each for each in phrases if not each.startswith(tuple(f"{name} keeps" for name in dropped))
            and not each.startswith(tuple(f"{name}{sign}" for name in dropped for sign in ":,"))]  # fmt: skip


def leaves_something(connector: Connector) -> bool:
    """Whether it reads a database that kplan knows."""
    return connector.java_class.startswith(DEBEZIUM) and _engine(connector) in _ENGINES


def _engine(connector: Connector) -> str:
    return connector.java_class.removeprefix(DEBEZIUM).partition(".")[0]


def slot_of(connector: Connector) -> str:
    """Defaults: https://debezium.io/documentation/reference/stable/connectors/postgresql.html"""
    return _name(connector.config, "slot.name", "debezium")


def publication_of(connector: Connector) -> str:
    return _name(connector.config, "publication.name", "dbz_publication")


def _name(config: Mapping[str, Text], key: str, usual: str) -> str:
    value = config.get(key)
    return value if isinstance(value, str) and value else usual


def _postgres(config: Mapping[str, str]) -> Iterator[str]:
    slot, publication = _name(config, "slot.name", "debezium"), _name(config, "publication.name", "dbz_publication")
    if config.get("slot.drop.on.stop") != "true":
        yield f"slot {slot} keeps WAL until it is dropped: SELECT pg_drop_replication_slot('{slot}');"
    if config.get("plugin.name") == "pgoutput":
        made = config.get("publication.autocreate.mode") != "disabled"
        note = "" if made else ", which was made by somebody"
        yield f"publication {publication}{note}: DROP PUBLICATION {quoted(publication)};"


def _sqlserver(config: Mapping[str, str]) -> Iterator[str]:
    names = _tables(config, "table.include.list")
    commands = [_without_cdc(name) for name in names[:MOST]] or [_without_cdc("dbo.TABLE")]
    databases = config.get("database.names", "")
    where = f" in {databases.replace(',', ', ')}" if databases else ""
    yield f"change tables{where} go on being filled by the capture job: {' '.join(commands)}{_more(names)}"


def _without_cdc(name: str) -> str:
    schema, _, table = name.rpartition(".")
    source = f"@source_schema = N'{schema or 'dbo'}', @source_name = N'{table}'"
    return f"EXEC sys.sp_cdc_disable_table {source}, @capture_instance = N'all';"


def _oracle(config: Mapping[str, str]) -> Iterator[str]:
    if config.get("database.connection.adapter", "logminer").startswith("logminer"):
        if config.get("log.mining.read.only") != "true":
            table = config.get("log.mining.flush.table.name") or "LOG_MINING_FLUSH"
            yield f"table {table} of {config.get('database.user', 'its user')}: DROP TABLE {table};"
    elif server := config.get("database.out.server.name") or config.get("xstream.out.server.name"):
        yield f"outbound server {server} keeps redo logs: EXEC DBMS_XSTREAM_ADM.DROP_OUTBOUND('{server}');"
    names = _tables(config, "table.include.list")
    commands = " ".join(f"ALTER TABLE {name} DROP SUPPLEMENTAL LOG DATA (ALL) COLUMNS;" for name in names[:MOST])
    if commands:
        yield f"supplemental logging makes redo logs larger: {commands}{_more(names)}"


def _mongodb(config: Mapping[str, str]) -> Iterator[str]:
    if not config.get("capture.mode", "").endswith("pre_image"):
        return
    for name in _tables(config, "collection.include.list")[:MOST]:
        database, _, collection = name.partition(".")
        yield (
            f"pre-images of {name}: db.getSiblingDB('{database}').runCommand({{collMod: '{collection}', "
            "changeStreamPreAndPostImages: {enabled: false}})"
        )


def _nothing(config: Mapping[str, str]) -> Iterator[str]:
    """The binary log is not kept for anybody: it expires by the server's own settings."""
    yield from ()


_ENGINES = {
    "postgresql": _postgres,
    "mysql": _nothing,
    "mariadb": _nothing,
    "sqlserver": _sqlserver,
    "oracle": _oracle,
    "mongodb": _mongodb,
}


def _signals(engine: str, config: Mapping[str, str]) -> Iterator[str]:
    for name in split(config.get("signal.data.collection", "")):
        if engine == "mongodb":
            database, _, collection = name.partition(".")
            yield f"the collection of signals: db.getSiblingDB('{database}').getCollection('{collection}').drop()"
        else:
            # Oracle's has its database in front, which its SQL does not know
            yield f"the table of signals: DROP TABLE {name.partition('.')[2] if engine == 'oracle' else name};"


def _more(names: Sequence[str]) -> str:
    return f" and so for {listed(names[MOST:])}" if names[MOST:] else ""


def _tables(config: Mapping[str, str], key: str) -> list[str]:
    names = [unescaped(entry) for entry in split(config.get(key, ""))]
    return [name for name in names if not is_pattern(name)]


def quoted(name: str) -> str:
    """An identifier as PostgreSQL needs it: what is no plain lower-case word stands in double quotes."""
    plain = name.replace("_", "a").isalnum() and name.isascii() and name == name.lower() and not name[0].isdigit()
    return name if plain else '"' + name.replace('"', '""') + '"'
