"""Two states of a topic, compared: declared, live, applied last, before a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kplan.diagnostics import codes
from kplan.kinds.comparison import Blocker, Compared, Comparison, Differing, Value, find_cause
from kplan.kinds.topic import configs as catalog
from kplan.model import Action, Address, AttrDiff, Change, Secret, Topic

PARTITIONS, FACTOR, CONFIG = "/partitions", "/replication_factor", "/config/"


class TopicComparison(Comparison[Topic]):
    """A config that the stack does not name is left alone; -1 partitions or replicas are the broker's own."""

    def attributes(self, topic: Topic) -> Mapping[str, Value]:
        config = {CONFIG + key: value for key, value in topic.config.items()}
        return {PARTITIONS: topic.partitions, FACTOR: topic.replication_factor, **config}

    def read_attribute(self, topic: Topic, path: str) -> Value:
        if path.startswith(CONFIG):
            return topic.config.get(path.removeprefix(CONFIG))
        return {PARTITIONS: topic.partitions, FACTOR: topic.replication_factor}.get(path)

    def is_same(self, path: str, one: Value, other: Value) -> bool:
        """Compare two values as the brokers do; a number and its text are the same."""
        texts = [None if value is None else str(value) for value in (one, other)]
        if texts[0] == texts[1]:
            return True
        key = path.removeprefix(CONFIG)
        return texts[0] is not None and texts[1] is not None and catalog.same(key, texts[0], texts[1])

    def uses(self, topic: Topic) -> frozenset[Address]:
        return frozenset()

    def compare(self, declared: Topic, live: Topic, applied: Topic | None) -> Compared:
        diffs: list[AttrDiff] = []
        unchanged = 0
        for path in (PARTITIONS, FACTOR):
            wanted, present = self.read_attribute(declared, path), self.read_attribute(live, path)
            if wanted in (present, -1):
                unchanged += 1
                continue
            last = self.read_attribute(applied, path) if applied else None
            diffs.append(AttrDiff(path, present, wanted, find_cause(wanted, present, last, applied is not None)))
        old = applied.config if applied else {}
        for key in sorted(declared.config.keys() - declared.rules.ignore):
            wanted_, present_ = declared.config[key], live.config.get(key)
            if present_ is not None and (wanted_ == present_ or catalog.same(key, wanted_, present_)):
                unchanged += 1
            else:
                cause = find_cause(wanted_, present_, old.get(key), applied is not None)
                diffs.append(AttrDiff(CONFIG + key, present_, wanted_, cause))
        unmanaged = []
        for key in sorted(live.config.keys() - declared.config.keys() - declared.rules.ignore):
            if key in old:
                diffs.append(AttrDiff(CONFIG + key, live.config[key], None, "stack"))
            else:
                unmanaged.append(key)
        return Compared(tuple(diffs), tuple(unmanaged), unchanged)

    def find_differing(self, then: Topic, now: Topic) -> list[Differing]:
        differing: list[Differing] = []
        if then.partitions not in (-1, now.partitions):
            differing.append((PARTITIONS, then.partitions, now.partitions))
        if then.replication_factor not in (-1, now.replication_factor):
            differing.append((FACTOR, then.replication_factor, now.replication_factor))
        for key in sorted(then.config):
            value, present = then.config[key], now.config.get(key)
            if present is None or not (value == present or catalog.same(key, str(value), present)):
                differing.append((CONFIG + key, value, present))
        return differing

    def find_set_since(self, change: Change, now: Topic) -> list[str]:
        return [
            diff.path
            for diff in change.diffs
            if diff.path.startswith(CONFIG) and diff.before is None and diff.key in now.config
        ]

    def is_anothers(self, change: Change, now: Topic) -> bool:
        if change.action is Action.REPLACE:
            return False
        after, before = change.after, change.before
        wanted = {path for path, _, _ in self.find_differing(after, now)} if isinstance(after, Topic) else set()
        had = {path for path, _, _ in self.find_differing(before, now)} if isinstance(before, Topic) else wanted
        return bool(wanted & had)

    def find_blocker(self, declared: Topic, live: Topic, diff: AttrDiff) -> Blocker | None:
        if diff.path != PARTITIONS or declared.partitions >= live.partitions:
            return None
        return Blocker(
            codes.K232,
            "partitions cannot be taken away",
            f"{declared.name} has {diff.before}, the stack says {diff.after}",
            f"declare {diff.before}, or delete the topic with its records and recreate it: "
            f"kplan plan … --replace {declared.address}",
        )

    def secrets(self, topic: Topic) -> Mapping[str, Secret]:
        return {}

    def with_values(self, topic: Topic, values: Mapping[str, Any]) -> Topic:
        config = {path.removeprefix(CONFIG): value for path, value in values.items() if path.startswith(CONFIG)}
        return replace(topic, config={**topic.config, **config}) if config else topic
