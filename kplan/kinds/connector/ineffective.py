"""Settings of connectors that do nothing, or do not do what their author expects: one warning for each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from kplan.diagnostics import Diagnostic, codes, warning
from kplan.diagnostics.codes.code import Code
from kplan.kinds.connector import transforms
from kplan.kinds.connector.sinks import is_sink
from kplan.model import Address, Connector, Resource, Topic

DEBEZIUM = "io.debezium.connector."
GROUPS = "topic.creation.groups"
DEAD_LETTERS = "errors.deadletterqueue."
UNWRAP = ("ExtractNewRecordState", "ExtractNewDocumentState")
WITHOUT_TOMBSTONE = ("drop", "rewrite")  # modes of `delete.tombstone.handling.mode` that let none through
MAKES_TOMBSTONE = "delete-to-tombstone"
SHOWN = 5


def problems(resources: Mapping[Address, Resource], internal: Collection[str]) -> Iterator[Diagnostic]:
    """Yield what is doubtful about the settings of the connectors; `internal` topics are those of templates."""
    for connector in [each for each in resources.values() if isinstance(each, Connector)]:
        config = {key: value for key, value in connector.config.items() if isinstance(value, str)}
        for found in transforms.findings(config):
            yield _warning(connector, found.code, found.key, found.detail, found.help)
        yield from _groups(connector, config)
        yield from _heartbeat_query(connector, config)
        yield from _dead_letters(connector, config, resources)
        yield from _kept_keys(connector, config, resources, internal)


def _warning(connector: Connector, code: Code, key: str, detail: str, help: str) -> Diagnostic:
    span = connector.origin.at(f"/config/{key}")
    return warning(code, code.title, detail, help=help, span=span, address=connector.address,
                   path=f"/config/{key}")  # fmt: skip


def _groups(connector: Connector, config: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Yield groups of new topics that have no settings, and settings of groups that are not listed."""
    listed = transforms.names(config, GROUPS)
    for name in listed:
        if not any(key.startswith(f"topic.creation.{name}.") for key in config):
            detail = f"{name} is in `{GROUPS}`, and there is no topic.creation.{name}.*"
            help = f"set topic.creation.{name}.include and its other settings, or take {name} from the list"
            yield _warning(connector, codes.K253, GROUPS, detail, help)
    known = tuple(f"topic.creation.{name}." for name in (*listed, "default"))
    strange = {key.split(".")[2]: key for key in config if _of_group(key) and not key.startswith(known)}
    for name, key in strange.items():
        detail = f"{name} is not in `{GROUPS}`, so topic.creation.{name}.* does nothing"
        yield _warning(connector, codes.K253, key, detail, f"add {name} to `{GROUPS}`, or remove its settings")


def _of_group(key: str) -> bool:
    return key.startswith("topic.creation.") and key.count(".") > 2


def _heartbeat_query(connector: Connector, config: Mapping[str, str]) -> Iterator[Diagnostic]:
    key = "heartbeat.action.query"
    beats = config.get("heartbeat.interval.ms", "0").strip() not in ("0", "")  # Debezium's own is 0
    if connector.java_class.startswith(DEBEZIUM) and key in config and not beats:
        detail = f"{key}: without heartbeats (heartbeat.interval.ms is 0) it never runs"
        help = "set `heartbeat` (heartbeat.interval.ms), or remove the query"
        yield _warning(connector, codes.K249, key, detail, help)


def _dead_letters(
    connector: Connector, config: Mapping[str, str], resources: Mapping[Address, Resource]
) -> Iterator[Diagnostic]:
    keys = [key for key in config if key.startswith(DEAD_LETTERS)]
    if not keys:
        return
    if not is_sink(connector) and _is_source(connector):
        detail = f"{', '.join(keys[:SHOWN])}: only sinks have a dead letter topic"
        yield _warning(connector, codes.K249, keys[0], detail, "remove it; errors.tolerance decides for a source")
        return
    key = f"{DEAD_LETTERS}topic.name"
    name = config.get(key, "")
    if name and Address("topic", name) not in resources:
        copies = config.get(f"{DEAD_LETTERS}topic.replication.factor", "3")
        detail = f"{connector.name}: {name}; Connect creates it with replication factor {copies}"
        help = f"write `dead_letter: {{topic: {name}}}`, or leave it if another stack declares the topic"
        yield _warning(connector, codes.K255, key, detail, help)


def _is_source(connector: Connector) -> bool:
    simple = connector.java_class.rpartition(".")[2]
    own = connector.java_class.startswith(DEBEZIUM) and "Sink" not in simple
    return own or "Source" in simple


def _kept_keys(
    connector: Connector, config: Mapping[str, str], resources: Mapping[Address, Resource], internal: Collection[str]
) -> Iterator[Diagnostic]:
    """Yield a warning where deletes write no tombstone, so that compaction keeps deleted keys for ever."""
    if not connector.java_class.startswith(DEBEZIUM) or "d" in config.get("skipped.operations", "").split(","):
        return
    key = _drops_tombstones(config)
    if not key:
        return
    topics = [resources.get(Address("topic", name)) for name in connector.feeds if name not in internal]
    kept = [t.name for t in topics if isinstance(t, Topic) and t.config.get("cleanup.policy") == "compact"]
    if kept:
        more = f" and {len(kept) - SHOWN} more" if len(kept) > SHOWN else ""
        detail = f"{', '.join(kept[:SHOWN])}{more}: {key} is {config[key]}, so a delete writes no tombstone"
        help = "let tombstones through, or set cleanup.policy to delete or to both"
        yield _warning(connector, codes.K256, key, detail, help)


def _drops_tombstones(config: Mapping[str, str]) -> str:
    """Return the setting by which a delete leaves no tombstone; "" where one comes, or where that is not certain."""
    unwraps = []
    for name in transforms.names(config, "transforms"):
        prefix = f"transforms.{name}."
        if transforms.simple_name(config.get(f"{prefix}type", "")).endswith("EventRouter"):
            return ""
        if transforms.simple_name(config.get(f"{prefix}type", "")) in UNWRAP:
            unwraps.append(prefix)
    if any(f"{prefix}predicate" in config for prefix in unwraps):
        return ""
    modes = {f"{prefix}delete.tombstone.handling.mode" for prefix in unwraps}
    for key in sorted(modes & config.keys()):
        if config[key].lower() == MAKES_TOMBSTONE:
            return ""
        if config[key].lower() in WITHOUT_TOMBSTONE:
            return key
    return "tombstones.on.delete" if config.get("tombstones.on.delete", "true").lower() == "false" else ""
