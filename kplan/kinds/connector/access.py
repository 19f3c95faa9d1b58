"""What a connector needs of Kafka, by the clients that Connect and Debezium make for it.

Sources: Connect 4.3 (`Worker`, `DeadLetterQueueReporter`, `ConnectorOffsetBackingStore`, KIP-458 for clients' own
logins, KIP-618 for exactly once), Debezium 3.5 to 3.7 (`KafkaSchemaHistory`, `KafkaSignalChannel`). What is taken away
in tests/services/test_access_lines.py stops the connector.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from kplan.diagnostics import Diagnostic, codes, error
from kplan.diagnostics.codes.code import Code
from kplan.kinds.acl.operations import PatternType, ResourceType
from kplan.kinds.acl.rights import ResourcePattern, Right
from kplan.kinds.connector import sinks
from kplan.kinds.connector.names import alias_of, name_in_connect
from kplan.kinds.expansion import ExpansionContext
from kplan.model import Address, Connector, Secret
from kplan.values import dataclass

PRODUCER, CONSUMER, ADMIN = "producer.override.", "consumer.override.", "admin.override."  # of Connect's clients
HISTORY_PRODUCER, HISTORY_CONSUMER = "schema.history.internal.producer.", "schema.history.internal.consumer."
SIGNALS: Final = "signal.consumer."
LOGIN: Final = "sasl.jaas.config"
USER = re.compile(r"""\busername\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s;"']+))""")
NOT_KNOWN = re.compile(r"\$\{|\{\{")  # in a name that Connect or a variable decides
HISTORY_TOPIC, HISTORY_CLASS = "schema.history.internal.kafka.topic", "schema.history.internal"
SIGNAL_TOPIC, SIGNAL_CHANNELS = "signal.kafka.topic", "signal.enabled.channels"
SIGNAL_GROUP: Final = "signal.kafka.groupId"
DEFAULT_SIGNAL_GROUP: Final = "kafka-signal"  # KafkaSignalChannel.GROUP_ID
OFFSETS_TOPIC: Final = "offsets.storage.topic"
EXACTLY_ONCE: Final = "exactly.once.support"


def find_rights(connector: Connector, context: ExpansionContext) -> list[Right]:
    """Return what the connector's clients need, each with the user whose login the client has."""
    needs = ConnectorNeeds(connector, context)
    return list(needs.of_sink() if sinks.is_sink(connector) else needs.of_source())


@dataclass(frozen=True, slots=True)
class ConnectorNeeds:
    """One connector of a stack that is being expanded."""

    connector: Connector
    context: ExpansionContext

    # -- settings -----------------------------------------------------------------------------------------------------
    def read(self, key: str, default: str = "") -> str:
        """Return a setting; the default where it is secret or missing."""
        value = self.connector.config.get(key)
        return value if isinstance(value, str) and value else default

    def find_login(self, *prefixes: str) -> str:
        """Return the user of the first of these clients that has a login of its own; empty where none shows it."""
        for prefix in prefixes:
            value = self.connector.config.get(prefix + LOGIN)
            if value is not None:
                return find_user(value.value or value.ref if isinstance(value, Secret) else value)
        return ""

    def is_declared(self, topic: str) -> bool:
        return Address("topic", topic) in self.context.resources

    # -- rights -------------------------------------------------------------------------------------------------------
    def on_topic(
        self, topic: str, purpose: str, *operations: str, login: str, creates: bool = False
    ) -> Iterator[Right]:
        """Yield rights on a topic, with Create if the client makes it where it is missing and no stack declares it."""
        more = ("Create",) if creates and not self.is_declared(topic) else ()
        for operation in (*operations, *more):
            yield Right(operation, ResourcePattern(ResourceType.TOPIC, topic), purpose, login)

    def on_group(self, group: str, purpose: str, *operations: str, login: str) -> Iterator[Right]:
        for operation in operations:
            yield Right(operation, ResourcePattern(ResourceType.GROUP, group), purpose, login)

    def of_sink(self) -> Iterator[Right]:
        topics = list(self._list_read_topics())
        if not topics:
            self.report(
                codes.K273, "the topics of a connector are not known", "no topic of this stack is one that it reads",
                "name them under `topics`, or write `consume` instead of `connectors`",
            )  # fmt: skip
            return
        reader, writer = self.find_login(CONSUMER), self.find_login(PRODUCER)
        for topic in topics:
            yield from self.on_topic(topic, "topic that it reads", "Read", login=reader)
        group = sinks.group(self.connector)
        yield from self.on_group(group, "consumer group", "Read", login=reader)
        # DELETE /connectors/NAME/offsets deletes the group (KIP-875), which kplan asks for before it deletes a sink
        yield from self.on_group(group, "end of the connector", "Delete", login=self.find_login(ADMIN) or reader)
        if dead := self.read(sinks.DEAD_LETTERS):
            yield from self.on_topic(dead, "dead letters", "Write", login=writer, creates=True)

    def _list_read_topics(self) -> Iterator[str]:
        if "topics.regex" not in self.connector.config:
            yield from self.connector.reads
            return
        for address in self.context.resources:
            if address.kind == "topic" and sinks.reads(self.connector, address.name):
                yield address.name

    def of_source(self) -> Iterator[Right]:
        undeclared = self.context.undeclared.get(self.connector.name, ())
        topics = dict.fromkeys((*self.connector.feeds, *undeclared))
        login = self.find_login(PRODUCER)
        for topic, find in self._find_own_topics().items():
            topics.pop(topic, None)
            yield from find(topic, login)
        if not topics:
            self.report(
                codes.K273, "the topics of a connector are not known", "the stack names no topic that it writes",
                "name them under the connector's `topics:`, or write `produce` instead of `connectors`",
            )  # fmt: skip
        for topic in topics:
            purpose = "heartbeat" if topic == self.connector.heartbeat else "topic that it writes"
            yield from self.on_topic(topic, purpose, "Write", login=login, creates=topic in undeclared)
        if offsets := self.read(OFFSETS_TOPIC):
            yield from self.on_topic(offsets, "its own offsets", "Read", "Write", login=login, creates=True)
        yield from self._write_exactly_once(login)

    def _find_own_topics(self) -> dict[str, Callable[[str, str], Iterator[Right]]]:
        """Return the topics that Debezium reads with clients of its own, and how their rights are found."""
        own: dict[str, Callable[[str, str], Iterator[Right]]] = {}
        if topic := self._name_signals():
            own[topic] = self._read_signals
        if (topic := self.read(HISTORY_TOPIC)) and "Kafka" in self.read(HISTORY_CLASS, "KafkaSchemaHistory"):
            own[topic] = self._keep_history
        return own

    def _name_signals(self) -> str:
        if "kafka" not in [each.strip() for each in self.read(SIGNAL_CHANNELS).split(",")]:
            return ""
        return self.read(SIGNAL_TOPIC, f"{self.read('topic.prefix')}-signal")

    def _read_signals(self, topic: str, login: str) -> Iterator[Right]:
        """Yield the rights of KafkaSignalChannel, which commits what it has read."""
        login = self.find_login(SIGNALS) or login
        group = self.read(f"{SIGNALS}group.id", self.read(SIGNAL_GROUP, DEFAULT_SIGNAL_GROUP))
        yield from self.on_topic(topic, "signals", "Read", login=login)
        yield from self.on_group(group, "signals", "Read", login=login)

    def _keep_history(self, topic: str, login: str) -> Iterator[Right]:
        """Yield the rights of KafkaSchemaHistory. Its consumer joins the group up to Debezium 3.5."""
        reader = self.find_login(HISTORY_CONSUMER) or login
        writer = self.find_login(HISTORY_PRODUCER) or login
        group = self.read(f"{HISTORY_CONSUMER}group.id", f"{self.read('topic.prefix')}-schemahistory")
        yield from self.on_topic(topic, "schema history", "Read", login=reader)
        yield from self.on_topic(topic, "schema history", "Write", login=writer, creates=True)
        yield from self.on_group(group, "schema history", "Read", login=reader)

    def _write_exactly_once(self, login: str) -> Iterator[Right]:
        """Yield the right to the tasks' transactional ids, `GROUP-NAME-TASK` (`Worker.taskTransactionalId`)."""
        group = self.context.surroundings.connect_group_ids.get(alias_of(self.connector.name), "")
        if not group and self.read(EXACTLY_ONCE).lower() == "required":
            detail = f"{EXACTLY_ONCE} is required, and the transactional ids begin with the workers' `group.id`"
            help = "write it into kplan.yaml: `connect: {group_id: …}`"
            self.report(codes.K274, "the group of Connect's workers is not known", detail, help)
        if group:
            place = ResourcePattern(
                ResourceType.TRANSACTIONAL_ID, f"{group}-{name_in_connect(self.connector)}-", PatternType.PREFIXED
            )
            yield Right("Write", place, "exactly once", login)

    # -- problems -----------------------------------------------------------------------------------------------------
    def report(self, code: Code, summary: str, detail: str, help: str) -> None:
        """Report a problem at the connector, once."""
        connector = self.connector
        problem: Diagnostic = error(
            code, summary, f"{connector.address}: {detail}", help=help, span=connector.origin.span,
            address=connector.address,
        )  # fmt: skip
        if problem not in self.context.problems:
            self.context.problems.append(problem)


def find_user(login: str) -> str:
    """Return the user that a `sasl.jaas.config` names; empty where it names none, or something else decides it."""
    match = USER.search(login)
    if match is None:
        return ""
    name = next(each for each in match.groups() if each is not None)
    return "" if NOT_KNOWN.search(name) else re.sub(r"\\(.)", r"\1", name)


__all__ = ["ConnectorNeeds", "find_rights", "find_user"]
