"""Replicas of topics on real brokers, moved by partition reassignment (KIP-455), throttled (KIP-73) and awaited.

librdkafka (2.16) can neither reassign partitions nor request the sizes of logs, so kafka-python does, which is an
extra: `kplan[admin]`. Everything else uses the existing client.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclOperation,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from kplan.diagnostics import ErrorClass, KplanError, Rejected, Timeout, Unsupported, codes
from kplan.kinds.acl.permissions import Acl
from kplan.kinds.topic.options import Reassignment, Replicas, reassignment_of
from kplan.kinds.topic.placement import (
    FOLLOWER_RATE,
    FOLLOWERS,
    LEADER_RATE,
    LEADERS,
    Placement,
    list_brokers,
    make_throttle_configs,
)
from kplan.model import Address, Change, Topic
from kplan.servers import topics as shared
from kplan.servers.base import Outcome, Progress
from kplan.servers.kafka.second_client import SecondClient, convert_settings, is_installed

if TYPE_CHECKING:
    from kplan.servers.kafka.client import Client

T = TypeVar("T")
Failures = dict[str, KplanError | None]  # by topic; None: it succeeded

MAX_PARTITIONS_PER_REQUEST: Final = 1_000
MAX_PAUSE_S: Final = 2.0  # between two requests
PROGRESS_INTERVAL_S: Final = 10.0  # between two reports of the progress; the first comes sooner
NO_REASSIGNMENT_CODE: Final = 85  # NO_REASSIGNMENT_IN_PROGRESS: it ended meanwhile
RATES: Final = (LEADER_RATE, FOLLOWER_RATE)
RIGHTS: Final = {"Alter": AclOperation.ALTER, "AlterConfigs": AclOperation.ALTER_CONFIGS}
DYNAMIC_BROKER_SOURCE: Final = 2  # ConfigSource.DYNAMIC_BROKER_CONFIG: set for this broker by its number


# -- the client -------------------------------------------------------------------------------------------------------
class Mover(SecondClient):
    """What brokers do for reassignments."""

    def list_running(self, topics: Mapping[str, Iterable[int]]) -> dict[tuple[str, int], tuple[int, ...]]:
        """Return those partitions that are being moved now, and the brokers that they are moved to."""
        partitions_of_topics = {name: list(partitions) for name, partitions in topics.items()}
        answer = self.client.retry(
            lambda: self.request(lambda admin: admin.list_partition_reassignments(partitions_of_topics))
        )
        return {
            (place.topic, place.partition): tuple(
                b for b in reassignment["replicas"] if b not in reassignment["removing_replicas"]
            )
            for place, reassignment in answer.items()
        }

    def send(self, topics: Mapping[str, Replicas]) -> Failures:
        """Request these replicas. A move to the same place continues; a move elsewhere is cancelled first.

        A reassignment that replaces a running one never ends: Kafka 4.3 keeps the new replicas as both being added and
        being removed (measured; `ReplicationControlManager.changePartitionReassignment`).
        """
        wanted = {(name, p): replicas for name, each in topics.items() for p, replicas in sorted(each.items())}
        failures: Failures = dict.fromkeys(topics)
        try:
            running = self.list_running(topics)
        except KplanError as failure:
            return dict.fromkeys(topics, failure)
        elsewhere = [place for place, replicas in running.items() if replicas != wanted[place]]
        for requested in (
            dict.fromkeys(elsewhere),
            {p: r for p, r in wanted.items() if p not in running or p in elsewhere},
        ):
            self._request_replicas(requested, failures)
        return failures

    def _request_replicas(self, wanted: Mapping[tuple[str, int], Sequence[int] | None], failures: Failures) -> None:
        """Request replicas (None: cancel), except of topics that failed; add failures to `failures`."""
        from kafka import TopicPartition

        for batch in shared.make_batches(wanted, lambda _: 1, MAX_PARTITIONS_PER_REQUEST):
            requests = {TopicPartition(*place): wanted[place] for place in batch if failures[place[0]] is None}
            try:
                answers = self._send_batch(requests) if requests else {}
            except KplanError as failure:
                failures |= {place.topic: failure for place in requests}
                continue
            for place, refusal in answers.items():
                if refusal is not None and not (refusal.errno == NO_REASSIGNMENT_CODE and requests[place] is None):
                    message = f"partition {place.partition}: {refusal.__name__}"
                    failures[place.topic] = failures[place.topic] or self.client.error_of_code(refusal.errno, message)

    def _send_batch(self, wanted: Mapping[Any, Sequence[int] | None]) -> Mapping[Any, Any]:
        return self.client.retry(
            lambda: self.request(lambda admin: dict(admin.alter_partition_reassignments(dict(wanted))))
        )

    def read_sizes(
        self, topics: Mapping[str, Iterable[int]], brokers: Iterable[int]
    ) -> dict[tuple[int, str, int], int]:
        """Return the bytes of each replica by broker, topic and partition; empty where this user must not read them."""
        partitions_of_topics = {name: list(partitions) for name, partitions in topics.items()}
        try:
            answer = self.request(lambda admin: admin.describe_log_dirs(partitions_of_topics, list(brokers)))
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
    """Plans, sends and awaits the reassignments of topics. `throttle`: bytes a second for each broker, or None."""

    def __init__(self, client: Client, timeout: float, throttle: int | None) -> None:
        self.client, self._timeout, self._throttle = client, timeout, throttle
        self.mover = Mover(client)
        self._kept: dict[str, frozenset[str]] = {}  # by topic: the throttles that others had set before

    def close(self) -> None:
        self.mover.close()

    # -- reading ------------------------------------------------------------------------------------------------------
    def placement(self, names: Iterable[str]) -> Placement:
        """Return where the replicas of the listed topics are, with their sizes where these are known."""
        listed = self.client.metadata()
        brokers = self._list_brokers(listed)
        replicas = {name: _replicas_of(listed.topics[name]) for name in dict.fromkeys(names) if name in listed.topics}
        movable = is_installed() and self._find_setting_problem() is None
        sizes = self._read_sizes(replicas, brokers) if movable else {}
        return Placement(brokers, replicas, sizes, movable, self._throttle)

    def _list_brokers(self, listed: Any) -> dict[int, str]:
        """Return the living brokers and their racks."""
        racks = {node.id: node.rack or "" for node in self.client.cluster().nodes}
        return {broker: racks.get(broker, "") for broker in sorted(listed.brokers)}

    def _find_setting_problem(self) -> KplanError | None:
        try:
            convert_settings(self.client.config)
        except KplanError as problem:
            return problem
        return None

    def _read_sizes(self, replicas: Mapping[str, Replicas], brokers: Iterable[int]) -> dict[tuple[str, int], int]:
        """Return the largest replica of each partition: those that are behind are smaller."""
        sizes: dict[tuple[str, int], int] = {}
        for (_, name, partition), size in self.mover.read_sizes(replicas, brokers).items():
            sizes[name, partition] = max(size, sizes.get((name, partition), 0))
        return sizes

    # -- checking -----------------------------------------------------------------------------------------------------
    def find_problems(self, updates: Sequence[Change]) -> Failures:
        """Return why a replication factor cannot be reached, for each update that changes it."""
        with_new_factor = [
            change for change in updates if shared.new_factor(change) is not None or reassignment_of(change)
        ]
        if not with_new_factor:
            return {}
        listed = self.client.metadata()
        brokers, installed = self._list_brokers(listed), is_installed()
        failures: Failures = {}
        for change in with_new_factor:
            topic = listed.topics.get(change.address.name)
            replicas = {} if topic is None else _replicas_of(topic)
            failures[change.address.name] = (
                (self._find_setting_problem() if installed and reassignment_of(change) is None else None)
                or shared.no_reassignment_error(change, replicas, brokers, installed)
                or (_dead_broker_error(move, brokers) if (move := reassignment_of(change)) else None)
            )
        possible = {
            c.address.name: move
            for c in with_new_factor
            if (move := reassignment_of(c)) and not failures[c.address.name]
        }
        return failures | (self._find_hindrances(possible) if possible else {})

    def _find_hindrances(self, moves: Mapping[str, Reassignment]) -> Failures:
        """Return what prevents the moves: another reassignment, or a missing right."""
        if not is_installed():
            help = "pip install 'kplan[admin]'"
            missing = Unsupported("moving replicas takes a client that is not installed", code=codes.K327, help=help)
            return dict.fromkeys(moves, missing)
        try:
            if problem := self._find_missing_right(moves.values()):
                return dict.fromkeys(moves, problem)
            running = self.mover.list_running({name: move.before for name, move in moves.items()})
        except KplanError as problem:
            return dict.fromkeys(moves, self.client.add_acl(problem, Acl("Describe", "Cluster")))
        busy = {name for name, _ in running}
        return {
            name: _busy_error(name, [p for each, p in running if each == name]) if name in busy else None
            for name in moves
        }

    def _find_missing_right(self, moves: Iterable[Reassignment]) -> KplanError | None:
        """Return the right that this user lacks. Without an authorizer all are there, without Describe none."""
        request = partial(self.client.admin.describe_cluster, include_authorized_operations=True)
        answer = self.client.await_answers({"": request(request_timeout=self.client.timeout)})[""]
        if isinstance(answer, KplanError):
            return None
        allowed = answer.authorized_operations or ()
        needed = ["Alter"]
        if any(move.throttle is not None and make_throttle_configs(move)[FOLLOWERS] for move in moves):
            needed.append("AlterConfigs")
        missing_right = next((name for name in needed if RIGHTS[name] not in allowed), None)
        return self.client.missing_right_error(Acl(missing_right, "Cluster")) if missing_right else None

    # -- acting -------------------------------------------------------------------------------------------------------
    def capture(self, changes: Sequence[Change]) -> dict[Address, Mapping[str, Any]]:
        """Return where the replicas are, and which throttles are already set: those stay."""
        moving = [change for change in changes if reassignment_of(change) is not None]
        if not moving:
            return {}
        listed = self.client.metadata()
        captured: dict[Address, Mapping[str, Any]] = {}
        for change in moving:
            topic = listed.topics.get(change.address.name)
            captured[change.address] = shared.capture_replicas(change, {} if topic is None else _replicas_of(topic))
        throttled_changes = [c for c in moving if (move := reassignment_of(c)) and move.throttle is not None]
        rates = self._list_rates(list_brokers([move for c in throttled_changes if (move := reassignment_of(c))]))
        for change in throttled_changes:
            config = change.before.config if isinstance(change.before, Topic) else {}
            own = [key for key in (LEADERS, FOLLOWERS) if key in config]
            captured[change.address] = {**captured[change.address], "kept": [*rates, *own]}
        return captured

    def _list_rates(self, brokers: Iterable[int]) -> list[str]:
        """Return the rates that are set on these brokers, as `BROKER/KEY`."""
        rates = []
        for broker in brokers:
            resource = ConfigResource(ConfigResource.Type.BROKER, str(broker))
            request = partial(self.client.admin.describe_configs, [resource], request_timeout=self.client.timeout)
            answer = next(iter(self.client.request(request).values()))
            if isinstance(answer, KplanError):
                raise self.client.add_acl(answer, Acl("DescribeConfigs", "Cluster"))
            rates += [
                f"{broker}/{key}" for key in RATES if key in answer and answer[key].source == DYNAMIC_BROKER_SOURCE
            ]
        return rates

    def send(self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]) -> Failures:
        """Start the reassignments, throttled before they begin."""
        moves = {c.address.name: move for c in changes if (move := reassignment_of(c)) is not None}
        if not moves:
            return {}
        if not is_installed():
            return self._find_hindrances(moves)
        self._kept |= {a.name: frozenset(kept.get("kept", ())) for a, kept in captured.items() if a.name in moves}
        try:
            self._set_throttle(moves)
        except KplanError as problem:
            self._try_to_lift_throttle(moves)
            return dict.fromkeys(moves, problem)
        answers = self.mover.send({name: move.after for name, move in moves.items()})
        failures: Failures = {
            name: None if problem is None else self.client.add_acl(problem, Acl("Alter", "Cluster"))
            for name, problem in answers.items()
        }
        if all(failures.values()):
            self._try_to_lift_throttle(moves)
        for failure in filter(None, failures.values()):
            failure.applied = None  # other partitions of the topic may have been accepted
        return failures

    # -- the throttle -------------------------------------------------------------------------------------------------
    def _set_throttle(self, moves: Mapping[str, Reassignment]) -> None:
        """Set the throttles of brokers and topics as `kafka-reassign-partitions.sh --throttle` does."""
        for key, rate in self._owned_rates(moves, adding=True).items():
            broker, _, name = key.partition("/")
            self._alter_configs(ConfigResource.Type.BROKER, broker, {name: str(rate)})
        for name, move in moves.items():
            own = {k: v for k, v in make_throttle_configs(move).items() if v and k not in self._kept.get(name, ())}
            if move.throttle is not None and own:
                self._alter_configs(ConfigResource.Type.TOPIC, name, dict(own))

    def _owned_rates(self, moves: Mapping[str, Reassignment], adding: bool = False) -> dict[str, int]:
        """Return the rates that kplan may set or remove."""
        rates: dict[str, int] = {}
        for name, move in moves.items():
            if move.throttle is None or (adding and not make_throttle_configs(move)[FOLLOWERS]):
                continue
            keys = [f"{broker}/{key}" for broker in list_brokers([move]) for key in RATES]
            rates |= {key: move.throttle for key in keys if key not in self._kept.get(name, ())}
        return rates

    def _lift_throttle(self, moves: Mapping[str, Reassignment]) -> None:
        """Remove the throttles that kplan has set. Raises what prevents it."""
        keys_of_brokers: dict[str, list[str]] = {}
        for key in self._owned_rates(moves):
            broker, _, name = key.partition("/")
            keys_of_brokers.setdefault(broker, []).append(name)
        for broker, names in keys_of_brokers.items():
            self._alter_configs(ConfigResource.Type.BROKER, broker, dict.fromkeys(names))
        for name, move in moves.items():
            own = [key for key in (LEADERS, FOLLOWERS) if key not in self._kept.get(name, ())]
            if move.throttle is not None and own:
                self._alter_configs(ConfigResource.Type.TOPIC, name, dict.fromkeys(own))

    def _try_to_lift_throttle(self, moves: Mapping[str, Reassignment]) -> KplanError | None:
        """Remove the throttles; return why one may be left."""
        try:
            self._lift_throttle(moves)
        except KplanError as problem:
            failure = KplanError(
                f"a throttle of replication may be left: {problem.message}", code=codes.K528, help=problem.help
            )
            failure.applied = None
            return failure
        return None

    def _alter_configs(self, kind: Any, name: str, values: Mapping[str, str | None]) -> None:
        """Set configs of a broker or a topic, or remove them (None). Raises what the brokers refuse."""
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
            request = partial(self.client.admin.incremental_alter_configs, [resource])
            answer = next(iter(self.client.request(partial(request, request_timeout=self.client.timeout)).values()))
            if isinstance(answer, KplanError):
                raise self.client.add_acl(answer, right)

        self.client.retry(alter)

    # -- settling -----------------------------------------------------------------------------------------------------
    def settle(self, changes: Sequence[Change], progress: Progress) -> dict[Address, Outcome]:
        """Wait until every replica is in its place and in sync, or time is up; then remove the throttles."""
        moves = {c.address.name: move for c in changes if (move := reassignment_of(c)) is not None}
        if not moves:
            return {}
        waiting = dict(moves)
        problem: KplanError | None = None
        try:
            problem = self._await_moves(waiting, progress)
        except KplanError as interruption:  # by the user, through `progress`
            problem = interruption
        throttle_failure = self._try_to_lift_throttle(moves)
        unfinished = Outcome(self._timeout_error(problem), unsure=True)  # it continues by itself
        return {Address("topic", n): unfinished if n in waiting else Outcome(throttle_failure) for n in moves}

    def _timeout_error(self, problem: KplanError | None) -> KplanError:
        if problem is not None and problem.error_class is ErrorClass.FATAL:
            return problem
        cause = f" ({problem.message})" if problem else ""
        return Timeout(
            f"not all replicas are in sync after {self._timeout:g} s{cause}",
            code=codes.K527,
            help="give it more time, `timeouts: {reassign: 4h}`, or a wider `reassign: {throttle: …}` in kplan.yaml",
        )

    def _await_moves(self, waiting: dict[str, Reassignment], progress: Progress) -> KplanError | None:
        """Remove from `waiting` what has moved until it is empty or time is up; return the last problem, if any."""
        started = last_report = time.monotonic()
        pause, report_interval = 0.05, 2.0
        problem: KplanError | None = None
        while waiting:
            try:
                remaining = self._list_unfinished(waiting)
                for name in [name for name, partitions in remaining.items() if not partitions]:
                    del waiting[name]
                problem = None
            except KplanError as failure:
                problem = failure
                if failure.error_class is ErrorClass.FATAL:
                    break
            now = time.monotonic()
            if not waiting or now - started > self._timeout:
                break
            if problem is None and now - last_report > report_interval:
                last_report, report_interval = now, PROGRESS_INTERVAL_S
                copied = self._sum_copied_bytes(waiting)
                for name in waiting:
                    progress(
                        Address("topic", name), _describe_progress(waiting[name], remaining[name], copied.get(name))
                    )
            time.sleep(min(pause, max(0.0, self._timeout - (now - started))))
            pause = min(MAX_PAUSE_S, pause * 1.5)
        return problem

    def _list_unfinished(self, waiting: Mapping[str, Reassignment]) -> dict[str, set[int]]:
        """Return the partitions of each topic that are not in their place, or have a replica that is not in sync."""
        running = self.mover.list_running({name: move.after for name, move in waiting.items()})
        listed = self.client.metadata().topics
        unfinished = {}
        for name, move in waiting.items():
            partitions = listed[name].partitions if name in listed else {}
            unfinished[name] = {
                p
                for p, replicas in move.after.items()
                if (name, p) in running or p not in partitions or not _is_in_place(partitions[p], replicas)
            }
        return unfinished

    def _sum_copied_bytes(self, waiting: Mapping[str, Reassignment]) -> dict[str, int]:
        """Return how many bytes of each topic its new brokers have; nothing where that is not known."""
        targets = {(b, name, p) for name, move in waiting.items() for p in move.after for b in move.find_added(p)}
        if not targets:
            return {}
        topics = {name: move.after for name, move in waiting.items()}
        copied: dict[str, int] = {}
        for place, size in self.mover.read_sizes(topics, {broker for broker, _, _ in targets}).items():
            if place in targets:
                copied[place[1]] = copied.get(place[1], 0) + size
        return copied


def _describe_progress(reassignment: Reassignment, remaining: Sequence[int] | set[int], copied: int | None) -> str:
    progress = f"{len(remaining)} of {len(reassignment.after)} partitions left"
    if copied is None or not reassignment.bytes:
        return progress
    return f"{progress}, {min(99, 100 * copied // reassignment.bytes)}% of the bytes copied"


def _replicas_of(topic: Any) -> dict[int, tuple[int, ...]]:
    return {number: tuple(partition.replicas) for number, partition in sorted(topic.partitions.items())}


def _is_in_place(partition: Any, replicas: Sequence[int]) -> bool:
    """Return whether the metadata shows these replicas, in this order, and all of them in sync."""
    return tuple(partition.replicas) == tuple(replicas) and set(partition.isrs) == set(replicas)


def _dead_broker_error(reassignment: Reassignment, brokers: Mapping[int, str]) -> KplanError | None:
    """Return why it would never end: a replica that stays, or one that is copied, is on a dead broker."""
    dead_brokers = sorted(
        {broker for replicas in reassignment.after.values() for broker in replicas if broker not in brokers}
    )
    if not dead_brokers:
        return None
    return Rejected(f"broker {dead_brokers[0]}, which keeps replicas, is down", code=codes.K329,
                    help="start it again, then plan again")  # fmt: skip


def _busy_error(name: str, partitions: Iterable[int]) -> KplanError:
    return Rejected(
        f"{name}: replicas of {len(list(partitions))} partitions are being moved already",
        code=codes.K329,
        help="wait until that has ended (kafka-reassign-partitions.sh --list), then plan again",
    )
