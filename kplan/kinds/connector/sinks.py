"""What a sink connector reads, and as which consumer group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from kplan.diagnostics import Diagnostic, codes, warning
from kplan.kinds.connector.names import name_in_connect
from kplan.kinds.groups import name_sink_group
from kplan.language import limits as bounded
from kplan.model import Action, Address, Change, Connector, Facts, Live, Resource, Stack
from kplan.values import dataclass


def is_sink(connector: Connector) -> bool:
    """Tell whether the connector reads topics."""
    return bool(connector.reads) or "topics.regex" in connector.config


def reads(connector: Connector, topic: str) -> bool:
    """Tell whether a sink reads the topic (Connect's `SinkTask.TOPICS_REGEX_CONFIG`: the whole name must match)."""
    pattern = connector.config.get("topics.regex")
    if not isinstance(pattern, str):
        return topic in connector.reads
    try:
        return bounded.pattern(pattern).match(topic) is not None
    except ValueError:  # Java's expressions can do more than Python's, and one reader too many does no harm
        return True


def group(connector: Connector) -> str:
    """Return the sink's consumer group: KIP-458 lets `consumer.override.group.id` name another than connect-NAME."""
    own = connector.config.get("consumer.override.group.id")
    return own if isinstance(own, str) and own else name_sink_group(name_in_connect(connector))


# -- in a plan --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class SinkReaders:
    """The sinks that are live, and the connectors that there are after the changes of a plan."""

    before: Sequence[Connector]
    after: Sequence[Connector]

    @classmethod
    def of(cls, live: Live, changes: Sequence[Change]) -> SinkReaders:
        resources = live.resources.values()
        before = [r for r in resources if isinstance(r, Connector) and is_sink(r)]
        return cls(before, list(_find_staying(live, changes)))

    def add_to(self, facts: Facts, topic: str) -> Facts:
        """Return the facts of the topic with its sinks after the changes, without the groups of sinks that leave it."""
        staying = [sink for sink in self.after if reads(sink, topic)]
        left = {group(sink) for sink in self.before if reads(sink, topic)} - {group(sink) for sink in staying}
        readers = tuple(reader for reader in facts.readers if reader.group not in left)
        return replace(facts, readers=readers, sinks=tuple(sink.name for sink in staying))


def _find_staying(live: Live, changes: Sequence[Change]) -> Iterator[Connector]:
    """Yield the live connectors as they will be after the changes, without those that the changes stop."""
    stopped = {change.address for change in changes if _is_stop(change)}
    touched = {change.address: change.after for change in changes if not change.is_ledger_only}
    touched |= {change.source: None for change in changes if change.source}
    moved = {change.address: change.after for change in changes if change.source}
    for address, resource in {**live.resources, **moved}.items():
        after = touched.get(address, resource)
        if isinstance(after, Connector) and address not in stopped:
            yield after


def _is_stop(change: Change) -> bool:
    before, after = change.before, change.after
    if not isinstance(before, Connector) or not isinstance(after, Connector) or change.is_ledger_only:
        return False
    return after.state == "stopped" != before.state


def find_created_connectors(changes: Iterable[Change]) -> Mapping[Address, Change]:
    """Return the creations of connectors, by address."""
    return {c.address: c for c in changes if c.action is Action.CREATE and isinstance(c.after, Connector)}


def find_groups(changes: Iterable[Change]) -> Mapping[str, Address]:
    """Return the consumer groups of the sinks that the changes leave there, and whose each is."""
    return {group(c.after): c.address for c in changes if isinstance(c.after, Connector) and is_sink(c.after)}


# -- in a stack -------------------------------------------------------------------------------------------------------
def warn_of_unfed(resources: Mapping[Address, Resource]) -> Iterator[Diagnostic]:
    """Yield a warning for each topic that a sink reads and nothing here declares or feeds."""
    connectors = [r for r in resources.values() if isinstance(r, Connector)]
    names = {address.name for address in resources if address.kind == "topic"}
    names |= {name for connector in connectors for name in connector.feeds}
    for connector in connectors:
        for name in connector.reads:
            if name not in names:
                yield warning(
                    codes.K215,
                    "a sink reads a topic that nothing in this stack declares or feeds",
                    f"{connector.name}: {name}",
                    help="declare the topic, or leave it if another stack does",
                    address=connector.address,
                    span=connector.origin.at("/config/topics"),
                )


def warn_of_shared_groups(resources: Iterable[Resource]) -> Iterator[Diagnostic]:
    """Yield a warning for each sink that shares a topic's records with another (KIP-458 lets it name its group)."""
    first: dict[tuple[str, str], Connector] = {}
    for resource in resources:
        group = resource.config.get("consumer.override.group.id") if isinstance(resource, Connector) else None
        if not isinstance(resource, Connector) or not isinstance(group, str):
            continue
        for topic in resource.reads:
            other = first.setdefault((group, topic), resource)
            if other is not resource:
                detail = f"{resource.name} and {other.name} at {other.origin.span}: group {group} reads {topic}"
                help = "each gets a part of the records: leave `consumer.override.group.id` out, or make them one sink"
                span = resource.origin.at("/config/consumer.override.group.id")
                yield warning(codes.K252, "two sinks share a consumer group", detail, help=help,
                              span=span, address=resource.address)  # fmt: skip
                break


DEAD_LETTERS = "errors.deadletterqueue.topic.name"


def without_answered(stacks: Sequence[Stack], problems: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Return the problems without the doubt about a sink's topic (K215, K255) that another one of the stacks has."""
    if len(stacks) < 2 or not any(problem.code in (codes.K215.number, codes.K255.number) for problem in problems):
        return list(problems)
    connectors = [r for stack in stacks for r in stack.resources.values() if isinstance(r, Connector)]
    known = {a.name for stack in stacks for a in stack.resources if a.kind == "topic"}
    known |= {name for connector in connectors for name in connector.feeds}
    settled = {f"{c.name}: {name}" for c in connectors for name in c.reads if name in known}
    dead = tuple(f"{c.name}: {c.config.get(DEAD_LETTERS)};" for c in connectors if c.config.get(DEAD_LETTERS) in known)
    return [
        problem
        for problem in problems
        if not (problem.code == codes.K215.number and problem.detail in settled)
        and not (problem.code == codes.K255.number and problem.detail.startswith(dead))
    ]
