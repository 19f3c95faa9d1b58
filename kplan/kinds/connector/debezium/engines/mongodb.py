"""MongoDB, through change streams.

MongoDB has no collection that is missing: such a one is empty, too. Its connector knows few collections before it has
read them, so that a signal can hold only names.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplan.kinds.connector.debezium.engine import Engine, SnapshotSignals
from kplan.kinds.connector.debezium.listed_tables import MAX_COMMANDS, listed_names
from kplan.kinds.connector.debezium.table_names import Settings, TableNames, home_by_lists
from kplan.patterns import late_pattern

CONNECTION_STRING = "mongodb.connection.string"
COLLECTIONS = "collection.include.list"
_HOSTS = late_pattern(r"mongodb(?:\+srv)?://(?:[^@/]*@)?([^/?]+)")


def find_host(config: Settings) -> str:
    """Return the hosts of the connection string, with their ports."""
    match = _HOSTS.match(config.get(CONNECTION_STRING, ""))
    return match[1] if match else ""


def list_leftovers(config: Settings) -> Iterator[str]:
    """Yield the images of documents before a change, which MongoDB goes on storing."""
    if not config.get("capture.mode", "").endswith("pre_image"):
        return
    for name in listed_names(config, COLLECTIONS)[:MAX_COMMANDS]:
        database, _, collection = name.partition(".")
        yield (
            f"pre-images of {name}: db.getSiblingDB('{database}').runCommand({{collMod: '{collection}', "
            "changeStreamPreAndPostImages: {enabled: false}})"
        )


def drop_signals(name: str) -> str:
    """Return what is left of signals, with its command."""
    database, _, collection = name.partition(".")
    return f"the collection of signals: db.getSiblingDB('{database}').getCollection('{collection}').drop()"


MONGODB = Engine(
    title="MongoDB",
    java_class="io.debezium.connector.mongodb.MongoDbConnector",
    template="debezium-mongodb",
    port=27017,
    required=("topic.prefix", CONNECTION_STRING),
    lists=("collection", "database"),
    names=TableNames(home_by_lists(COLLECTIONS)),
    find_host=find_host,
    incremental=SnapshotSignals(takes_patterns=False, reports_missing=False),
    list_leftovers=list_leftovers,
    describe_signals=drop_signals,
)
