"""The state's topic: that it is there and safe, who is in the groups of its locks, and reading it to its end.

A read goes to the end that the partition had when it began, so it waits for transactions that are open below that end:
else one of two stacks that claim an address at once could miss the other's lower offset.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
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
from kplan.servers.waits import WAITS
from kplan.state.base import Holder, UnfinishedWrite
from kplan.state.kafka.clients import (
    ATTEMPT_TIMEOUT_S,
    CLIENT,
    GONE,
    PASSING,
    SILENT,
    TRANSACTION_SECONDS,
    Clients,
    code_of,
)
from kplan.state.kafka.log import Log, NewestRecords
from kplan.state.signing import Signer

T = TypeVar("T")

TOPIC_CONFIG: Final = 1  # the source of a config that is set on the topic itself

MOST_REPLICAS: Final = 3
BATCH: Final = 5000  # records taken from the client at once
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


class Cluster:
    """What is asked of the cluster about the topic and its groups. One AdminClient, kept alive (facts.md 1.2)."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._timeout = clients.timeout
        self._try = min(clients.timeout, ATTEMPT_TIMEOUT_S)
        self._admin = self._connected()
        self._abandoned: list[Any] = []  # clients with a request that may never be answered
        self._met = False

    def _connected(self) -> Any:
        clients = self._clients
        settings = clients.settings("kplan-store", **{"allow.auto.create.topics": False})
        try:
            return AdminClient(settings, logger=clients.library)
        except (KafkaException, ValueError, TypeError, AttributeError, ImportError) as exception:
            raise clients.unusable(exception) from exception

    def _answer(self, what: str, future: Future[T], seconds: float | None = None) -> T:
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

    def _retried(self, what: str, ask: Callable[[float], Future[T]]) -> T:
        """The answer, asked for again while a refusal may pass: a leader or coordinator is being chosen.

        `ask` gets the seconds of one try. A request waits for the broker that metadata names, also where that is dead,
        and does not ask for newer metadata: so tries are short, and metadata is read before the next one.
        """
        end = time.monotonic() + self._timeout
        while True:
            try:
                return self._answer(what, ask(self._try))
            except KafkaException as exception:
                if self._clients.contact.refused or code_of(exception) not in PASSING - GONE or time.monotonic() > end:
                    raise
                if code_of(exception) in SILENT:
                    refresh_metadata(self._admin, self._try)
                cause = exception
            self._clients.pause(what, cause, 0.1)

    def described(self) -> Any:
        """The topic as metadata has it; None where it is not there. A hidden one is Denied (29; facts.md 0)."""
        topic = self._clients.topic
        try:
            self._refresh()
            asking = TopicCollection([topic])
            return self._retried(
                "describe topics",
                lambda seconds: self._admin.describe_topics(asking, request_timeout=seconds)[topic],
            )
        except KafkaException as exception:
            if code_of(exception) in GONE:
                return None
            raise self._clients.said(exception, f"{topic} cannot be described", "Read") from exception

    def _refresh(self) -> None:
        """The client knows the living brokers: it asks the one it took for the controller, and that may be dead."""
        if not self._met:
            self._clients.contact.describe_cluster(self._admin, self._timeout, self._refusal)
            self._met = True
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
                if refused or code_of(exception) not in PASSING or time.monotonic() > end:
                    raise
                cause = exception
            self._clients.pause("list topics", cause, 0.1)

    def _refusal(self, exception: BaseException) -> KplanError:
        return self._clients.said(exception, f"{self._clients.topic} cannot be read", "Read")

    def end(self) -> int | None:
        """The offset behind the newest record, committed or not; None where the topic is gone."""
        partition = TopicPartition(self._clients.topic, 0)
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        try:
            found = self._retried("list offsets", lambda seconds: self._admin.list_offsets(
                {partition: latest}, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=seconds,
            )[partition])  # fmt: skip
            return int(found.offset)
        except KafkaException as exception:
            if code_of(exception) in GONE:
                return None
            raise self._clients.said(exception, f"{self._clients.topic} cannot be read", "Read") from exception

    def members(self, stack: str, right: str = "Read", patience: float | None = None) -> Members:
        """Who is in the lock's group, asked without joining it. `right` is what the asker's purpose takes.

        `patience` is how many seconds are left for an answer, where that is less than usual.
        """
        group = self._clients.group(stack)
        try:
            found = self._group(group, self._timeout if patience is None else patience)
        except KafkaException as exception:
            if code_of(exception) == 69:  # GROUP_ID_NOT_FOUND
                return Members(True, ())
            problem = self._clients.said(exception, f"group {group} cannot be described", right)
            if isinstance(problem, Unreachable | JournalBroken) and not self._has_topic("__consumer_offsets"):
                problem.help = self._no_coordinator("offsets.topic.replication.factor") or problem.help
            raise problem from exception
        settled = found.state in (ConsumerGroupState.STABLE, ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)
        here = self._clients.topic, 0
        return Members(settled, tuple(Member(m.client_id, here in _assigned_to(m)) for m in found.members))

    def _group(self, group: str, patience: float) -> Any:
        """The group as its coordinator describes it, asked again while that may help.

        A client remembers a coordinator for five minutes, also a dead one, so a silent one is asked for by a new
        client.
        """
        end = time.monotonic() + patience
        while True:
            try:
                asked = self._admin.describe_consumer_groups([group], request_timeout=UNLIMITED_TIMEOUT_S)
                return self._answer("describe groups", asked[group], min(self._try, patience))
            except KafkaException as exception:
                if self._clients.contact.refused or code_of(exception) not in PASSING or time.monotonic() > end:
                    raise
                if code_of(exception) in SILENT:
                    self._abandoned.append(self._admin)
                    self._admin = self._connected()
                cause = exception
            self._clients.pause("describe groups", cause, 0.1)

    def _has_topic(self, name: str) -> bool:
        """Whether the topic is there: then it can be made, and something else is wrong."""
        started = time.monotonic()
        try:
            topics = self._admin.list_topics(timeout=self._try).topics
            self._clients.log_request("list topics", started, len(topics))
            return name in topics
        except KafkaException as exception:
            self._clients.log_request("list topics", started, refusal=exception)
            return True  # nothing is known against it

    def _no_coordinator(self, setting: str) -> str:
        """A sentence on an internal topic that cannot be made, if that is so; empty where it is not known to be."""
        try:
            nodes = self._answer("describe cluster", self._admin.describe_cluster(request_timeout=self._timeout)).nodes
            resource = ConfigResource(ConfigResource.Type.BROKER, str(nodes[0].id))
            asked = self._admin.describe_configs([resource], request_timeout=self._timeout)
            entries = self._answer("describe configs", asked[resource])
            wanted = int(entries[setting].value)
        except (KafkaException, KeyError, ValueError, TypeError, IndexError):
            return ""
        return f"{setting} is {wanted}, and there are {len(nodes)} brokers: lower it" if wanted > len(nodes) else ""

    def no_transactions(self) -> KplanError:
        """Why a transactional producer cannot be had: it would try for ever (facts.md 5.2)."""
        setting = "transaction.state.log.replication.factor"
        why = "" if self._has_topic("__transaction_state") else self._no_coordinator(setting)
        told = f"the cluster gives no transactions within {self._timeout:g} s"
        help = f"check {setting} and transaction.state.log.min.isr of the brokers"
        problem = Unsupported(told + (f": {why}" if why else ""), help=help)
        return problem if why else self._clients.contact.explain_throttling(problem)

    def make_sure(self) -> None:
        """The topic is there with settings that lose nothing. Raises JournalBroken for one that would."""
        found = self.described()
        if found is None:
            self._create()
            found = self._shown()
        if len(found.partitions) != 1:
            raise JournalBroken(f"topic {self._clients.topic} has {len(found.partitions)} partitions, not 1",
                                help="kplan's topic has one; let kplan make it, or name another")  # fmt: skip
        entries = self._settings()
        self._check({name: entry.value for name, entry in entries.items()})
        self._update(entries)

    def _update(self, entries: Mapping[str, Any]) -> None:
        """A topic that an earlier kplan created is compacted as promptly as one that this kplan creates.

        One whose settings somebody chose stays as it is.
        """
        missing = missing_compaction({name: entry.value for name, entry in entries.items()
                                      if entry.source == TOPIC_CONFIG})  # fmt: skip
        if not missing:
            return
        changes = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in missing.items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, self._clients.topic, incremental_configs=changes)
        try:
            asked = self._admin.incremental_alter_configs([resource], request_timeout=self._try)
            self._answer("alter configs", asked[resource])
        except KafkaException as exception:
            problem = self._clients.said(exception, "its settings stay as they are", "AlterConfigs")
            self._clients.logger.warning(
                "%s is compacted later than it could be, so plans get slower with each run: %s; set %s on it",
                self._clients.topic, problem.message, ", ".join(f"{name}={value}" for name, value in missing.items()),
            )  # fmt: skip

    def _create(self) -> None:
        topic = self._clients.topic
        try:
            nodes = self._answer("describe cluster", self._admin.describe_cluster(request_timeout=self._timeout)).nodes
            replicas = min(MOST_REPLICAS, max(1, len(nodes)))
            config = {**SETTINGS, "min.insync.replicas": str(max(1, replicas - 1))}
            asked = self._admin.create_topics(
                [NewTopic(topic, 1, replicas, config=config)], request_timeout=self._timeout
            )
            self._answer("create topics", asked[topic])
        except KafkaException as exception:
            if code_of(exception) != KafkaError.TOPIC_ALREADY_EXISTS:
                raise self._clients.said(exception, f"{topic} cannot be created", "Create") from exception

    def _shown(self) -> Any:
        """The topic once it shows: a created one is not visible everywhere at once (facts.md 0)."""
        end = time.monotonic() + self._timeout
        while time.monotonic() < end:
            found = self.described()
            if (
                found is not None
                and found.partitions
                and found.partitions[0].leader is not None
                and self.end() is not None
            ):
                return found
            time.sleep(0.05)
        raise Timeout(f"topic {self._clients.topic} was created and is not to be seen after {self._timeout:g} s")

    def _settings(self) -> Mapping[str, Any]:
        """The topic's configs by name, as entries that say where each value comes from."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, self._clients.topic)
        end = time.monotonic() + self._timeout
        while True:
            try:
                return self._retried(
                    "describe configs",
                    lambda seconds: self._admin.describe_configs([resource], request_timeout=seconds)[resource],
                )
            except KafkaException as exception:
                if code_of(exception) in GONE and time.monotonic() < end:  # a broker that has not heard of it yet
                    self._clients.pause("describe configs", exception, 0.05)
                    continue
                doing = f"the configs of {self._clients.topic} cannot be read"
                raise self._clients.said(exception, doing, "DescribeConfigs") from exception

    def _check(self, settings: Mapping[str, str]) -> None:
        topic = self._clients.topic
        policy = settings.get("cleanup.policy", "")
        if policy != "compact":
            raise JournalBroken(f"topic {topic} has cleanup.policy={policy}, so its records expire",
                                help="set cleanup.policy=compact on it; see whether all is still there")  # fmt: skip
        if settings.get("unclean.leader.election.enable") == "true":
            self._clients.logger.warning(
                "topic %s allows unclean leader election: records of the ledger can be lost", topic
            )


def missing_compaction(own: Mapping[str, str]) -> dict[str, str]:
    """Return what a topic with these settings of its `own` lacks; nothing where somebody chose them."""
    for earlier in EARLIER_COMPACTION:
        if all(own.get(name) == earlier[name] for name in CHOICE):
            return {name: value for name, value in COMPACTION.items()
                    if own.get(name) in (None, earlier.get(name)) and own.get(name) != value}  # fmt: skip
    return {}


def _assigned_to(member: Any) -> list[tuple[str, int]]:
    return [(p.topic, p.partition) for p in member.assignment.topic_partitions] if member.assignment else []


@dataclass(frozen=True, slots=True)
class Member:
    client: str
    holds: bool

    @property
    def holder(self) -> Holder | None:
        """What the client id says; None for a client that is not kplan's."""
        who, slash, run = self.client.removeprefix(CLIENT).rpartition("/")
        return Holder(who, run, "", "") if slash and self.client.startswith(CLIENT) else None


@dataclass(frozen=True, slots=True)
class Members:
    """A group's members. While it is not `settled`, brokers do not say who holds what."""

    settled: bool
    members: tuple[Member, ...]

    @property
    def free(self) -> bool:
        return self.settled and not any(member.holds for member in self.members)

    def holding(self, recorded: tuple[str, Holder] | None) -> Holder | None:
        """Who holds it, as far as is known: the partition's owner; else the recorded holder, if still a member."""
        state, last = recorded or ("", Holder("", "", "", ""))
        for member in self.members:
            found = member.holder
            same = found is not None and found.run == last.run and found.who == last.who
            if member.holds or (not self.settled and same and state == "held"):
                return last if same else found or Holder(f"a client of another kind ({member.client})", "", "", "")
        return None


def _clock() -> float:
    """Return seconds that go on while the machine sleeps, where it has such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


class Reader:
    """Reads the topic to its end, each time from where it was. Not to be called by two threads at once."""

    def __init__(self, clients: Clients, cluster: Cluster, signer: Signer) -> None:
        self._clients = clients
        self._cluster = cluster
        self._signer = signer
        self._consumer: Consumer | None = None
        self._id: object = None
        self._position = 0
        self._read_at = 0.0
        self.log = Log(signer=signer)

    def read(self, expected: bool, patience: float | None) -> Log:
        """What all records of now amount to; nothing where there is no topic, unless it is `expected`.

        Open transactions are waited for; with `patience` only for so many seconds, and then what is committed counts.

        Brokers keep the removal of a record for RETENTION_SECONDS. Whoever has read the record must have read on to the
        removal within that time, counted from the beginning of the reading that found the record; else it begins again.
        """
        for _ in range(WHOLE_READS):
            began = _clock()
            if not 0 <= began - self._read_at <= REREAD_SECONDS:
                self.close()
            since = self._read_at if self._position else began
            if not self._read_once(expected, patience) or 0 <= _clock() - since < RETENTION_SECONDS:
                self._read_at = began
                return self.log
            self.close()
        raise Timeout(f"topic {self._clients.topic} could not be read within {RETENTION_SECONDS:g} s",
                      help="try again where the connection to the brokers is faster")  # fmt: skip

    def _read_once(self, expected: bool, patience: float | None) -> bool:
        """Read on to the end; from the beginning, where the topic is another one. Return whether there is a topic."""
        found = self._described(expected)
        if found is None:
            self.close()
            return False
        if len(found.partitions) != 1:
            raise JournalBroken(f"topic {self._clients.topic} has {len(found.partitions)} partitions, not 1",
                                help="kplan's topic has one; let kplan make it, or name another")  # fmt: skip
        identity = str(getattr(found, "topic_id", ""))
        end = self._cluster.end() or 0
        if identity != self._id or end < self._position:  # made anew since
            self.close()
        self._id = identity
        try:
            self._read_to(end, patience)
        except BaseException:
            self.close()  # the next read begins anew
            raise
        return True

    def _described(self, expected: bool) -> Any:
        deadline = time.monotonic() + self._clients.timeout
        while (found := self._cluster.described()) is None and expected and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def _read_to(self, end: int, patience: float | None) -> None:
        longest = max(self._clients.timeout, 2 * TRANSACTION_SECONDS) if patience is None else patience
        deadline = time.monotonic() + longest
        if self._position >= end:
            return
        started, newest = time.monotonic(), NewestRecords(is_whole=not self._position)
        consumer = self._opened()
        while self._position < end:
            message = consumer.poll(0.1)
            for each in [message, *consumer.consume(BATCH, 0)] if message is not None else ():
                self._take(each, newest)
            if message is None and time.monotonic() > deadline:
                if patience is not None:
                    break
                raise self._stuck(end)
        for key, offset, value in newest:
            self._put(key, offset, value)
        self._clients.log_request(f"read to offset {end}, {newest.size} bytes", started, newest.count)

    def _stuck(self, end: int) -> KplanError:
        """Why it cannot be read to its end: whose transaction is open longer than brokers allow, or no leader.

        A broker that dies while a transaction ends, and is the only one, calls it complete when it is back and never
        ends it in the partition ("Couldn't find leader endpoint … can be skipped": TransactionMarkerChannelManager).
        """
        said = f"topic {self._clients.topic} could not be read beyond offset {self._position} of {end}"
        stacks = sorted(self._uncommitted(end))
        if not stacks:
            return self._clients.contact.explain_throttling(Timeout(said, help="there may be no leader; try again"))
        return UnfinishedWrite(f"{said}: a write of {', '.join(f'stack {each}' for each in stacks)} has no end", stacks)

    def _uncommitted(self, end: int) -> set[str]:
        """The stacks of the records from here on, committed or not."""
        found: set[str] = set()
        own = {"isolation.level": "read_uncommitted", "enable.partition.eof": True}
        consumer = self._clients.consumer("kplan-reader", self._clients.prefix + "reader", **own)
        try:
            consumer.assign([TopicPartition(self._clients.topic, 0, self._position)])
            deadline = time.monotonic() + ATTEMPT_TIMEOUT_S
            while time.monotonic() < deadline:
                message = consumer.poll(0.1)
                if message is not None and message.error() is None:
                    key = (message.key() or b"").decode(errors="replace").split("/")
                    found |= {key[1]} if key[0] == "stack" and len(key) > 2 else set()
                if message is not None and (message.error() or (message.offset() or 0) + 1 >= end):
                    break
        finally:
            consumer.close()
        return found

    def _opened(self) -> Consumer:
        """The consumer, fetching. The first offset is given as a number: asking for it takes half a second.

        It is never paused: to go on takes librdkafka up to a second.
        """
        if self._consumer is None:
            own = {"enable.partition.eof": True, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20,
                   "fetch.message.max.bytes": MAX_FETCH_BYTES}  # fmt: skip
            self._consumer = self._clients.consumer("kplan-reader", self._clients.prefix + "reader", **own)
            self._consumer.assign([TopicPartition(self._clients.topic, 0, self._position)])
        return self._consumer

    def _take(self, message: Any, newest: NewestRecords) -> None:
        """Notes a record, or how far the end is: an EOF's offset is behind markers and aborted records."""
        problem = message.error()
        if problem is None:
            offset = message.offset()
            if offset >= self._position:
                newest.add(message.key(), offset, message.value())
                self._position = offset + 1
        elif problem.code() == KafkaError._PARTITION_EOF:
            self._position = max(self._position, message.offset())
        elif problem.code() not in PASSING | {30}:  # 30: the reader commits nothing, so its group does not matter
            raise self._clients.meant(problem, f"{self._clients.topic} cannot be read", "Read")

    def _put(self, key: bytes | None, offset: int, value: bytes | None) -> None:
        """Apply a record to the log, and warn of one that is not kplan's."""
        known = len(self.log.foreign)
        self.log.put(offset, key, value)
        if len(self.log.foreign) > known:
            self._clients.logger.warning("%s: the record at offset %d is not kplan's, its key is %r",
                                         self._clients.topic, offset, key)  # fmt: skip

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._position, self.log, self._id = 0, Log(signer=self._signer), None
        if consumer is not None:
            consumer.close()
