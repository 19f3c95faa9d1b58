"""Manage the state's topic: create and check it, find the members of its locks' groups, and read it to its end.

A read goes to the end that the partition had when it began, so it waits for transactions that are open below that end:
otherwise one of two stacks that claim an address at once could miss the other's lower offset.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any, Final, TypeVar

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
)

from kplan.diagnostics import JournalBroken, KplanError, Timeout, Unreachable, Unsupported
from kplan.servers.connection_errors import UNLIMITED_TIMEOUT_S, refresh_metadata
from kplan.servers.kafka.wire.connection import BrokerConnection, connect, find_unsuited_setting
from kplan.servers.kafka.wire.encoding import FAILURES, Unsuited
from kplan.servers.kafka.wire.records import read_records, request_records
from kplan.servers.waits import WAITS
from kplan.state.base import Holder, UnfinishedWrite
from kplan.state.kafka.clients import (
    ATTEMPT_TIMEOUT_S,
    CLIENT_PREFIX,
    MISSING,
    SILENT,
    TRANSACTION_TIMEOUT_S,
    TRANSIENT,
    Clients,
    find_code,
)
from kplan.state.kafka.log import Log, NewestRecords
from kplan.state.signing import Signer
from kplan.values import dataclass

T = TypeVar("T")

TOPIC_CONFIG: Final = 1  # the source of a config that is set on the topic itself

MAX_REPLICAS: Final = 3
MAX_BATCH_RECORDS: Final = 5000  # records taken from the client at once
MAX_RECORD_BYTES: Final = 8_388_608
MAX_FETCH_BYTES: Final = 16_777_216  # of one answer: what brokers have not compacted yet comes in few of them
# What is in the newest segment is never compacted, and every plan reads it. A segment ends with the first write after
# ten seconds, or when it is full; compaction makes one of many. A segment must hold the largest record, or brokers
# refuse that. Brokers set the time of a record: by a client's clock, a segment may never end, and one that is ahead by
# more than message.timestamp.after.max.ms (1 h) could write nothing.
COMPACTION: Final[Mapping[str, str]] = {
    "min.cleanable.dirty.ratio": "0.01",
    "segment.ms": "10000",
    "segment.bytes": str(MAX_RECORD_BYTES),
    "max.compaction.lag.ms": "600000",
    "delete.retention.ms": "600000",  # a reader that takes longer begins again: see Reader.read
    "message.timestamp.type": "LogAppendTime",
}
READER: Final = "kplan-reader"  # the id of the clients that only read
RETENTION_SECONDS: Final = 600.0  # delete.retention.ms: so long brokers keep a removal, and the markers of transactions
REREAD_SECONDS: Final = 300.0  # half of it: an older reading may miss a removal
WHOLE_READS: Final = 2  # of a topic that takes longer to read than removals are kept
SETTINGS: Final[Mapping[str, str]] = {
    "cleanup.policy": "compact",
    "unclean.leader.election.enable": "false",  # a leader that lacks records would lose some of the ledger
    "max.message.bytes": str(MAX_RECORD_BYTES),
    **COMPACTION,
}
# What earlier versions created the topic with, or set on it: only a topic with one of these is brought up to date.
EARLIER_COMPACTION: Final[Sequence[Mapping[str, str]]] = (
    {"min.cleanable.dirty.ratio": "0.1", "segment.ms": "86400000"},
    {
        "min.cleanable.dirty.ratio": "0.01",
        "segment.ms": "60000",
        "segment.bytes": str(MAX_RECORD_BYTES),
        "max.compaction.lag.ms": "600000",
        "delete.retention.ms": "3600000",
    },
)
CHOICE: Final = ("min.cleanable.dirty.ratio", "segment.ms")  # where these are not an earlier version's, somebody chose


class _FirstContact:
    """The first contact with a broker. A thread that waited for another's failing try does not try again."""

    def __init__(self, clients: Clients, explain: Callable[[BaseException], KplanError]) -> None:
        self._clients = clients
        self._explain = explain
        self._turn = threading.Lock()
        self._is_made = False
        self._failure: KplanError | None = None

    def make(self, admin: Any) -> None:
        """Ask a broker whether it answers, unless one has. Raises KplanError."""
        has_waited = self._turn.locked()
        with self._turn:
            if self._is_made:
                return
            if has_waited and self._failure is not None:
                raise self._failure
            try:
                self._clients.contact.describe_cluster(admin, self._clients.timeout, self._explain)
            except KplanError as failure:
                self._failure = failure
                raise
            self._is_made = True


class StateCluster:
    """Ask the cluster about the topic and its groups. One AdminClient, kept alive (facts.md 1.2)."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._timeout = clients.timeout
        self._try = min(clients.timeout, ATTEMPT_TIMEOUT_S)
        self._admin = self._make_admin()
        self._abandoned: list[Any] = []  # clients with a request that may never be answered
        self._first_contact = _FirstContact(clients, self._explain_refusal)

    def _make_admin(self) -> Any:
        clients = self._clients
        settings = clients.make_settings("kplan-store", **{"allow.auto.create.topics": False})
        try:
            return AdminClient(settings, logger=clients.library)
        except (KafkaException, ValueError, TypeError, AttributeError, ImportError) as exception:
            raise clients.make_settings_error(exception) from exception

    def _wait_for_answer(self, what: str, future: Future[T], seconds: float | None = None) -> T:
        """Return the future's result; raise what it holds, or a timeout a little after the request's own.

        `what` names the request in the log.
        """
        started = time.monotonic()
        try:
            answer = self._await(future, seconds)
        except BaseException as exception:
            self._clients.log_request(what, started, refusal=exception)
            raise
        self._clients.log_request(what, started)
        return answer

    def _await(self, future: Future[T], seconds: float | None) -> T:
        end = time.monotonic() + (self._timeout + 5 if seconds is None else seconds)
        with WAITS.add(f"reading the state in {self._clients.topic}", seconds or self._timeout):
            while not wait([future], 0.05).done:
                self._admin.poll(0)
                if self._clients.contact.refused or time.monotonic() > end:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer"))
        return future.result()

    def _retry(self, what: str, ask: Callable[[float], Future[T]]) -> T:
        """Return the answer, and ask again while a refusal may be transient: a leader or coordinator is being chosen.

        `ask` gets the seconds of one try. A request waits for the broker that metadata names, also where that is dead,
        and does not ask for newer metadata: so tries are short, and metadata is read before the next one.
        """
        end = time.monotonic() + self._timeout
        while True:
            try:
                return self._wait_for_answer(what, ask(self._try))
            except KafkaException as exception:
                if (
                    self._clients.contact.refused
                    or find_code(exception) not in TRANSIENT - MISSING
                    or time.monotonic() > end
                ):
                    raise
                if find_code(exception) in SILENT:
                    refresh_metadata(self._admin, self._try)
                cause = exception
            self._clients.pause(what, cause, 0.1)

    def describe_topic(self) -> Any:
        """Return the topic as metadata has it; None if it does not exist. A hidden one is Denied (29; facts.md 0)."""
        topic = self._clients.topic
        try:
            self._refresh_metadata()
            topics = TopicCollection([topic])
            return self._retry(
                "describe topics",
                lambda seconds: self._admin.describe_topics(topics, request_timeout=seconds)[topic],
            )
        except KafkaException as exception:
            if find_code(exception) in MISSING:
                return None
            raise self._clients.to_kplan_error(exception, f"{topic} cannot be described", "Read") from exception

    def _refresh_metadata(self) -> None:
        """Make the client know the living brokers: it asks the one it took for the controller, and that may be dead."""
        self._first_contact.make(self._admin)
        end = time.monotonic() + self._timeout
        while True:
            started = time.monotonic()
            try:
                self._admin.list_topics(self._clients.topic, timeout=self._try)
                self._clients.log_request("list topics", started)
                return
            except KafkaException as exception:
                self._clients.log_request("list topics", started, refusal=exception)
                self._admin.poll(0)
                refused = self._clients.contact.refused
                if refused or find_code(exception) not in TRANSIENT or time.monotonic() > end:
                    raise
                cause = exception
            self._clients.pause("list topics", cause, 0.1)

    def _explain_refusal(self, exception: BaseException) -> KplanError:
        return self._clients.to_kplan_error(exception, f"{self._clients.topic} cannot be read", "Read")

    def find_end(self) -> int | None:
        """Return the offset behind the newest record, committed or not; None if the topic does not exist."""
        partition = TopicPartition(self._clients.topic, 0)
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        try:
            answer = self._retry("list offsets", lambda seconds: self._admin.list_offsets(
                {partition: latest}, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=seconds,
            )[partition])  # fmt: skip
            return int(answer.offset)
        except KafkaException as exception:
            if find_code(exception) in MISSING:
                return None
            raise self._clients.to_kplan_error(
                exception, f"{self._clients.topic} cannot be read", "Read"
            ) from exception

    def find_members(self, stack: str, right: str = "Read", timeout: float | None = None) -> Members:
        """Return the members of the lock's group, without joining it. `right` is what the caller's purpose requires.

        `timeout` is how many seconds are left for an answer, where that is less than usual.
        """
        group = self._clients.name_group(stack)
        try:
            description = self._describe_group(group, self._timeout if timeout is None else timeout)
        except KafkaException as exception:
            if find_code(exception) == 69:  # GROUP_ID_NOT_FOUND
                return Members(True, ())
            problem = self._clients.to_kplan_error(exception, f"group {group} cannot be described", right)
            if isinstance(problem, Unreachable | JournalBroken) and not self._has_topic("__consumer_offsets"):
                problem.help = self._explain_missing_topic("offsets.topic.replication.factor") or problem.help
            raise problem from exception
        settled = description.state in (ConsumerGroupState.STABLE, ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)
        partition = self._clients.topic, 0
        return Members(settled, tuple(Member(m.client_id, partition in _list_assigned(m)) for m in description.members))

    def _describe_group(self, group: str, timeout: float) -> Any:
        """Return the group as its coordinator describes it, and ask again while that may help.

        A client remembers a coordinator for five minutes, also a dead one, so a silent one is asked for by a new
        client.
        """
        end = time.monotonic() + timeout
        while True:
            try:
                futures = self._admin.describe_consumer_groups([group], request_timeout=UNLIMITED_TIMEOUT_S)
                return self._wait_for_answer("describe groups", futures[group], min(self._try, timeout))
            except KafkaException as exception:
                if self._clients.contact.refused or find_code(exception) not in TRANSIENT or time.monotonic() > end:
                    raise
                if find_code(exception) in SILENT:
                    self._abandoned.append(self._admin)
                    self._admin = self._make_admin()
                cause = exception
            self._clients.pause("describe groups", cause, 0.1)

    def _has_topic(self, name: str) -> bool:
        """Return whether the topic exists: then it can be created, and something else is wrong."""
        started = time.monotonic()
        try:
            topics = self._admin.list_topics(timeout=self._try).topics
            self._clients.log_request("list topics", started, len(topics))
            return name in topics
        except KafkaException as exception:
            self._clients.log_request("list topics", started, refusal=exception)
            return True  # nothing contradicts it

    def _explain_missing_topic(self, setting: str) -> str:
        """Return why an internal topic cannot be created; empty where that is not known."""
        try:
            nodes = self._wait_for_answer(
                "describe cluster", self._admin.describe_cluster(request_timeout=self._timeout)
            ).nodes
            resource = ConfigResource(ConfigResource.Type.BROKER, str(nodes[0].id))
            futures = self._admin.describe_configs([resource], request_timeout=self._timeout)
            entries = self._wait_for_answer("describe configs", futures[resource])
            required = int(entries[setting].value)
        except (KafkaException, KeyError, ValueError, TypeError, IndexError):
            return ""
        return f"{setting} is {required}, and there are {len(nodes)} brokers: lower it" if required > len(nodes) else ""

    def make_transactions_error(self) -> KplanError:
        """Return why a transactional producer cannot be created: it would try for ever (facts.md 5.2)."""
        setting = "transaction.state.log.replication.factor"
        reason = "" if self._has_topic("__transaction_state") else self._explain_missing_topic(setting)
        message = f"the cluster gives no transactions within {self._timeout:g} s"
        help = f"check {setting} and transaction.state.log.min.isr of the brokers"
        problem = Unsupported(message + (f": {reason}" if reason else ""), help=help)
        return problem if reason else self._clients.contact.explain_throttling(problem)

    def ensure_topic(self) -> None:
        """Create the topic if it is missing, and check its settings. Raises JournalBroken for settings that lose
        records."""
        description = self.describe_topic()
        if description is None:
            self.create()
            description = self._wait_until_visible()
        if len(description.partitions) != 1:
            raise JournalBroken(f"topic {self._clients.topic} has {len(description.partitions)} partitions, not 1",
                                help="kplan's topic has one; let kplan make it, or name another")  # fmt: skip
        entries = self._read_settings()
        self._check_settings({name: entry.value for name, entry in entries.items()})
        self._update_compaction(entries)

    def _update_compaction(self, entries: Mapping[str, Any]) -> None:
        """Set on a topic that an earlier kplan created what this kplan creates topics with.

        One whose settings a person chose stays as it is.
        """
        missing = find_missing_compaction({name: entry.value for name, entry in entries.items()
                                      if entry.source == TOPIC_CONFIG})  # fmt: skip
        if not missing:
            return
        changes = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in missing.items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, self._clients.topic, incremental_configs=changes)
        try:
            futures = self._admin.incremental_alter_configs([resource], request_timeout=self._try)
            self._wait_for_answer("alter configs", futures[resource])
        except KafkaException as exception:
            problem = self._clients.to_kplan_error(exception, "its settings stay as they are", "AlterConfigs")
            self._clients.logger.warning(
                "%s is compacted later than it could be, so plans get slower with each run: %s; set %s on it",
                self._clients.topic, problem.message, ", ".join(f"{name}={value}" for name, value in missing.items()),
            )  # fmt: skip

    def create(self, validate: bool = False) -> None:
        """Create the topic; with `validate` the brokers only say whether they would."""
        topic = self._clients.topic
        try:
            nodes = self._wait_for_answer(
                "describe cluster", self._admin.describe_cluster(request_timeout=self._timeout)
            ).nodes
            replicas = min(MAX_REPLICAS, max(1, len(nodes)))
            config = {**SETTINGS, "min.insync.replicas": str(max(1, replicas - 1))}
            futures = self._admin.create_topics(
                [NewTopic(topic, 1, replicas, config=config)], validate_only=validate, request_timeout=self._timeout
            )
            self._wait_for_answer("create topics", futures[topic])
        except KafkaException as exception:
            if find_code(exception) != KafkaError.TOPIC_ALREADY_EXISTS:
                raise self._clients.to_kplan_error(exception, f"{topic} cannot be created", "Create") from exception

    def _wait_until_visible(self) -> Any:
        """Return the topic once it is visible: a created one is not visible everywhere at once (facts.md 0)."""
        end = time.monotonic() + self._timeout
        while time.monotonic() < end:
            description = self.describe_topic()
            if (
                description is not None
                and description.partitions
                and description.partitions[0].leader is not None
                and self.find_end() is not None
            ):
                return description
            time.sleep(0.05)
        raise Timeout(f"topic {self._clients.topic} was created and is not to be seen after {self._timeout:g} s")

    def _read_settings(self) -> Mapping[str, Any]:
        """Return the topic's configs by name, as entries with the source of each value."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, self._clients.topic)
        end = time.monotonic() + self._timeout
        while True:
            try:
                return self._retry(
                    "describe configs",
                    lambda seconds: self._admin.describe_configs([resource], request_timeout=seconds)[resource],
                )
            except KafkaException as exception:
                if find_code(exception) in MISSING and time.monotonic() < end:  # a broker that does not know it yet
                    self._clients.pause("describe configs", exception, 0.05)
                    continue
                doing = f"the configs of {self._clients.topic} cannot be read"
                raise self._clients.to_kplan_error(exception, doing, "DescribeConfigs") from exception

    def _check_settings(self, settings: Mapping[str, str]) -> None:
        topic = self._clients.topic
        policy = settings.get("cleanup.policy", "")
        if policy != "compact":
            raise JournalBroken(f"topic {topic} has cleanup.policy={policy}, so its records expire",
                                help="set cleanup.policy=compact on it; see whether all is still there")  # fmt: skip
        if settings.get("unclean.leader.election.enable") == "true":
            self._clients.logger.warning(
                "topic %s allows unclean leader election: records of the ledger can be lost", topic
            )


def find_missing_compaction(own: Mapping[str, str]) -> dict[str, str]:
    """Return what a topic with these settings of its `own` lacks; empty where a person chose them."""
    for earlier in EARLIER_COMPACTION:
        if all(own.get(name) == earlier[name] for name in CHOICE):
            return {name: value for name, value in COMPACTION.items()
                    if own.get(name) in (None, earlier.get(name)) and own.get(name) != value}  # fmt: skip
    return {}


def _list_assigned(member: Any) -> list[tuple[str, int]]:
    return [(p.topic, p.partition) for p in member.assignment.topic_partitions] if member.assignment else []


@dataclass(frozen=True, slots=True)
class Member:
    """Hold one member of the group of a lock: the id of its client, and whether it has the lock."""

    client: str
    holds: bool

    @property
    def holder(self) -> Holder | None:
        """Return what the client id names; None for a client that is not kplan's."""
        who, slash, run = self.client.removeprefix(CLIENT_PREFIX).rpartition("/")
        return Holder(who, run, "", "") if slash and self.client.startswith(CLIENT_PREFIX) else None


@dataclass(frozen=True, slots=True)
class Members:
    """Hold a group's members. While it is not `is_settled`, brokers do not tell which of them holds the lock."""

    is_settled: bool
    members: tuple[Member, ...]

    @property
    def is_free(self) -> bool:
        return self.is_settled and not any(member.holds for member in self.members)

    def find_holder(self, recorded: tuple[str, Holder] | None) -> Holder | None:
        """Return the holder, as far as it is known: the partition's owner; else the recorded holder, if still a
        member."""
        state, last = recorded or ("", Holder("", "", "", ""))
        for member in self.members:
            holder = member.holder
            is_recorded = holder is not None and holder.run == last.run and holder.who == last.who
            if member.holds or (not self.is_settled and is_recorded and state == "held"):
                return (
                    last if is_recorded else holder or Holder(f"a client of another kind ({member.client})", "", "", "")
                )
        return None


def _read_clock() -> float:
    """Return seconds that go on while the machine sleeps, where it has such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


class LedgerTopicReader:
    """Read the topic to its end, each time from the last position. Not to be called by two threads at once."""

    def __init__(self, clients: Clients, cluster: StateCluster, signer: Signer) -> None:
        self._clients = clients
        self._cluster = cluster
        self._signer = signer
        self._consumer: Consumer | None = None
        self._connection: BrokerConnection | None = None
        self._has_protocol = not find_unsuited_setting(clients.config)
        self._id: object = None
        self._position = 0
        self._read_at = 0.0
        self.log = Log(signer=signer)

    def read(self, expected: bool, timeout: float | None) -> Log:
        """Return what all present records define; an empty log where there is no topic, unless it is `expected`.

        Open transactions are waited for; with `timeout` only for so many seconds, and then what is committed counts.

        Brokers keep the removal of a record for RETENTION_SECONDS. A reader that has read the record must read the
        removal within that time, counted from the beginning of the reading that found the record; otherwise it begins
        again.
        """
        for _ in range(WHOLE_READS):
            start = _read_clock()
            if not 0 <= start - self._read_at <= REREAD_SECONDS:
                self.close()
            previous_start = self._read_at if self._position else start
            if not self._read_once(expected, timeout) or 0 <= _read_clock() - previous_start < RETENTION_SECONDS:
                self._read_at = start
                return self.log
            self.close()
        raise Timeout(f"topic {self._clients.topic} could not be read within {RETENTION_SECONDS:g} s",
                      help="try again where the connection to the brokers is faster")  # fmt: skip

    def _read_once(self, expected: bool, timeout: float | None) -> bool:
        """Read on to the end; from the beginning if it is another topic. Return whether there is a topic."""
        description = self._wait_for_topic(expected)
        if description is None:
            self.close()
            return False
        if len(description.partitions) != 1:
            raise JournalBroken(f"topic {self._clients.topic} has {len(description.partitions)} partitions, not 1",
                                help="kplan's topic has one; let kplan make it, or name another")  # fmt: skip
        identity = str(getattr(description, "topic_id", ""))
        end = self._cluster.find_end() or 0
        if identity != self._id or end < self._position:  # recreated since
            self.close()
        self._id = identity
        try:
            self._read_to(description.partitions[0].leader, end, timeout)
        except BaseException:
            self.close()  # the next read starts from the beginning
            raise
        return True

    def _wait_for_topic(self, expected: bool) -> Any:
        deadline = time.monotonic() + self._clients.timeout
        while (description := self._cluster.describe_topic()) is None and expected and time.monotonic() < deadline:
            time.sleep(0.1)
        return description

    def _read_to(self, leader: Any, end: int, timeout: float | None) -> None:
        if self._position >= end:
            return
        started = time.monotonic()
        newest = self._read_by_protocol(leader, end) if timeout is None else None
        if newest is None:
            newest = self._read_by_consumer(end, timeout)
        for key, offset, value in newest:
            self._apply_record(key, offset, value)
        self._clients.log_request(f"read to offset {end}, {newest.size} bytes", started, newest.count)

    def _read_by_protocol(self, leader: Any, end: int) -> NewestRecords | None:
        """Return what is new, asked over a connection of its own; None where only a consumer can read it.

        A consumer learns that there is nothing more from an answer that the broker holds back.
        """
        if not self._has_protocol or self._consumer is not None or leader is None:
            return None
        newest = NewestRecords(is_whole=not self._position)
        try:
            if self._connection is None:
                server, seconds = f"{leader.host}:{leader.port}", min(self._clients.timeout, ATTEMPT_TIMEOUT_S)
                self._connection = connect(server, self._clients.config, READER, seconds)
            request_records(self._connection, self._clients.topic, self._position)
            position = read_records(self._connection, self._clients.topic, self._position, newest.add)
            if position < end:
                raise Unsuited("the leader has less than the end that it named")
        except FAILURES as failure:
            self._clients.logger.debug("%s is read by a consumer: %s", self._clients.topic, failure)
            self._disconnect()
            return None
        self._position = position
        return newest

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _read_by_consumer(self, end: int, timeout: float | None) -> NewestRecords:
        """Return what is new; with `timeout`, what arrived in so many seconds. Raises where the end is not reached."""
        max_seconds = max(self._clients.timeout, 2 * TRANSACTION_TIMEOUT_S) if timeout is None else timeout
        deadline = time.monotonic() + max_seconds
        newest = NewestRecords(is_whole=not self._position)
        consumer = self._open_consumer()
        while self._position < end:
            message = consumer.poll(0.1)
            for read_message in [message, *consumer.consume(MAX_BATCH_RECORDS, 0)] if message is not None else ():
                self._note_message(read_message, newest)
            if message is None and time.monotonic() > deadline:
                if timeout is not None:
                    break
                raise self._explain_open_end(end)
        return newest

    def _explain_open_end(self, end: int) -> KplanError:
        """Return why it cannot be read to its end: a transaction is open longer than brokers allow, or there is no
        leader.

        A broker that dies while a transaction ends, and is the only one, calls it complete when it is back and never
        ends it in the partition ("Couldn't find leader endpoint … can be skipped": TransactionMarkerChannelManager).
        """
        message = f"topic {self._clients.topic} could not be read beyond offset {self._position} of {end}"
        stacks = sorted(self._find_uncommitted_stacks(end))
        if not stacks:
            return self._clients.contact.explain_throttling(Timeout(message, help="there may be no leader; try again"))
        return UnfinishedWrite(
            f"{message}: a write of {', '.join(f'stack {stack}' for stack in stacks)} has no end", stacks
        )

    def _find_uncommitted_stacks(self, end: int) -> set[str]:
        """Return the stacks of the records from here on, committed or not."""
        stacks: set[str] = set()
        settings = {"isolation.level": "read_uncommitted", "enable.partition.eof": True}
        consumer = self._clients.make_consumer(READER, self._clients.prefix + "reader", **settings)
        try:
            consumer.assign([TopicPartition(self._clients.topic, 0, self._position)])
            deadline = time.monotonic() + ATTEMPT_TIMEOUT_S
            while time.monotonic() < deadline:
                message = consumer.poll(0.1)
                if message is not None and message.error() is None:
                    key = (message.key() or b"").decode(errors="replace").split("/")
                    stacks |= {key[1]} if key[0] == "stack" and len(key) > 2 else set()
                if message is not None and (message.error() or (message.offset() or 0) + 1 >= end):
                    break
        finally:
            consumer.close()
        return stacks

    def _open_consumer(self) -> Consumer:
        """Return the consumer, fetching. The first offset is given as a number: asking for it takes half a second.

        It is never paused: to continue takes librdkafka up to a second.
        """
        if self._consumer is None:
            settings = {"enable.partition.eof": True, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20,
                   "fetch.message.max.bytes": MAX_FETCH_BYTES}  # fmt: skip
            self._consumer = self._clients.make_consumer(READER, self._clients.prefix + "reader", **settings)
            self._consumer.assign([TopicPartition(self._clients.topic, 0, self._position)])
        return self._consumer

    def _note_message(self, message: Any, newest: NewestRecords) -> None:
        """Record a message, or how far the end is: an EOF's offset is behind markers and aborted records."""
        problem = message.error()
        if problem is None:
            offset = message.offset()
            if offset >= self._position:
                newest.add(message.key(), offset, message.value())
                self._position = offset + 1
        elif problem.code() == KafkaError._PARTITION_EOF:
            self._position = max(self._position, message.offset())
        elif problem.code() not in TRANSIENT | {30}:  # 30: the reader commits nothing, so its group does not matter
            raise self._clients.explain_problem(problem, f"{self._clients.topic} cannot be read", "Read")

    def _apply_record(self, key: bytes | None, offset: int, value: bytes | None) -> None:
        """Apply a record to the log, and warn of one that is not kplan's."""
        foreign_count = len(self.log.foreign)
        self.log.put(offset, key, value)
        if len(self.log.foreign) > foreign_count:
            self._clients.logger.warning("%s: the record at offset %d is not kplan's, its key is %r",
                                         self._clients.topic, offset, key)  # fmt: skip

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._position, self.log, self._id = 0, Log(signer=self._signer), None
        self._disconnect()
        if consumer is not None:
            consumer.close()
