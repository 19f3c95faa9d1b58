"""Which topic a source connector's record goes to, after the transforms that its configuration declares."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from functools import lru_cache

from kplan.language import limits as bounded
from kplan.patterns import late_pattern
from kplan.values import dataclass

KAFKA = "org.apache.kafka.connect.transforms."
DEBEZIUM = late_pattern(r"io\.debezium\.(?:connector\.\w+\.)?transforms\.(?:\w+\.)*")
EVERY, CHANGES = "every record", "changes of tables"
BY_THE_RECORD = {  # what stands in a record, or the clock, decides the topic; and for which records
    "ContentBasedRouter": CHANGES,
    "ExtractTopic": EVERY,
    "TimescaleDb": CHANGES,
    "TimestampRouter": EVERY,
}
ROUTED_BY_VALUE = r"(?<routedByValue>.*)"
OUTBOX = "outbox.event.${routedByValue}"


class Lost(Exception):
    """The topic cannot be told; `key` is the property that decides it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True)
class RoutingStep:
    """One transform: which records and topics it touches, and the topic that it gives a record."""

    records: str
    matches: Callable[[str], bool]
    move: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Routing:
    """A connector's transforms in their order, without those that leave the topic as it is.

    `strange` are the types of those that kplan does not know, by property: they are taken to leave it.
    """

    steps: tuple[RoutingStep, ...] = ()
    strange: Mapping[str, str] = field(default_factory=dict)

    def topic(self, name: str, *, change: bool = True) -> str:
        """Return where a record for topic `name` goes; `change`: it is one of a table. Raises Lost."""
        for step in self.steps:
            if (change or step.records == EVERY) and step.matches(name):
                name = step.move(name)
        return name


def routing(config: Mapping[str, str]) -> Routing:
    """Return the routing that a connector's configuration declares."""
    transforms = dict(_transforms(config))
    steps = [_step(key, own, config) for key, own in transforms.items()]
    strange = {key: own["type"] for key, own in transforms.items() if not _is_known(own["type"])}
    return Routing((*_naming(config), *(step for step in steps if step)), strange)


def _transforms(config: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each transform's `type` property with its own settings."""
    for name in (part.strip() for part in config.get("transforms", "").split(",")):
        prefix = f"transforms.{name}."
        own = {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
        if own.get("type"):
            yield f"{prefix}type", own


def _naming(config: Mapping[str, str]) -> Iterator[RoutingStep]:
    """Yield the step of the connector's own naming strategy, which comes before all transforms."""
    key = "topic.naming.strategy"
    if config.get(key):
        yield RoutingStep(EVERY, lambda topic: True, _make_losing_move(key, f"{config[key]} names the topics"))


def _is_known(java_class: str) -> bool:
    ours = java_class.startswith(KAFKA) or DEBEZIUM.match(java_class) or "." not in java_class
    return bool(ours) or "ExtractTopic" in java_class


def _step(key: str, own: Mapping[str, str], config: Mapping[str, str]) -> RoutingStep | None:
    """Return what a transform does to topics; None for one that leaves them alone."""
    found = _move(key, own) if _is_known(own["type"]) else None
    return RoutingStep(found[0], _predicate(key, own, config), found[1]) if found else None


def _move(key: str, own: Mapping[str, str]) -> tuple[str, Callable[[str], str]] | None:
    """Return the records that a transform moves, and how."""
    simple = own["type"].rpartition(".")[2].partition("$")[0]
    if simple == "RegexRouter":
        return EVERY, _replacement(key, own.get("regex", ""), own.get("replacement", ""))
    if simple in ("ByLogicalTableRouter", "ToLogicalTopicRouter"):
        return EVERY, _replacement(key, own.get("topic.regex", ""), own.get("topic.replacement", ""))
    if simple in ("EventRouter", "MongoEventRouter"):
        return CHANGES, _outbox(key, own)
    if simple in ("ExtractNewRecordState", "ExtractNewDocumentState") and own.get("route.by.field"):
        return CHANGES, _make_losing_move(key, f"field {own['route.by.field']} of the record is the topic")
    if simple in BY_THE_RECORD:
        return BY_THE_RECORD[simple], _make_losing_move(key, f"{simple} decides the topic by the record or the time")
    return None


def _make_losing_move(key: str, message: str) -> Callable[[str], str]:
    def move(topic: str) -> str:
        raise Lost(key, message)

    return move


def _replacement(key: str, regex: str, replacement: str) -> Callable[[str], str]:
    """Return the renaming as RegexRouter does it: the whole name must match, and a router of Debezium's leaves what
    would be empty.
    """

    def move(topic: str) -> str:
        match = _match_topic(key, regex, topic)
        return (_expand_groups(key, match, replacement) or topic) if match else topic

    return move


def _outbox(key: str, own: Mapping[str, str]) -> Callable[[str], str]:
    """Return the outbox router's topic, where it does not depend on a column of the row."""
    replacement = own.get("route.topic.replacement", OUTBOX)
    if "$" in replacement or own.get("route.topic.regex", ROUTED_BY_VALUE) != ROUTED_BY_VALUE:
        return _make_losing_move(
            key, f"column {own.get('route.by.field', 'aggregatetype')} of the outbox decides the topic"
        )
    return lambda topic: replacement


def _predicate(key: str, own: Mapping[str, str], config: Mapping[str, str]) -> Callable[[str], bool]:
    """Whether a record of a topic meets the transform's predicate, as far as its topic alone tells."""
    predicate = own.get("predicate", "")
    if not predicate:
        return lambda topic: True
    negate = own.get("negate", "").lower() == "true"
    if not config.get(f"predicates.{predicate}.type", "").endswith("TopicNameMatches"):

        def unknown(topic: str) -> bool:
            raise Lost(key, f"predicate {predicate} decides by the record")

        return unknown
    pattern = config.get(f"predicates.{predicate}.pattern", "")
    return lambda topic: bool(_match_topic(key, pattern, topic)) is not negate


@lru_cache(maxsize=1000)
def _compile_java_regex(regex: str) -> bounded.Pattern:
    """Return a regular expression of Java's; named groups are written in another way there."""
    return bounded.pattern(re.sub(r"\(\?<(?=[A-Za-z])", "(?P<", regex), re.ASCII)


def _match_topic(key: str, regex: str, topic: str) -> re.Match[str] | None:
    try:
        return _compile_java_regex(regex).match(topic)
    except bounded.TooSlow as e:
        raise Lost(key, str(e)) from e
    except ValueError as e:
        raise Lost(key, f"kplan cannot read the regular expression {regex!r}: {e}") from e


REFERENCE = late_pattern(r"\\(.)|\$\{(\w+)\}|\$(\d+)", re.DOTALL)


def _expand_groups(key: str, match: re.Match[str], replacement: str) -> str:
    """Return the replacement with its groups, as java.util.regex.Matcher.appendReplacement puts them in."""

    def group(reference: re.Match[str]) -> str:
        escaped, named, digits = reference.groups()
        if escaped is not None:
            return str(escaped)
        if named is not None:
            return match[named] or ""
        length = len(digits)
        while length > 1 and int(digits[:length]) > len(match.groups()):
            length -= 1  # $12 is group 1 and a 2 where there are fewer than twelve
        return (match[int(digits[:length])] or "") + digits[length:]

    try:
        return REFERENCE.sub(group, replacement)
    except IndexError as e:
        raise Lost(key, f"{replacement!r} names a group that its regular expression does not have") from e
