"""Two states of a connector, compared: declared, live, applied last, before a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kplan.diagnostics import codes
from kplan.kinds.comparison import Blocker, Compared, Comparison, Differing, Value, find_cause
from kplan.kinds.connector.schemas import uses_registry
from kplan.kinds.connector.tables import split, unescape_name
from kplan.kinds.parts import encode_part
from kplan.model import Address, AttrDiff, Change, Connector, Secret, Text
from kplan.model.comparison import equal
from kplan.patterns import late_pattern

STATE, CONFIG = "/state", "/config/"
IDENTIFYING = ("connector.class", "topic.prefix")  # Debezium's offsets are keyed by the prefix


TABLE_LISTS = frozenset(("table.include.list", "table.exclude.list", "collection.include.list"))
TABLE_NAME = late_pattern(r"[A-Za-z0-9_]+\.[A-Za-z0-9_]+")


def is_same_setting(key: str, one: Text | None, other: Text | None) -> bool:
    """Whether two values of a setting mean the same to Connect and to the connector.

    `db.table` and `db\\.table` do, as entries of a list of tables: each name that Debezium compares has a dot
    (io.debezium.function.Predicates matches the whole name), and the entry has one place only where it can be.
    """
    if equal(one, other):
        return True
    if key not in TABLE_LISTS or not isinstance(one, str) or not isinstance(other, str):
        return False
    entries = [[_read_name(entry) for entry in split(text)] for text in (one, other)]
    return entries[0] == entries[1]


def _read_name(entry: str) -> str:
    """Return the name of an entry that stands for one table; else the entry as it is."""
    name = unescape_name(entry)
    return name if TABLE_NAME.fullmatch(name) else entry


class ConnectorComparison(Comparison[Connector]):
    """Connect stores a whole config: what the stack does not declare goes."""

    def attributes(self, connector: Connector) -> Mapping[str, Value]:
        return {STATE: connector.state, **{CONFIG + key: value for key, value in connector.config.items()}}

    def read_attribute(self, connector: Connector, path: str) -> Value:
        if path.startswith(CONFIG):
            return connector.config.get(path.removeprefix(CONFIG))
        return connector.state if path == STATE else None

    def is_same(self, path: str, one: Value, other: Value) -> bool:
        """Compare two values; a secret that is unknown here is taken as equal."""
        if isinstance(one, Secret) and isinstance(other, str):
            other = Secret(value=other)
        texts = [value if isinstance(value, str | Secret) else None for value in (one, other)]
        return is_same_setting(path.removeprefix(CONFIG), texts[0], texts[1])

    def uses(self, connector: Connector) -> frozenset[Address]:
        topics = {Address("topic", name) for name in (*connector.feeds, *connector.reads)}
        if not uses_registry(connector.config):
            return frozenset(topics)
        subjects = (f"{name}{end}" for name in connector.feeds for end in ("-key", "-value"))
        return frozenset(topics | {Address("subject", encode_part(name)) for name in subjects})

    def compare(self, declared: Connector, live: Connector, applied: Connector | None) -> Compared:
        diffs: list[AttrDiff] = []
        unchanged = 0
        if declared.state == live.state:
            unchanged += 1
        else:
            last = applied.state if applied else None
            cause = find_cause(declared.state, live.state, last, applied is not None)
            diffs.append(AttrDiff(STATE, live.state, declared.state, cause))
        old = applied.config if applied else {}
        for key in sorted((declared.config.keys() | live.config.keys()) - declared.rules.ignore - {"name"}):
            wanted, present = declared.config.get(key), live.config.get(key)
            if isinstance(wanted, Secret) and isinstance(present, str):
                present = Secret(value=present)
            if is_same_setting(key, wanted, present):
                unchanged += 1
            else:
                cause = find_cause(wanted, present, old.get(key), applied is not None)
                diffs.append(AttrDiff(CONFIG + key, present, wanted, cause))
        return Compared(tuple(diffs), (), unchanged)

    def find_differing(self, then: Connector, now: Connector) -> list[Differing]:
        differing: list[Differing] = []
        if then.state != now.state:
            differing.append((STATE, then.state, now.state))
        for key in sorted((then.config.keys() | now.config.keys()) - {"name"} - then.rules.ignore):
            value, present = then.config.get(key), now.config.get(key)
            if isinstance(value, Secret) and isinstance(present, str):
                present = Secret(value=present)
            if not is_same_setting(key, value, present):
                differing.append((CONFIG + key, value, present))
        return differing

    def find_set_since(self, change: Change, now: Connector) -> list[str]:
        return []  # `find_differing` compares the whole config

    def is_anothers(self, change: Change, now: Connector) -> bool:
        return False  # Connect replaces the whole config at once, so half of a change cannot be told from another's

    def find_blocker(self, declared: Connector, live: Connector, diff: AttrDiff) -> Blocker | None:
        if diff.key not in IDENTIFYING or not diff.path.startswith(CONFIG) or not diff.before:
            return None
        return Blocker(
            codes.K233,
            "this would be another connector",
            f"{diff.key} of {declared.name} differs; its offsets are kept under the old one",
            "declare a connector of another name, or recreate it without its offsets: "
            f"kplan plan … --replace {shlex.quote(str(declared.address))}",
        )

    def secrets(self, connector: Connector) -> Mapping[str, Secret]:
        return {CONFIG + key: value for key, value in connector.config.items() if isinstance(value, Secret)}

    def with_values(self, connector: Connector, values: Mapping[str, Any]) -> Connector:
        config = {path.removeprefix(CONFIG): value for path, value in values.items() if path.startswith(CONFIG)}
        return replace(connector, config={**connector.config, **config}) if config else connector
