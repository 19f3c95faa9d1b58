"""The ledger, the journal and the lock in one compacted topic of the cluster (facts.md 5; schemas/state.v1.json).

*Records.* Keys are `stack/NAME/ADDRESS` (ledger), `stack/NAME/run/ID/SEQ[/PART]` (journal) and `stack/NAME/lock`. Every
write is one transaction. A read goes to the end that the partition had when it began, so it waits for transactions that
are open below that end: else one of two stacks that claim an address at once could miss the other's lower offset.

*Lock.* The member of the consumer group `kplan.STACK` that holds the topic's partition holds the stack; its heartbeats
keep it, and a killed one loses it after the session timeout. The assignor is `cooperative-sticky`, for `range` hands
the partition to newcomers. Each transaction commits offsets as that member and generation, so that brokers check
generation and producer epoch: whoever was stopped and superseded is refused at the next write.

*Who may* is in `kplan.permissions`.
"""

from __future__ import annotations

import json
import logging
import random
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
    libversion,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
)

from kplan.access import Contact, unusable
from kplan.codec import entry_from_json, entry_to_json, owned_from_json, owned_to_json
from kplan.diagnostics import Denied, Invalid, JournalBroken, KplanError, Locked, Timeout, Unreachable, Unsupported
from kplan.journal import Entry
from kplan.model import Address, Owned
from kplan.permissions import Acl, group_prefix, missing
from kplan.secrets import Mask, MaskingFilter
from kplan.store.base import Holder, Lock, Unended

T = TypeVar("T")
Json = dict[str, Any]
Key = tuple[str, ...]
Record = tuple[str, Json | None]  # None: the key is removed (a tombstone)

TOPIC: Final = "__kplan"
VERSION: Final = 1
KEPT_RUNS: Final = 20  # finished ones, of each stack
MOST_ITEMS: Final = 200  # of an entry, in one record
MOST_BYTES: Final = 700_000  # of them; a topic's usual limit is 1 MiB a batch
MOST_REPLICAS: Final = 3
POLL_SECONDS: Final = 1.0  # between two questions who holds it
NAMING_SECONDS: Final = 1.0  # a killed holder's open transaction may hide its name, and is not waited for
OFFSETS_SECONDS: Final = 8.0  # for the part of a transaction that the group's coordinator answers
TRY_SECONDS: Final = 5.0  # for one answer to a question that can be asked again
GAP_SECONDS: Final = 0.01  # without it, polling starves every other call of a consumer (facts.md 1.2)
TRANSACTION_SECONDS: Final = 15.0
LONGEST_POLL_SECONDS: Final = 30.0  # a thread that does not poll for so long gives the lock up
CLIENT: Final = "kplan/"
# When every broker has gone, librdkafka forgets them all and bootstraps anew, and with it what it was about to ask of a
# group's coordinator: `send_offsets_to_transaction` then never returns (2.16.0, seen when a single broker restarts).
RECOVERY: Final = {"metadata.recovery.strategy": "none"} if libversion()[1] >= 0x020B0000 else {}
KPLANS_OWN: Final = ("client.id", "allow.auto.create.topics", "error_cb", "throttle_cb", "logger", "group.id",
                     "transactional.id", "isolation.level", "enable.auto.commit", "acks")  # fmt: skip
SETTINGS: Final[Mapping[str, str]] = {
    "cleanup.policy": "compact",
    "unclean.leader.election.enable": "false",  # a leader that lacks records would lose some of the ledger
    "min.cleanable.dirty.ratio": "0.1",
    "segment.ms": "86400000",  # what is in the newest segment is never compacted
    "max.message.bytes": "8388608",
}

# -- errors -----------------------------------------------------------------------------------------------------------
_DENIED = frozenset({29, 30, 31, 53, 58, KafkaError._AUTHENTICATION, KafkaError._SSL})
_GONE = frozenset({3, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, 100})
_SILENT = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT,
                     KafkaError._TIMED_OUT_QUEUE, KafkaError.REQUEST_TIMED_OUT})  # fmt: skip
_PASSING = _SILENT | {
    3,
    5,
    6,
    8,
    9,
    13,
    14,
    15,
    16,
    27,
    51,
    56,
    74,
    75,
    78,
    KafkaError._WAIT_COORD,
    KafkaError._WAIT_CACHE,
}
_EVICTED = frozenset({25, 47, 82, 90, KafkaError._FENCED})  # this member, or this producer, is no more
_STALE_GENERATION = frozenset({22, 27})  # a contender joined: the same member has a newer generation in a moment
_HOPELESS = frozenset({10, 18, 35, KafkaError._INVALID_ARG}) | _DENIED  # too large, unsupported, not allowed


def _problem(exception: BaseException) -> KafkaError | None:
    args = exception.args if isinstance(exception, KafkaException) else ()
    return args[0] if args and isinstance(args[0], KafkaError) else None


def _code(exception: BaseException) -> int:
    problem = _problem(exception)
    return KafkaError._FAIL if problem is None else problem.code()


@dataclass(slots=True)
class Clients:
    """How clients of this cluster are made, and what only their callbacks know: why a broker does not answer.

    `logger` is kplan's own, `library` librdkafka's.
    """

    config: Mapping[str, str]
    topic: str
    timeout: float
    mask: Mask
    logger: logging.Logger
    library: logging.Logger
    contact: Contact

    @property
    def prefix(self) -> str:
        """Of groups and transactional ids: `kplan.` for `__kplan`. Another topic is another world."""
        return group_prefix(self.topic)

    def group(self, stack: str) -> str:
        return self.prefix + stack

    def settings(self, client: str, **own: Any) -> dict[str, Any]:
        given = {key: value for key, value in self.config.items() if key not in KPLANS_OWN}
        return {**given, **RECOVERY, "client.id": client, "error_cb": self.contact.note, **own}

    def consumer(self, client: str, group: str, **own: Any) -> Consumer:
        usual = {"group.id": group, "enable.auto.commit": False, "isolation.level": "read_committed",
                 "allow.auto.create.topics": False}  # fmt: skip
        return Consumer(self.settings(client, **{**usual, **own}), logger=self.library)

    def said(self, exception: BaseException, doing: str, resource: str = "") -> KplanError:
        """The exception as an error of ours. `resource` is what a refusal is about where its code does not say."""
        problem = _problem(exception)
        if isinstance(exception, KplanError):
            return exception
        if problem is None:
            return JournalBroken(f"{doing}: {self.mask.mask(f'{type(exception).__name__}: {exception}')}")
        return self.meant(problem, doing, resource)

    def meant(self, problem: KafkaError, doing: str, resource: str = "") -> KplanError:
        words = self.mask.mask(problem.str())
        if problem.code() in _ACLS:
            kind, operation = _ACLS[problem.code()]
            name, prefixed = (self.topic, False) if kind == "Topic" else (self.prefix, kind != "Cluster")
            lacking, help = missing(Acl(operation or resource, kind, name if kind != "Cluster" else "", prefixed),
                                    self.config)  # fmt: skip
            return Denied(f"{doing}: {lacking}", help=help)
        if problem.code() in _SILENT | _DENIED:
            found = self.contact.unreachable(f"{words} ({problem.name()})")
            return type(found)(f"{doing}: {found.message}", help=found.help, code=found.code)
        words = f"{doing}: {words} ({problem.name()})"
        if problem.code() == 35:
            return Unsupported(words)
        return JournalBroken(words)


_ACLS: Final[Mapping[int, tuple[str, str]]] = {  # the operation, where it is always the same one
    29: ("Topic", ""), 30: ("Group", ""), 31: ("Cluster", ""), 53: ("TransactionalId", "Write"),
}  # fmt: skip


# -- records ----------------------------------------------------------------------------------------------------------
def _dumped(data: Json) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def ledger_key(stack: str, address: Address) -> str:
    return f"stack/{stack}/{address}"


def _ledger_record(owned: Owned, claimed: int | None) -> Record:
    """`claimed` is the offset of the claim, which compaction removes with the record that first had it."""
    value = {"v": VERSION, **owned_to_json(owned), **({} if claimed is None else {"claimed": claimed})}
    return ledger_key(owned.stack, owned.address), value


def _lock_record(stack: str, holder: Holder, state: str) -> Record:
    return f"stack/{stack}/lock", {
        "v": VERSION, "state": state, "who": holder.who, "run": holder.run, "command": holder.command,
        "since": holder.since, "pid": holder.pid,
    }  # fmt: skip


def _journal_records(entry: Entry) -> list[Record]:
    """The entry, split where it has more than MOST_ITEMS items or MOST_BYTES bytes of them."""
    data = {"v": VERSION, **entry_to_json(entry)}
    parts = list(_parts(data["items"])) or [[]]
    key = f"stack/{entry.stack}/run/{entry.run}/{entry.seq}"
    if len(parts) == 1:
        return [(key, data)]
    about = [data["about"], *({} for _ in parts[1:])]
    return [(f"{key}/{n}", {**data, "items": items, "about": about[n], "part": n, "parts": len(parts)})
            for n, items in enumerate(parts)]  # fmt: skip


def _parts(items: Sequence[Json]) -> Iterator[list[Json]]:
    part: list[Json] = []
    size = 0
    for item in items:
        more = len(_dumped(item))
        if part and (len(part) == MOST_ITEMS or size + more > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += more
    if part:
        yield part


@dataclass(slots=True)
class Claim:
    """What one stack says of an address. Of several, the lowest `claimed` (an offset) is the owner's."""

    claimed: int
    owned: Owned


@dataclass(slots=True)
class RunLog:
    """The records of one run by `(seq, part)`, as they are in the topic. `first` and `last` are offsets.

    They were read once, to know that they can be; what they hold takes ten times the memory, and is seldom asked for.
    """

    stack: str
    run: str
    first: int
    last: int
    records: dict[tuple[int, int], bytes] = field(default_factory=dict)
    ends: set[tuple[int, int]] = field(default_factory=set)  # of the records, those with the event `end`
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return bool(self.ends)

    def entries(self) -> list[Entry]:
        """Raises ValueError for what is no entry, and for one of which a part is not there."""
        whole: dict[int, list[Json]] = {}
        for seq, part in sorted(self.records):
            whole.setdefault(seq, []).append(json.loads(self.records[seq, part]))
        return [self._joined(seq, parts) for seq, parts in sorted(whole.items())]

    def _joined(self, seq: int, parts: Sequence[Json]) -> Entry:
        wanted = parts[0].get("parts", 1)
        if len(parts) != wanted:
            raise ValueError(f"entry {seq} of run {self.run} has {len(parts)} of {wanted} parts")
        items = [item for part in parts for item in part["items"]]
        return entry_from_json(self.run, self.stack, seq, {**parts[0], "items": items})


@dataclass(slots=True)
class Log:
    """What the topic's records amount to, applied in the order of their offsets."""

    claims: dict[Address, dict[str, Claim]] = field(default_factory=dict)
    runs: dict[tuple[str, str], RunLog] = field(default_factory=dict)
    locks: dict[str, tuple[str, Holder]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)  # key -> where and why
    foreign: set[str] = field(default_factory=set)

    def put(self, offset: int, key: bytes | None, value: bytes | None, known: Json | None = None) -> None:
        """Applies one record; `known` is what it holds, where that need not be read.

        What cannot be read is remembered until a good record of its key comes.
        """
        text = (key or b"").decode(errors="replace")
        match text.split("/"):
            case ["stack", stack, "lock"] if stack:
                take: Callable[[Json | None], None] = lambda data: self._lock(stack, data)  # noqa: E731
            case ["stack", stack, "run", run, seq, *part] if _numbers(seq, *part) and len(part) < 2:
                at = int(seq), int(part[0]) if part else 0
                take = lambda data: self._entry(offset, text, (stack, run), at, data, value or b"")  # noqa: E731
            case ["stack", stack, "topic" | "connector" as kind, *name] if stack and "".join(name):
                take = lambda data: self._claim(offset, stack, Address(kind, "/".join(name)), data)  # noqa: E731
            case _:
                self.foreign.add(text)
                return
        self.broken.pop(text, None)
        try:
            take(_read(value) if known is None else known)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as cause:
            self.broken[text] = f"the record at offset {offset} (key {text}) cannot be read: {cause}"

    def _lock(self, stack: str, data: Json | None) -> None:
        if data is None:
            self.locks.pop(stack, None)
            return
        who, run, command, since, state = (str(data[key]) for key in ("who", "run", "command", "since", "state"))
        self.locks[stack] = state, Holder(who, run, command, since, int(data["pid"]))

    def _entry(self, offset: int, key: str, run: tuple[str, str], at: tuple[int, int], data: Json | None,
               value: bytes) -> None:  # fmt: skip
        log = self.runs.get(run)
        if data is None:
            if log is not None:
                log.records.pop(at, None)
                log.ends.discard(at)
                log.keys.pop(key, None)
                if not log.keys:
                    del self.runs[run]
            return
        if log is None:
            log = self.runs[run] = RunLog(*run, offset, offset)
        log.keys[key] = at  # what is torn is there, too: its run is not to be forgotten
        log.last = offset
        entry = entry_from_json(run[1], run[0], at[0], data)
        log.records[at] = value
        if entry.event == "end":
            log.ends.add(at)

    def _claim(self, offset: int, stack: str, address: Address, data: Json | None) -> None:
        if data is None:
            self.claims.get(address, {}).pop(stack, None)
            return
        owned = owned_from_json(address, data)
        if owned.stack != stack:
            raise ValueError(f"it names stack {owned.stack}, not {stack}")
        claimed = min(offset, int(data.get("claimed", offset)))
        self.claims.setdefault(address, {})[stack] = Claim(claimed, owned)

    def ledger(self) -> dict[Address, Owned]:
        """The rightful owner's record of each address: of several claims, the one with the lowest offset."""
        self.refuse_broken(lambda key: key.split("/")[2] in ("topic", "connector"))
        return {address: min(claims.values(), key=lambda each: each.claimed).owned
                for address, claims in sorted(self.claims.items()) if claims}  # fmt: skip

    def known_runs(self) -> list[RunLog]:
        self.refuse_broken(lambda key: key.split("/")[2] == "run")
        return sorted(self.runs.values(), key=lambda each: each.first)

    def refuse_broken(self, matters: Callable[[str], bool]) -> None:
        """Raises JournalBroken where a record that matters cannot be read."""
        wrong = [why for key, why in self.broken.items() if matters(key)]
        if wrong:
            raise JournalBroken("; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""),
                                help="with a newer kplan's record, use that kplan; else find out what the record was, "
                                "then write its key anew or produce an empty value for it")  # fmt: skip

    def of(self, stack: str) -> Log:
        """A copy of what is this stack's alone, for its holder to go on with."""
        claims = {address: {stack: each[stack]} for address, each in self.claims.items() if stack in each}
        runs = {key: replace(log, records=dict(log.records), ends=set(log.ends), keys=dict(log.keys))
                for key, log in self.runs.items() if key[0] == stack}  # fmt: skip
        return Log(claims, runs)

    def forgotten(self, stack: str, ending: str) -> list[str]:
        """Keys of the finished runs that are too many once the run `ending` has ended as well."""
        finished = [log for (owner, run), log in self.runs.items() if owner == stack and run != ending and log.ended]
        finished.sort(key=lambda each: each.last, reverse=True)
        return [key for log in finished[KEPT_RUNS - 1 :] for key in log.keys]


def _numbers(*texts: str) -> bool:
    return all(text.isascii() and text.isdigit() for text in texts)


def _read(value: bytes | None) -> Json | None:
    if not value:
        return None
    data = json.loads(value)
    if not isinstance(data, dict):
        raise ValueError(f"it is no object, but {type(data).__name__}")
    version = data.get("v")
    if not isinstance(version, int) or version < 1:
        raise ValueError("it has no version")
    if version > VERSION:
        raise ValueError(f"it was written by a newer kplan (format {version}, this one knows {VERSION})")
    return data


# -- the topic --------------------------------------------------------------------------------------------------------
class Cluster:
    """What is asked of the cluster about the topic and its groups. One AdminClient, kept alive (facts.md 1.2)."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._timeout = clients.timeout
        self._try = min(clients.timeout, TRY_SECONDS)
        settings = clients.settings("kplan-store", **{"allow.auto.create.topics": False})
        try:
            self._admin = AdminClient(settings, logger=clients.library)
        except (KafkaException, ValueError, TypeError) as exception:
            words = clients.mask.mask(str(_problem(exception) or exception))
            raise unusable(words, clients.config) from exception
        self._met = False

    def _answer(self, future: Future[T]) -> T:
        """The future's result; raises what it holds, or Timeout a little after the request's own."""
        end = time.monotonic() + self._timeout + 5
        while not wait([future], 0.05).done:
            self._admin.poll(0)
            if self._clients.contact.refused or time.monotonic() > end:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer"))
        return future.result()

    def _retried(self, ask: Callable[[], Future[T]]) -> T:
        """The answer, asked for again while a refusal may pass: a leader or coordinator is being chosen."""
        end = time.monotonic() + self._timeout
        while True:
            try:
                return self._answer(ask())
            except KafkaException as exception:
                if _code(exception) not in _PASSING - _SILENT - _GONE or time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def described(self) -> Any:
        """The topic as metadata has it; None where it is not there. A hidden one is Denied (29; facts.md 0)."""
        topic = self._clients.topic
        try:
            self._refresh()
            asking = TopicCollection([topic])
            return self._retried(lambda: self._admin.describe_topics(asking, request_timeout=self._timeout)[topic])
        except KafkaException as exception:
            if _code(exception) in _GONE:
                return None
            raise self._clients.said(exception, f"{topic} cannot be described", "Read") from exception

    def _refresh(self) -> None:
        """The client knows the living brokers: it asks the one it took for the controller, and that may be dead."""
        if not self._met:
            self._clients.contact.first_answer(self._admin, self._timeout, self._refusal)
            self._met = True
        end = time.monotonic() + self._timeout
        while True:
            try:
                self._admin.list_topics(self._clients.topic, timeout=self._try)
                return
            except KafkaException as exception:
                self._admin.poll(0)
                refused = self._clients.contact.refused
                if refused or _code(exception) not in _PASSING or time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def _refusal(self, exception: BaseException) -> KplanError:
        return self._clients.said(exception, f"{self._clients.topic} cannot be read", "Read")

    def end(self) -> int | None:
        """The offset behind the newest record, committed or not; None where the topic is gone."""
        partition = TopicPartition(self._clients.topic, 0)
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        try:
            found = self._retried(lambda: self._admin.list_offsets(
                {partition: latest}, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=self._timeout,
            )[partition])  # fmt: skip
            return int(found.offset)
        except KafkaException as exception:
            if _code(exception) in _GONE:
                return None
            raise self._clients.said(exception, f"{self._clients.topic} cannot be read", "Read") from exception

    def members(self, stack: str, right: str = "Read") -> Members:
        """Who is in the lock's group, asked without joining it. `right` is what the asker's purpose takes."""
        group = self._clients.group(stack)
        try:
            found = self._retried(
                lambda: self._admin.describe_consumer_groups([group], request_timeout=self._timeout)[group]
            )
        except KafkaException as exception:
            if _code(exception) == 69:  # GROUP_ID_NOT_FOUND
                return Members(True, ())
            problem = self._clients.said(exception, f"group {group} cannot be described", right)
            if isinstance(problem, Unreachable | JournalBroken):
                problem.help = self._no_coordinator("offsets.topic.replication.factor") or problem.help
            raise problem from exception
        settled = found.state in (ConsumerGroupState.STABLE, ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)
        here = self._clients.topic, 0
        return Members(settled, tuple(Member(m.client_id, here in _assigned_to(m)) for m in found.members))

    def _no_coordinator(self, setting: str) -> str:
        """A sentence on an internal topic that cannot be made, if that is so; empty where it is not known to be."""
        try:
            nodes = self._answer(self._admin.describe_cluster(request_timeout=self._timeout)).nodes
            resource = ConfigResource(ConfigResource.Type.BROKER, str(nodes[0].id))
            entries = self._answer(self._admin.describe_configs([resource], request_timeout=self._timeout)[resource])
            wanted = int(entries[setting].value)
        except (KafkaException, KeyError, ValueError, TypeError, IndexError):
            return ""
        return f"{setting} is {wanted}, and there are {len(nodes)} brokers: lower it" if wanted > len(nodes) else ""

    def no_transactions(self) -> KplanError:
        """Why a transactional producer cannot be had: it would try for ever (facts.md 5.2)."""
        setting = "transaction.state.log.replication.factor"
        why = self._no_coordinator(setting)
        told = f"the cluster gives no transactions within {self._timeout:g} s"
        return Unsupported(told + (f": {why}" if why else ""),
                           help=f"check {setting} and transaction.state.log.min.isr of the brokers")  # fmt: skip

    def make_sure(self) -> None:
        """The topic is there with settings that lose nothing. Raises JournalBroken for one that would."""
        found = self.described()
        if found is None:
            self._create()
            found = self._shown()
        if len(found.partitions) != 1:
            raise JournalBroken(f"topic {self._clients.topic} has {len(found.partitions)} partitions, not 1",
                                help="kplan's topic has one; let kplan make it, or name another")  # fmt: skip
        self._check(self._settings())

    def _create(self) -> None:
        topic = self._clients.topic
        try:
            nodes = self._answer(self._admin.describe_cluster(request_timeout=self._timeout)).nodes
            replicas = min(MOST_REPLICAS, max(1, len(nodes)))
            config = {**SETTINGS, "min.insync.replicas": str(max(1, replicas - 1))}
            asked = self._admin.create_topics(
                [NewTopic(topic, 1, replicas, config=config)], request_timeout=self._timeout
            )
            self._answer(asked[topic])
        except KafkaException as exception:
            if _code(exception) != KafkaError.TOPIC_ALREADY_EXISTS:
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

    def _settings(self) -> Mapping[str, str]:
        resource = ConfigResource(ConfigResource.Type.TOPIC, self._clients.topic)
        end = time.monotonic() + self._timeout
        while True:
            try:
                asked = self._admin.describe_configs([resource], request_timeout=self._timeout)
                return {name: entry.value for name, entry in self._answer(asked[resource]).items()}
            except KafkaException as exception:
                if _code(exception) in _GONE and time.monotonic() < end:  # a broker that has not heard of it yet
                    time.sleep(0.05)
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


class Reader:
    """Reads the topic to its end, each time from where it was. Not to be called by two threads at once."""

    def __init__(self, clients: Clients, cluster: Cluster) -> None:
        self._clients = clients
        self._cluster = cluster
        self._consumer: Consumer | None = None
        self._id: object = None
        self._position = 0
        self.log = Log()

    def read(self, expected: bool, patience: float | None) -> Log:
        """What all records of now amount to; nothing where there is no topic, unless it is `expected`.

        Open transactions are waited for; with `patience` only for so many seconds, and then what is committed counts.
        """
        found = self._described(expected)
        if found is None:
            self.close()
            return self.log
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
        return self.log

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
        consumer = self._opened()
        while self._position < end:
            message = consumer.poll(0.1)
            if message is not None:
                self._take(message)
            elif time.monotonic() > deadline and patience is not None:
                break
            elif time.monotonic() > deadline:
                raise self._stuck(end)

    def _stuck(self, end: int) -> KplanError:
        """Why it cannot be read to its end: whose transaction is open longer than brokers allow, or no leader.

        A broker that dies while a transaction ends, and is the only one, calls it complete when it is back and never
        ends it in the partition ("Couldn't find leader endpoint … can be skipped": TransactionMarkerChannelManager).
        """
        said = f"topic {self._clients.topic} could not be read beyond offset {self._position} of {end}"
        stacks = sorted(self._uncommitted(end))
        if not stacks:
            return Timeout(said, help="there may be no leader; try again")
        return Unended(f"{said}: a write of {', '.join(f'stack {each}' for each in stacks)} has no end", stacks)

    def _uncommitted(self, end: int) -> set[str]:
        """The stacks of the records from here on, committed or not."""
        found: set[str] = set()
        own = {"isolation.level": "read_uncommitted", "enable.partition.eof": True}
        consumer = self._clients.consumer("kplan-reader", self._clients.prefix + "reader", **own)
        try:
            consumer.assign([TopicPartition(self._clients.topic, 0, self._position)])
            deadline = time.monotonic() + TRY_SECONDS
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
            own = {"enable.partition.eof": True, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20}
            self._consumer = self._clients.consumer("kplan-reader", self._clients.prefix + "reader", **own)
            self._consumer.assign([TopicPartition(self._clients.topic, 0, self._position)])
        return self._consumer

    def _take(self, message: Any) -> None:
        """Applies a record, or notes how far the end is: an EOF's offset is behind markers and aborted records."""
        problem = message.error()
        if problem is None:
            if message.offset() < self._position:
                return
            known = len(self.log.foreign)
            self.log.put(message.offset(), message.key(), message.value())
            if len(self.log.foreign) > known:
                self._clients.logger.warning("%s: the record at offset %d is not kplan's, its key is %r",
                                             self._clients.topic, message.offset(), message.key())  # fmt: skip
            self._position = message.offset() + 1
        elif problem.code() == KafkaError._PARTITION_EOF:
            self._position = max(self._position, message.offset())
        elif problem.code() not in _PASSING | {30}:  # 30: the reader commits nothing, so its group does not matter
            raise self._clients.meant(problem, f"{self._clients.topic} cannot be read", "Read")

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._position, self.log, self._id = 0, Log(), None
        if consumer is not None:
            consumer.close()


# -- the lock ---------------------------------------------------------------------------------------------------------
class Membership:
    """One try to hold a group's partition. Its thread makes every call of the consumer, with a gap between polls."""

    def __init__(self, clients: Clients, group: str, holder: Holder, session: float) -> None:
        self.held = threading.Event()
        self.settled = threading.Event()  # the group has said who holds it, or there was an error
        self.lost = threading.Event()  # for ever: another may have held it since
        self.problem: KafkaError | None = None
        self._clients = clients
        self._stop = threading.Event()
        self._member: tuple[int, str] | None = None
        self._metadata = b""
        self._turn = threading.Lock()
        own = {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": round(session * 1000),
            "heartbeat.interval.ms": round(session * 200),
            "max.poll.interval.ms": round(max(LONGEST_POLL_SECONDS, session) * 1000),
            "auto.offset.reset": "latest",
        }
        self._consumer = clients.consumer(f"{CLIENT}{holder.who}/{holder.run}", group, **own)
        self._thread = threading.Thread(target=self._run, name=f"lock-{group}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._consumer.subscribe([self._clients.topic], on_assign=self._assigned, on_revoke=self._revoked,
                                     on_lost=self._revoked)  # fmt: skip
            while not self._stop.wait(GAP_SECONDS):
                message = self._consumer.poll(0.1)
                problem = message and message.error()
                if problem:
                    self._hear(problem)
                self._refresh()
        except Exception as exception:  # whatever it is, nobody holds anything any more
            self.problem = self.problem or _problem(exception) or KafkaError(KafkaError._FAIL, repr(exception))
        finally:
            self._end()

    def _end(self) -> None:
        self.lost.set()
        self.held.clear()
        self.settled.set()
        with suppress(Exception):  # it may be unusable; its session ends by itself then
            self._consumer.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        if partitions and not self.lost.is_set():
            consumer.pause(partitions)
            self.held.set()
            self._refresh()
        self.settled.set()

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self.lost.set()
            self.held.clear()
            consumer.incremental_unassign(partitions)

    def _hear(self, problem: KafkaError) -> None:
        """A refusal ends the try; anything else may pass."""
        if problem.code() in _DENIED | {26, 24, 35} or problem.fatal():
            self.problem = problem
            self.settled.set()
        else:
            self._clients.contact.note(problem)

    def _refresh(self) -> None:
        """The generation changes whenever a contender joins; the member id only when this one was put out."""
        if not self.held.is_set() or self.lost.is_set():
            return
        metadata = self._consumer.consumer_group_metadata()
        generation, member = _member(metadata)
        with self._turn:
            if self._member is not None and member and member != self._member[1]:
                self.lost.set()
                self.held.clear()
            elif generation >= 0 and member:
                self._member, self._metadata = (generation, member), metadata

    def metadata(self) -> bytes | None:
        """What brokers check a write against; None once the lock is lost.

        Never that of a client without a member id: brokers let such a one commit unchecked.
        """
        with self._turn:
            return self._metadata if self._metadata and self.held.is_set() and not self.lost.is_set() else None

    def leave(self, seconds: float) -> None:
        """The group is left, if that is possible in time; else the session ends by itself."""
        self._stop.set()
        self._thread.join(seconds)


def _member(metadata: bytes) -> tuple[int, str]:
    """Generation and member id in librdkafka's serialised metadata: `CGMDv2:`, an int, then texts ended by NUL."""
    magic, colon, rest = metadata.partition(b":")
    if not magic.startswith(b"CGMD") or not colon or len(rest) < 4:
        raise ValueError("this client's group metadata has another format than librdkafka's CGMD")
    (generation,) = struct.unpack("=i", rest[:4])
    return generation, rest[4:].split(b"\0")[1].decode()


class KafkaLock:
    """The lock of one stack, held. A write is accepted by the brokers only while it is."""

    def __init__(self, clients: Clients, cluster: Cluster, stack: str, holder: Holder, membership: Membership) -> None:
        self._clients = clients
        self._cluster = cluster
        self._stack = stack
        self._holder = holder
        self._membership = membership
        self._turn = threading.Lock()
        self._log = Log()
        self._released = False
        self._lost = ""
        self._right = "Write"  # what a refused write lacks
        self._renew()

    def _renew(self) -> None:
        """A producer that has not been told to begin; what an earlier one left open is aborted by its beginning."""
        holder, clients = self._holder, self._clients
        own = {
            "transactional.id": clients.group(self._stack),
            "transaction.timeout.ms": round(TRANSACTION_SECONDS * 1000),
            "linger.ms": 0,
            "message.max.bytes": 8_000_000,
            "batch.size": 900_000,
            "compression.type": "lz4",
        }
        name = f"{CLIENT}{holder.who}/{holder.run}"
        self._producer = Producer(clients.settings(name, **own), logger=clients.library)

    def begin(self, reader: Callable[[], Log]) -> None:
        """Predecessors are fenced and their open transaction is aborted; what they wrote is known; so is the holder."""
        try:
            self._producer.init_transactions(self._clients.timeout)
        except KafkaException as exception:
            if _code(exception) in _PASSING:
                raise self._cluster.no_transactions() from exception
            raise self._clients.said(exception, "no transactions for kplan") from exception
        # Written before anything is read: its end also ends what a broker that was killed left open of this stack's
        # last transaction, which readers would wait for in vain.
        self._commit([_lock_record(self._stack, self._holder, "held")])
        self._log = reader()

    def write(self, entries: Sequence[Entry] = (), ledger: Mapping[Address, Owned | None] | None = None) -> None:
        """All of it is in the topic, in one transaction. Records of other stacks are refused (ValueError)."""
        self._check_stack(entries, ledger or {})
        with self._turn:
            if self._released:
                raise JournalBroken(f"the lock of stack {self._stack} was released, so nothing more is written")
            records = [*self._ledger_records(ledger or {}), *self._journal_records(entries)]
            if records:
                self._commit(records)

    def release(self) -> None:
        """It is said to be released, if that can be; nothing can be written any more, and the group is left."""
        with self._turn:
            try:
                if not self._released and not self._lost and self._membership.metadata() is not None:
                    with suppress(KplanError):
                        self._commit([_lock_record(self._stack, self._holder, "released")])
            finally:
                self._released = True
                self._membership.leave(self._clients.timeout)

    def _check_stack(self, entries: Sequence[Entry], ledger: Mapping[Address, Owned | None]) -> None:
        others = {entry.stack for entry in entries} | {owned.stack for owned in ledger.values() if owned}
        if others - {self._stack}:
            raise ValueError(f"the lock of {self._stack} does not cover {', '.join(sorted(others - {self._stack}))}")

    def _ledger_records(self, ledger: Mapping[Address, Owned | None]) -> Iterator[Record]:
        for address, owned in ledger.items():
            claim = self._log.claims.get(address, {}).get(self._stack)
            key = ledger_key(self._stack, address)
            if owned is not None:
                yield _ledger_record(owned, claim.claimed if claim else None)
            elif claim is not None or key in self._log.broken:
                yield key, None

    def _journal_records(self, entries: Sequence[Entry]) -> Iterator[Record]:
        """Each entry's records; with an `end`, the removal of what is older than the newest runs."""
        for entry in entries:
            log = self._log.runs.get((self._stack, entry.run))
            if log is not None and any(seq == entry.seq for seq, _ in log.keys.values()):
                raise JournalBroken(
                    f"entry {entry.seq} of run {entry.run} is there already", help="see `kplan recover --list`"
                )
            yield from _journal_records(entry)
            if entry.event == "end":
                yield from ((key, None) for key in self._log.forgotten(self._stack, entry.run))

    # -- transactions -------------------------------------------------------------------------------------------------
    def _commit(self, records: Sequence[Record]) -> None:
        """The records are durable and of this holder. Raises JournalBroken; once the lock is lost, for ever."""
        encoded = [(key.encode(), None if data is None else _dumped(data)) for key, data in records]
        deadline = time.monotonic() + self._clients.timeout
        pause = 0.02
        while True:
            self._refuse_lost()
            try:
                offsets = self._transaction(encoded, deadline)
                break
            except KafkaException as exception:
                self._give_up(exception, deadline)
            except KplanError:
                raise
            except Exception as exception:  # of a fenced client, any call may raise anything (facts.md 5.1)
                self._lost = self._because(exception.__cause__ or exception)
                self._refuse_lost(exception)
            except BaseException as exception:  # an interrupt: how far the write came is not known
                self._lost = f"a write was cut off ({type(exception).__name__})"
                raise
            time.sleep(pause)
            pause = min(0.5, pause * 2)
        for (key, value), (_, data), offset in zip(encoded, records, offsets, strict=True):
            self._log.put(offset, key, value, data)

    def _transaction(self, encoded: Sequence[tuple[bytes, bytes | None]], deadline: float) -> list[int]:
        """One try. The offsets bind it to the member and generation: a transaction without them is no fence check."""
        offsets: dict[int, int] = {}
        failures: list[KafkaError] = []
        self._producer.begin_transaction()
        for number, (key, value) in enumerate(encoded):

            def told(problem: KafkaError | None, message: Any, number: int = number) -> None:
                if problem is not None:
                    failures.append(problem)
                else:
                    offsets[number] = message.offset()

            self._producer.produce(self._clients.topic, value, key, 0, on_delivery=told)
        self._producer.flush(max(0.1, deadline - time.monotonic()))
        metadata = self._membership.metadata()
        if metadata is None:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "the lock is not held"))
        where = [TopicPartition(self._clients.topic, 0, 0)]
        # After a failure this raises, too, and its error says why; a delivery's only says that it was purged.
        self._right = "Write" if failures else "Read"  # whoever commits offsets of a topic must be allowed to read it
        self._send_offsets(where, metadata, max(0.1, min(OFFSETS_SECONDS, deadline - time.monotonic())))
        if failures or len(offsets) < len(encoded):
            raise KafkaException(failures[0] if failures else KafkaError(KafkaError._TIMED_OUT, "not written in time"))
        self._end_transaction(deadline)
        return [offsets[number] for number in range(len(encoded))]

    def _send_offsets(self, where: list[TopicPartition], metadata: bytes, seconds: float) -> None:
        """As the client's own, but it ends: the client's may hang once the group's coordinator has died (2.16.0).

        A producer that hangs is given up for a new one, while the group's membership says that the lock is still held.
        """
        outcome: Future[None] = Future()
        producer = self._producer

        def send() -> None:
            try:
                producer.send_offsets_to_transaction(where, metadata, seconds)
                outcome.set_result(None)
            except BaseException as exception:
                outcome.set_exception(exception)

        threading.Thread(target=send, name="offsets", daemon=True).start()
        if not wait([outcome], seconds + 2).done:
            self._refuse_lost()
            self._renew()
            self._producer.init_transactions(self._clients.timeout)
            raise KafkaException(KafkaError(KafkaError._RETRY, "the group's coordinator changed"))
        outcome.result()

    def _end_transaction(self, deadline: float) -> None:
        """A commit whose answer is late is asked for again: the coordinator knows whether it was."""
        while True:
            try:
                self._producer.commit_transaction(max(0.1, deadline - time.monotonic()))
                return
            except KafkaException as exception:
                problem = _problem(exception)
                if problem is None or not problem.retriable() or problem.txn_requires_abort():
                    raise
                if time.monotonic() > deadline:
                    self._lost = "whether the last write took effect is not known"
                    raise JournalBroken(f"{self._clients.topic} cannot be written: {problem.str()}; {self._lost}",
                                        help="see `kplan recover`") from exception  # fmt: skip

    def _give_up(self, exception: KafkaException, deadline: float) -> None:
        """Returns if another try is right: the transaction is undone then. Otherwise raises."""
        problem = _problem(exception)
        code = _code(exception)
        if code == KafkaError._RETRY:
            return  # with a new producer, which has nothing open
        if problem is None or problem.fatal() or code in _EVICTED:
            self._lost = self._because(exception)
        else:
            self._abort(deadline)
        if code in _HOPELESS:
            raise self._unwritten(exception) from exception
        self._refuse_lost(exception)
        late = time.monotonic() > deadline
        if code in _STALE_GENERATION and late:
            self._lost = "the group has another generation"
            self._refuse_lost(exception)
        if late:
            raise self._unwritten(exception) from exception

    def _because(self, exception: BaseException) -> str:
        return "another run took over" if _code(exception) in _EVICTED else self._clients.mask.mask(str(exception))

    def _abort(self, deadline: float) -> None:
        """The open transaction is undone; where that cannot be, the lock counts as lost."""
        while True:
            try:
                self._producer.abort_transaction(5.0)
                return
            except KafkaException as exception:
                problem = _problem(exception)
                if problem is None or not problem.retriable() or time.monotonic() > deadline:
                    self._lost = self._clients.mask.mask(str(problem or exception))
                    return

    def _unwritten(self, exception: KafkaException) -> KplanError:
        said = self._clients.said(exception, f"{self._clients.topic} cannot be written", self._right)
        return said if isinstance(said, Denied) else JournalBroken(said.message, help=said.help)

    def _refuse_lost(self, cause: BaseException | None = None) -> None:
        if not self._lost and self._membership.lost.is_set():
            self._lost = "its session ended"
        if self._lost:
            message = f"the lock of stack {self._stack} was lost: {self._lost}{self._successor()}"
            raise JournalBroken(message, help="nothing more is changed by this run; see `kplan recover`") from cause

    def _successor(self) -> str:
        with suppress(KplanError):
            found = self._cluster.members(self._stack).holding(None)
            if found is not None and found.run != self._holder.run:
                return f"; {found.who} has it now (run {found.run})"
        return ""


# -- the store --------------------------------------------------------------------------------------------------------
class KafkaStore:
    """The store in `topic` of the cluster that `config` (of librdkafka) reaches. Times are seconds.

    Reading a topic that is not there sees nothing; the first lock makes it. `secrets` are hidden in all that is said.
    `session_timeout` is how long a killed holder keeps the lock; brokers allow `group.min.session.timeout.ms` (6 s)
    and more.
    """

    def __init__(self, config: Mapping[str, str], topic: str = TOPIC, *, request_timeout: float = 30.0,
                 secrets: Sequence[str] = (), session_timeout: float = 10.0) -> None:  # fmt: skip
        self.where = topic
        mask = Mask(secrets)
        loggers = logging.Logger("kplan.store"), logging.Logger("kplan.kafka")  # own ones: their filters end with them
        for logger, parent in zip(loggers, ("kplan", "kplan.kafka"), strict=True):
            logger.parent = logging.getLogger(parent)
            logger.addFilter(MaskingFilter(mask))
        self._clients = Clients(config, topic, request_timeout, mask, *loggers, Contact(config, mask))
        self._session = session_timeout
        self._turn = threading.RLock()
        self._asked: Cluster | None = None
        self._reader: Reader | None = None
        self._expected = False  # the topic is known to exist: its absence is a broker's ignorance

    @property
    def _cluster(self) -> Cluster:
        with self._turn:
            if self._asked is None:
                self._asked = Cluster(self._clients)
            return self._asked

    def ledger(self) -> Mapping[Address, Owned]:
        """Every stack's records. Where two stacks claim one address, it is the first one's."""
        return self._read(Log.ledger)

    def runs(self) -> Sequence[str]:
        """Ids of all runs, the one that began first comes first."""
        return self._read(lambda log: [each.run for each in log.known_runs()])

    def entries(self, run: str) -> Sequence[Entry]:
        """The records of `run` by their `seq`; none where there is no such run."""

        def found(log: Log) -> list[Entry]:
            log.refuse_broken(lambda key: key.split("/")[2:4] == ["run", run])
            return [entry for (_, name), each in log.runs.items() if name == run for entry in each.entries()]

        return self._read(found)

    def open_runs(self) -> Sequence[str]:
        """Ids of the runs without an `end`, oldest first."""
        return self._read(lambda log: [each.run for each in log.known_runs() if not each.ended])

    def holder(self, stack: str) -> Holder | None:
        """Who holds the lock now, asked of the group's coordinator; nobody is fenced or moved by it."""
        with self._explained():
            if self._cluster.described() is None:  # the question would make Kafka's topic of offsets
                return None
            end = time.monotonic() + self._session
            while True:
                members = self._cluster.members(stack, "Describe")
                found = self._named(members, stack)
                if found is not None or members.settled or time.monotonic() > end:
                    return found
                time.sleep(0.1)

    def lock(self, stack: str, holder: Holder, timeout: float) -> AbstractContextManager[Lock]:
        return self._locked(stack, holder, timeout)

    def close(self) -> None:
        """Connections are closed; a later call opens them anew."""
        with self._turn:
            if self._reader is not None:
                self._reader.close()
            self._reader = self._asked = None

    # -- reading ------------------------------------------------------------------------------------------------------
    def _read(self, look: Callable[[Log], T], patience: float | None = None) -> T:
        """What `look` makes of the records. Without `patience` (seconds), open transactions are waited for."""
        with self._turn, self._explained():
            if self._reader is None:
                self._reader = Reader(self._clients, self._cluster)
            return look(self._reader.read(self._expected, patience))

    def _named(self, members: Members, stack: str) -> Holder | None:
        """The holder with command and time, which the lock's record has."""
        if not members.members:
            return None
        recorded = self._read(lambda log: log.locks.get(stack), NAMING_SECONDS)
        return members.holding(recorded)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """No error of the client or of unreadable data gets out but as a sentence that names the topic."""
        try:
            yield
        except KplanError as failure:
            if self.where not in failure.message and not isinstance(failure, Locked | Denied | Unreachable | Invalid):
                failure.message = f"{self.where}: {failure.message}"
                failure.args = (failure.message,)
            raise
        except KafkaException as failure:
            raise self._clients.said(failure, f"the state in {self.where} cannot be used") from failure
        except ValueError as failure:
            raise JournalBroken(f"the state in {self.where} cannot be used: a record cannot be read: {failure}",
                                help="see which run it is with `kplan recover --list`") from failure  # fmt: skip

    # -- locking ------------------------------------------------------------------------------------------------------
    @contextmanager
    def _locked(self, stack: str, holder: Holder, timeout: float) -> Iterator[Lock]:
        with self._explained():
            self._cluster.make_sure()
            self._expected = True
            held = self._acquire(stack, holder, timeout)
        try:
            yield held
        finally:
            held.release()

    def _acquire(self, stack: str, holder: Holder, timeout: float) -> KafkaLock:
        """Raises Locked when somebody else has it and `timeout` is over.

        Joining costs the holder one try of a write, so it is done only where nobody holds it. Of those who join at
        once one gets it; the others leave. While the group is rebalancing, brokers do not say who that is.
        """
        began = time.monotonic()
        while True:
            members = self._cluster.members(stack)
            if members.free:
                held = self._join(stack, holder)
                if held is not None:
                    return held
                members = self._cluster.members(stack)
            other = self._named(members, stack)
            allowed = timeout if other is not None else max(timeout, self._session + 5)
            left = began + allowed - time.monotonic()
            if left <= 0:
                raise _refusal(stack, other, self._session)
            longest = POLL_SECONDS if other is not None else 0.2
            time.sleep(min(left, longest * random.uniform(0.5, 1.0)))

    def _join(self, stack: str, holder: Holder) -> KafkaLock | None:
        """The lock; None where another one got it first."""
        membership = Membership(self._clients, self._clients.group(stack), holder, self._session)
        try:
            membership.settled.wait(max(self._clients.timeout, 2 * self._session))
            if membership.problem is not None:
                raise self._refused(membership.problem, stack)
            if membership.held.is_set():
                held = KafkaLock(self._clients, self._cluster, stack, holder, membership)
                held.begin(lambda: self._read(lambda log: log.of(stack)))
                return held
        except BaseException as failure:
            late = membership.lost.is_set()
            membership.leave(self._clients.timeout)
            if isinstance(failure, JournalBroken) and late:
                return None  # this process was too slow, and somebody else has it now
            raise
        membership.leave(self._clients.timeout)
        return None

    def _refused(self, problem: KafkaError, stack: str) -> KplanError:
        group = self._clients.group(stack)
        if problem.code() == 26:  # INVALID_SESSION_TIMEOUT
            return Unsupported(f"the brokers do not allow a session of {self._session:g} s",
                               help="see the brokers' group.min.session.timeout.ms and …max…")  # fmt: skip
        return self._clients.meant(problem, f"group {group} cannot be joined", "Read")


def _refusal(stack: str, holder: Holder | None, session: float) -> Locked:
    words = "another process"
    if holder is not None:
        since = f" since {holder.since}: {holder.command}" if holder.since else ""
        words = f"{holder.who}{since} (run {holder.run}" + (f", pid {holder.pid})" if holder.pid else ")")
    return Locked(f"stack {stack} is locked by {words}",
                  help=f"wait for it with `--lock-timeout 60s`; a killed run's ends after {session:g} s")  # fmt: skip
