"""Replicas of topics on real brokers, moved by partition reassignment (KIP-455), throttled (KIP-73) and awaited.

librdkafka (2.16) can neither reassign partitions nor ask for the sizes of logs, so kafka-python does, which is an
extra: `kplan[reassign]`. All else goes through the one client that is there already.
"""

from __future__ import annotations

import importlib.util
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclOperation,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from kplan.diagnostics import Denied, ErrorClass, KplanError, Rejected, Timeout, Unsupported, codes
from kplan.kinds.topic.options import Reassignment, Replicas, reassignment_of
from kplan.kinds.topic.placement import FOLLOWER_RATE, FOLLOWERS, LEADER_RATE, LEADERS, Placement, involved, throttled
from kplan.model import Address, Change, Topic
from kplan.servers import topics as shared
from kplan.servers.base import Outcome, Progress
from kplan.servers.permissions import Acl

if TYPE_CHECKING:
    from kplan.servers.kafka.client import Client

T = TypeVar("T")
Failures = dict[str, KplanError | None]  # by topic; None: it is so

PARTITIONS_AT_ONCE: Final = 1_000  # in a request
LONGEST_PAUSE: Final = 2.0  # between two looks
TELL_SECONDS: Final = 10.0  # between two words about the progress; after the first, that come sooner
NOTHING_UNDER_WAY: Final = 85  # NO_REASSIGNMENT_IN_PROGRESS: it has ended meanwhile
RATES: Final = (LEADER_RATE, FOLLOWER_RATE)
RIGHTS: Final = {"Alter": AclOperation.ALTER, "AlterConfigs": AclOperation.ALTER_CONFIGS}
DYNAMIC_ON_THE_BROKER: Final = 2  # ConfigSource.DYNAMIC_BROKER_CONFIG: set for this broker by its number
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_SECURITY: Final = ("ssl.", "sasl.", "security.", "enable.ssl.", "enable.sasl.", "https.")
_MAPPED: Final = frozenset({
    "security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password", "ssl.ca.location",
    "ssl.certificate.location", "ssl.key.location", "ssl.key.password", "ssl.crl.location",
    "ssl.endpoint.identification.algorithm", "enable.ssl.certificate.verification",
})  # fmt: skip


def is_installed() -> bool:
    """Whether the extra is there."""
    try:
        return importlib.util.find_spec("kafka") is not None
    except ValueError:
        return False


# -- librdkafka's settings in kafka-python's names --------------------------------------------------------------------
def settings(config: Mapping[str, str]) -> dict[str, Any]:
    """What kafka-python needs to reach the same brokers as the same user. Raises Unsupported for what it cannot do.

    Only what decides who is trusted and who one is must have its counterpart; how librdkafka buffers or logs need not.
    """
    other = sorted(key for key in config if key.startswith(_SECURITY) and key not in _MAPPED)
    if other:
        raise _unmapped(other[0])
    servers = config.get("bootstrap.servers") or config.get("metadata.broker.list", "")
    protocol = config.get("security.protocol", "plaintext").upper()
    found: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in servers.split(",") if server.strip()],
        "security_protocol": protocol,
    }
    if protocol.startswith("SASL"):
        mechanism = (config.get("sasl.mechanism") or config.get("sasl.mechanisms") or "GSSAPI").upper()
        if mechanism not in _MECHANISMS:
            raise _unmapped(f"sasl.mechanism {mechanism}")
        found |= {
            "sasl_mechanism": mechanism,
            "sasl_plain_username": config.get("sasl.username", ""),
            "sasl_plain_password": config.get("sasl.password", ""),
        }
    return found | ({"ssl_context": _context(config)} if protocol.endswith("SSL") else {})


def _unmapped(what: str) -> Unsupported:
    return Unsupported(
        f"the client that moves replicas has no counterpart of {what}",
        code=codes.K328,
        help="name brokers that it can log in to (PLAIN or SCRAM, certificates as PEM files) in an environment of its "
        "own, or run kafka-reassign-partitions.sh",
    )


def _context(config: Mapping[str, str]) -> ssl.SSLContext:
    """Trust and certificate as librdkafka has them: names are checked unless that is turned off."""
    place = config.get("ssl.ca.location", "")
    authority = place if place != "probe" else ""
    folder = authority if authority and Path(authority).is_dir() else None
    try:
        context = ssl.create_default_context(cafile=None if folder else authority or None, capath=folder)
        if config.get("enable.ssl.certificate.verification", "true").lower() == "false":
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        elif config.get("ssl.endpoint.identification.algorithm", "https") == "none":
            context.check_hostname = False
        if revoked := config.get("ssl.crl.location"):
            context.load_verify_locations(revoked)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        if certificate := config.get("ssl.certificate.location"):
            context.load_cert_chain(certificate, config.get("ssl.key.location"), config.get("ssl.key.password"))
    except OSError as e:
        raise Denied(f"a certificate of the environment cannot be used: {e}", code=codes.K317) from e
    return context


# -- the client -------------------------------------------------------------------------------------------------------
class Mover:
    """kafka-python's admin client, made when it is first needed, its failures as errors of ours."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._made: Any = None

    def _admin(self) -> Any:
        if self._made is None:
            from kafka import KafkaAdminClient

            milliseconds = int(self._client.timeout * 1000)
            asked = settings(self._client.config) | {"client_id": self._client.name}
            asked |= {"request_timeout_ms": milliseconds, "bootstrap_timeout_ms": milliseconds}
            self._made = KafkaAdminClient(**asked)
        return self._made

    def close(self) -> None:
        if self._made is not None:
            self._made.close()
            self._made = None

    def _asked(self, ask: Callable[[Any], T]) -> T:
        """The answer. Raises what became of it, as an error of ours."""
        try:
            return ask(self._admin())
        except KplanError:
            raise
        except Exception as exception:  # the library lets some of Python's own through
            raise self._mapped(exception) from exception

    def _mapped(self, exception: Exception) -> KplanError:
        from kafka import errors

        words = str(exception).partition(" failed with response ")[0]
        if isinstance(exception, errors.BrokerResponseError) and exception.errno >= 0:
            return self._client.coded(exception.errno, words)
        return Timeout(f"no answer: {words or type(exception).__name__}")

    def under_way(self, topics: Mapping[str, Iterable[int]]) -> dict[tuple[str, int], tuple[int, ...]]:
        """Those of the partitions that are being moved now, and the brokers that they are moved to."""
        asked = {name: list(partitions) for name, partitions in topics.items()}
        answer = self._client.retried(lambda: self._asked(lambda admin: admin.list_partition_reassignments(asked)))
        return {
            (place.topic, place.partition): tuple(b for b in each["replicas"] if b not in each["removing_replicas"])
            for place, each in answer.items()
        }

    def send(self, topics: Mapping[str, Replicas]) -> Failures:
        """Asks for these replicas. What is moved there already goes on, and what is moved elsewhere is cancelled first.

        A reassignment that replaces one under way never ends: Kafka 4.3 keeps the new replicas as being added and as
        being removed at once (measured; `ReplicationControlManager.changePartitionReassignment`).
        """
        wanted = {(name, p): replicas for name, each in topics.items() for p, replicas in sorted(each.items())}
        found: Failures = dict.fromkeys(topics)
        try:
            going = self.under_way(topics)
        except KplanError as failure:
            return dict.fromkeys(topics, failure)
        elsewhere = [place for place, replicas in going.items() if replicas != wanted[place]]
        for asked in (dict.fromkeys(elsewhere), {p: r for p, r in wanted.items() if p not in going or p in elsewhere}):
            self._ask_for(asked, found)
        return found

    def _ask_for(self, wanted: Mapping[tuple[str, int], Sequence[int] | None], found: Failures) -> None:
        """Asks for replicas (None: cancels), but of no topic that failed; adds what failed to `found`."""
        from kafka import TopicPartition

        for batch in shared.batches(wanted, lambda _: 1, PARTITIONS_AT_ONCE):
            asked = {TopicPartition(*place): wanted[place] for place in batch if found[place[0]] is None}
            try:
                answers = self._sent(asked) if asked else {}
            except KplanError as failure:
                found |= {place.topic: failure for place in asked}
                continue
            for place, refusal in answers.items():
                if refusal is not None and not (refusal.errno == NOTHING_UNDER_WAY and asked[place] is None):
                    words = f"partition {place.partition}: {refusal.__name__}"
                    found[place.topic] = found[place.topic] or self._client.coded(refusal.errno, words)

    def _sent(self, wanted: Mapping[Any, Sequence[int] | None]) -> Mapping[Any, Any]:
        return self._client.retried(
            lambda: self._asked(lambda admin: dict(admin.alter_partition_reassignments(dict(wanted))))
        )

    def sizes(self, topics: Mapping[str, Iterable[int]], brokers: Iterable[int]) -> dict[tuple[int, str, int], int]:
        """Bytes of each replica by broker, topic and partition; empty where this user may not know them."""
        asked = {name: list(partitions) for name, partitions in topics.items()}
        try:
            answer = self._asked(lambda admin: admin.describe_log_dirs(asked, list(brokers)))
        except KplanError:
            return {}
        return {
            (each["broker"], topic["name"], replica["partition_index"]): replica["partition_size"]
            for each in answer
            for folder in each["log_dirs"]
            for topic in folder["topics"]
            for replica in topic["partitions"]
            if not replica["is_future_key"]
        }


# -- the reassignments ------------------------------------------------------------------------------------------------
class Reassignments:
    """Plans, sends and awaits the reassignments of topics. `throttle` is bytes a second for each broker, None: any."""

    def __init__(self, client: Client, timeout: float, throttle: int | None) -> None:
        self._client, self._timeout, self._throttle = client, timeout, throttle
        self._mover = Mover(client)
        self._kept: dict[str, frozenset[str]] = {}  # by topic: the throttles that somebody else had set before

    def close(self) -> None:
        self._mover.close()

    # -- reading ------------------------------------------------------------------------------------------------------
    def placement(self, names: Iterable[str]) -> Placement:
        """Where the replicas of the topics that are listed are, with their sizes where these can be known."""
        listed = self._client.metadata()
        brokers = self._brokers(listed)
        replicas = {name: _replicas(listed.topics[name]) for name in dict.fromkeys(names) if name in listed.topics}
        movable = is_installed() and self._unmapped() is None
        sizes = self._sizes(replicas, brokers) if movable else {}
        return Placement(brokers, replicas, sizes, movable, self._throttle)

    def _brokers(self, listed: Any) -> dict[int, str]:
        """The living brokers and their racks."""
        racks = {node.id: node.rack or "" for node in self._client.cluster().nodes}
        return {broker: racks.get(broker, "") for broker in sorted(listed.brokers)}

    def _unmapped(self) -> KplanError | None:
        try:
            settings(self._client.config)
        except KplanError as problem:
            return problem
        return None

    def _sizes(self, replicas: Mapping[str, Replicas], brokers: Iterable[int]) -> dict[tuple[str, int], int]:
        """The largest replica of each partition: those that are behind are smaller."""
        found: dict[tuple[str, int], int] = {}
        for (_, name, partition), size in self._mover.sizes(replicas, brokers).items():
            found[name, partition] = max(size, found.get((name, partition), 0))
        return found

    # -- checking -----------------------------------------------------------------------------------------------------
    def problems(self, updates: Sequence[Change]) -> Failures:
        """Why a replication factor cannot be had, for each of the updates that ask for one."""
        wanting = [change for change in updates if shared.new_factor(change) is not None or reassignment_of(change)]
        if not wanting:
            return {}
        listed = self._client.metadata()
        brokers, installed = self._brokers(listed), is_installed()
        found: Failures = {}
        for change in wanting:
            there = listed.topics.get(change.address.name)
            now = {} if there is None else _replicas(there)
            found[change.address.name] = (
                (self._unmapped() if installed and reassignment_of(change) is None else None)
                or shared.no_reassignment(change, now, brokers, installed)
                or (_dead(moved, brokers) if (moved := reassignment_of(change)) else None)
            )
        able = {c.address.name: moved for c in wanting if (moved := reassignment_of(c)) and not found[c.address.name]}
        return found | (self._hindrances(able) if able else {})

    def _hindrances(self, moves: Mapping[str, Reassignment]) -> Failures:
        """What of the cluster is in the way: another reassignment, or a right that is missing."""
        if not is_installed():
            help = "pip install 'kplan[reassign]'"
            missing = Unsupported("moving replicas takes a client that is not installed", code=codes.K327, help=help)
            return dict.fromkeys(moves, missing)
        try:
            if problem := self._forbidden(moves.values()):
                return dict.fromkeys(moves, problem)
            going = self._mover.under_way({name: moved.before for name, moved in moves.items()})
        except KplanError as problem:
            return dict.fromkeys(moves, self._client.named(problem, Acl("Describe", "Cluster")))
        busy = {name for name, _ in going}
        return {name: _busy(name, [p for each, p in going if each == name]) if name in busy else None for name in moves}

    def _forbidden(self, moves: Iterable[Reassignment]) -> KplanError | None:
        """The right that this user lacks. Without an authorizer there are all, without Describe none."""
        ask = partial(self._client.admin.describe_cluster, include_authorized_operations=True)
        answer = self._client.answers({"": ask(request_timeout=self._client.timeout)})[""]
        if isinstance(answer, KplanError):
            return None
        allowed = answer.authorized_operations or ()
        needed = ["Alter"]
        if any(moved.throttle is not None and throttled(moved)[FOLLOWERS] for moved in moves):
            needed.append("AlterConfigs")
        lacking = next((name for name in needed if RIGHTS[name] not in allowed), None)
        return self._client.missing(Acl(lacking, "Cluster")) if lacking else None

    # -- acting -------------------------------------------------------------------------------------------------------
    def capture(self, changes: Sequence[Change]) -> dict[Address, Mapping[str, Any]]:
        """Where the replicas are, and which throttles are set already: those are left as they are."""
        moving = [change for change in changes if reassignment_of(change) is not None]
        if not moving:
            return {}
        listed = self._client.metadata()
        found: dict[Address, Mapping[str, Any]] = {}
        for change in moving:
            there = listed.topics.get(change.address.name)
            found[change.address] = shared.remembered(change, {} if there is None else _replicas(there))
        limited = [c for c in moving if (moved := reassignment_of(c)) and moved.throttle is not None]
        rates = self._rates(involved([moved for c in limited if (moved := reassignment_of(c))]))
        for change in limited:
            config = change.before.config if isinstance(change.before, Topic) else {}
            own = [key for key in (LEADERS, FOLLOWERS) if key in config]
            found[change.address] = {**found[change.address], "kept": [*rates, *own]}
        return found

    def _rates(self, brokers: Iterable[int]) -> list[str]:
        """The rates that are set on these brokers, as `BROKER/KEY`."""
        found = []
        for broker in brokers:
            resource = ConfigResource(ConfigResource.Type.BROKER, str(broker))
            ask = partial(self._client.admin.describe_configs, [resource], request_timeout=self._client.timeout)
            answer = next(iter(self._client.asked(ask).values()))
            if isinstance(answer, KplanError):
                raise self._client.named(answer, Acl("DescribeConfigs", "Cluster"))
            found += [
                f"{broker}/{key}" for key in RATES if key in answer and answer[key].source == DYNAMIC_ON_THE_BROKER
            ]
        return found

    def send(self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]) -> Failures:
        """The reassignments are under way, throttled before they begin."""
        moves = {c.address.name: moved for c in changes if (moved := reassignment_of(c)) is not None}
        if not moves:
            return {}
        if not is_installed():
            return self._hindrances(moves)
        self._kept |= {a.name: frozenset(kept.get("kept", ())) for a, kept in captured.items() if a.name in moves}
        try:
            self._set_throttle(moves)
        except KplanError as problem:
            self._lifted(moves)
            return dict.fromkeys(moves, problem)
        answers = self._mover.send({name: moved.after for name, moved in moves.items()})
        found: Failures = {
            name: None if problem is None else self._client.named(problem, Acl("Alter", "Cluster"))
            for name, problem in answers.items()
        }
        if all(found.values()):
            self._lifted(moves)
        for refused in filter(None, found.values()):
            refused.applied = None  # other partitions of the topic may have been taken
        return found

    # -- the throttle -------------------------------------------------------------------------------------------------
    def _set_throttle(self, moves: Mapping[str, Reassignment]) -> None:
        """Brokers and topics are told what to throttle, as `kafka-reassign-partitions.sh --throttle` does it."""
        for key, rate in self._owned_rates(moves, adding=True).items():
            broker, _, name = key.partition("/")
            self._alter(ConfigResource.Type.BROKER, broker, {name: str(rate)})
        for name, moved in moves.items():
            own = {k: v for k, v in throttled(moved).items() if v and k not in self._kept.get(name, ())}
            if moved.throttle is not None and own:
                self._alter(ConfigResource.Type.TOPIC, name, dict(own))

    def _owned_rates(self, moves: Mapping[str, Reassignment], adding: bool = False) -> dict[str, int]:
        """The rates that are kplan's to set, or to take away."""
        found: dict[str, int] = {}
        for name, moved in moves.items():
            if moved.throttle is None or (adding and not throttled(moved)[FOLLOWERS]):
                continue
            keys = [f"{broker}/{key}" for broker in involved([moved]) for key in RATES]
            found |= {key: moved.throttle for key in keys if key not in self._kept.get(name, ())}
        return found

    def _lift_throttle(self, moves: Mapping[str, Reassignment]) -> None:
        """No broker and no topic has a throttle that kplan has set. Raises what kept it from that."""
        mine: dict[str, list[str]] = {}
        for key in self._owned_rates(moves):
            broker, _, name = key.partition("/")
            mine.setdefault(broker, []).append(name)
        for broker, names in mine.items():
            self._alter(ConfigResource.Type.BROKER, broker, dict.fromkeys(names))
        for name, moved in moves.items():
            own = [key for key in (LEADERS, FOLLOWERS) if key not in self._kept.get(name, ())]
            if moved.throttle is not None and own:
                self._alter(ConfigResource.Type.TOPIC, name, dict.fromkeys(own))

    def _lifted(self, moves: Mapping[str, Reassignment]) -> KplanError | None:
        """Why a throttle of kplan's is left, if one is."""
        try:
            self._lift_throttle(moves)
        except KplanError as problem:
            left = KplanError(
                f"a throttle of replication may be left: {problem.message}", code=codes.K528, help=problem.help
            )
            left.applied = None
            return left
        return None

    def _alter(self, kind: Any, name: str, values: Mapping[str, str | None]) -> None:
        """Sets configs of a broker or a topic, or takes them away (None). Raises what the brokers refuse."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.DELETE if value is None else
                        AlterConfigOpType.SET)
            for key, value in values.items()
        ]  # fmt: skip
        right = (
            Acl("AlterConfigs", "Topic", name) if kind == ConfigResource.Type.TOPIC else Acl("AlterConfigs", "Cluster")
        )

        def alter() -> None:
            resource = ConfigResource(kind, name, incremental_configs=entries)
            ask = partial(self._client.admin.incremental_alter_configs, [resource])
            answer = next(iter(self._client.asked(partial(ask, request_timeout=self._client.timeout)).values()))
            if isinstance(answer, KplanError):
                raise self._client.named(answer, right)

        self._client.retried(alter)

    # -- settling -----------------------------------------------------------------------------------------------------
    def settle(self, changes: Sequence[Change], progress: Progress) -> dict[Address, Outcome]:
        """Returns once every replica is where it is to be and in sync, or time is up; no throttle is left then."""
        moves = {c.address.name: moved for c in changes if (moved := reassignment_of(c)) is not None}
        if not moves:
            return {}
        waiting = dict(moves)
        problem: KplanError | None = None
        try:
            problem = self._await(waiting, progress)
        except KplanError as stopped:  # by a person, through `progress`
            problem = stopped
        left = self._lifted(moves)
        late = Outcome(self._late(problem), unsure=True)  # it goes on without anyone's doing
        return {Address("topic", n): late if n in waiting else Outcome(left) for n in moves}

    def _late(self, problem: KplanError | None) -> KplanError:
        if problem is not None and problem.error_class is ErrorClass.FATAL:
            return problem
        cause = f" ({problem.message})" if problem else ""
        return Timeout(
            f"not all replicas are in sync after {self._timeout:g} s{cause}",
            code=codes.K527,
            help="give it more time, `timeouts: {reassign: 4h}`, or a wider `reassign: {throttle: …}` in kplan.yaml",
        )

    def _await(self, waiting: dict[str, Reassignment], progress: Progress) -> KplanError | None:
        """Takes out of `waiting` what is moved until nothing is left or time is up; the trouble, if any."""
        began = told = time.monotonic()
        pause, silence = 0.05, 2.0
        problem: KplanError | None = None
        while waiting:
            try:
                left = self._left(waiting)
                for name in [name for name, partitions in left.items() if not partitions]:
                    del waiting[name]
                problem = None
            except KplanError as trouble:
                problem = trouble
                if trouble.error_class is ErrorClass.FATAL:
                    break
            now = time.monotonic()
            if not waiting or now - began > self._timeout:
                break
            if problem is None and now - told > silence:
                told, silence = now, TELL_SECONDS
                copied = self._copied(waiting)
                for name in waiting:
                    progress(Address("topic", name), _words(waiting[name], left[name], copied.get(name)))
            time.sleep(min(pause, max(0.0, self._timeout - (now - began))))
            pause = min(LONGEST_PAUSE, pause * 1.5)
        return problem

    def _left(self, waiting: Mapping[str, Reassignment]) -> dict[str, set[int]]:
        """The partitions of each topic that are not where they are to be, or have a replica that is not in sync."""
        going = self._mover.under_way({name: moved.after for name, moved in waiting.items()})
        listed = self._client.metadata().topics
        found = {}
        for name, moved in waiting.items():
            there = listed[name].partitions if name in listed else {}
            found[name] = {
                p
                for p, replicas in moved.after.items()
                if (name, p) in going or p not in there or not _is_there(there[p], replicas)
            }
        return found

    def _copied(self, waiting: Mapping[str, Reassignment]) -> dict[str, int]:
        """How many bytes of each topic the brokers have that are to get some; nothing where that is not known."""
        targets = {(b, name, p) for name, moved in waiting.items() for p in moved.after for b in moved.added(p)}
        if not targets:
            return {}
        topics = {name: moved.after for name, moved in waiting.items()}
        found: dict[str, int] = {}
        for place, size in self._mover.sizes(topics, {broker for broker, _, _ in targets}).items():
            if place in targets:
                found[place[1]] = found.get(place[1], 0) + size
        return found


def _words(moved: Reassignment, left: Sequence[int] | set[int], copied: int | None) -> str:
    said = f"{len(left)} of {len(moved.after)} partitions left"
    if copied is None or not moved.bytes:
        return said
    return f"{said}, {min(99, 100 * copied // moved.bytes)}% of the bytes copied"


def _replicas(topic: Any) -> dict[int, tuple[int, ...]]:
    return {number: tuple(partition.replicas) for number, partition in sorted(topic.partitions.items())}


def _is_there(partition: Any, replicas: Sequence[int]) -> bool:
    """Whether the metadata shows these replicas, in this order, and all of them in sync."""
    return tuple(partition.replicas) == tuple(replicas) and set(partition.isrs) == set(replicas)


def _dead(moved: Reassignment, brokers: Mapping[int, str]) -> KplanError | None:
    """Why it would never end: a replica that stays, or one that is copied, is on a broker that does not answer."""
    gone = sorted({broker for replicas in moved.after.values() for broker in replicas if broker not in brokers})
    if not gone:
        return None
    return Rejected(f"broker {gone[0]}, which keeps replicas, is down", code=codes.K329,
                    help="start it again, then plan again")  # fmt: skip


def _busy(name: str, partitions: Iterable[int]) -> KplanError:
    return Rejected(
        f"{name}: replicas of {len(list(partitions))} partitions are being moved already",
        code=codes.K329,
        help="wait until that has ended (kafka-reassign-partitions.sh --list), then plan again",
    )


__all__ = ["Mover", "Reassignments", "is_installed", "settings"]
