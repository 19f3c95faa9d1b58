"""Principals that have exactly what a line of `access:` grants, or one binding less, on a broker with an authorizer.

A `Case` is a principal with names of its own. kplan applies the lines and the bindings of all cases by one stack, and
each case then does the work as a client that logs in by SCRAM.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from kplan.kinds.acl.binding import AclBinding
from kplan.kinds.acl.operations import PatternType, ResourceType
from kplan.model import Address, Resource
from kplan.project.loading import Request, load_project
from kplan.servers.kafka.acls import to_wire
from tests.services.secure import SecureKafka
from tests.shell import Shell

WORD = "canary-line-4d"  # the password of every principal
REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}  # fmt: skip
PATIENCE_S = 20


class Refused(Exception):
    """The brokers do not allow it."""


@dataclass(frozen=True)
class Work:
    """What somebody does with a line: `block` is the principal's, by its name, and `act` the work itself."""

    name: str
    block: Callable[[str], Mapping[str, Any]]
    act: Callable[[Client], None]
    topics: Sequence[str] = ()  # that are there, with a record, after the principal's name and a dot
    stack: Callable[[str], Mapping[str, Any]] = lambda user: {}  # what the line refers to


@dataclass(frozen=True)
class Case:
    """A principal with all of a line, or without the binding of this number."""

    work: Work
    lacking: int | None = None

    @property
    def user(self) -> str:
        return f"{self.work.name}-{'all' if self.lacking is None else self.lacking}"

    @cached_property
    def bindings(self) -> list[AclBinding]:
        """What kplan makes of the line."""
        return expand(self.user, self.work.block(self.user), self.work.stack(self.user))

    @property
    def missing(self) -> AclBinding | None:
        return None if self.lacking is None else self.bindings[self.lacking]

    @property
    def block(self) -> Mapping[str, Any]:
        """What the stack says for this principal: the line, or all its bindings but one."""
        if self.lacking is None:
            return self.work.block(self.user)
        return {"allow": [write_entry(each) for each in self.bindings if each is not self.missing]}

    def __str__(self) -> str:
        missing = self.missing
        return f"{self.work.name}, {'exactly these' if missing is None else 'without ' + missing.name.split('/', 2)[2]}"


def list_cases(works: Sequence[Work]) -> list[Case]:
    """Return a case for each line, and one for each of its bindings."""
    cases = [Case(work) for work in works]
    return [
        *cases,
        *(Case(case.work, number) for case in cases for number in range(len(case.bindings))),
    ]


def expand(user: str, block: Mapping[str, Any], stack: Mapping[str, Any]) -> list[AclBinding]:
    """Return the bindings that kplan makes of a principal's block."""
    return [each for each in load(user, block, stack).values() if isinstance(each, AclBinding)]


def load(user: str, block: Mapping[str, Any], stack: Mapping[str, Any]) -> Mapping[Address, Resource]:
    """Return what kplan makes of a stack with a principal's block."""
    with tempfile.TemporaryDirectory(prefix="kplan-lines-") as folder:
        Path(folder, "kplan.yaml").write_text(
            'version: 1\nenvironments: {only: {kafka: {bootstrap.servers: "x:1"}, '
            'connect: {url: "http://x", group_id: workers}}}\n'
        )
        whole = {"version": 1, "stack": "lines", **stack, "access": {f"User:{user}": dict(block)}}
        Path(folder, "stack.yaml").write_text(yaml.safe_dump(whole))
        process = {"WORD": WORD}
        loaded = load_project(Request([str(Path(folder, "stack.yaml"))], folder=folder, process=process))
    assert not loaded.has_errors, loaded.diagnostics
    return loaded.stacks[0].resources


def write_entry(binding: AclBinding) -> dict[str, Any]:
    """Return the entry under `allow:` that makes this binding alone."""
    name: Any = f"{binding.resource_name}*" if binding.pattern is PatternType.PREFIXED else binding.resource_name
    if binding.resource_type is ResourceType.CLUSTER:
        name = True
    return {binding.resource_type.key: name, "operations": [binding.operation]}


# -- clients ----------------------------------------------------------------------------------------------------------
@dataclass
class Client:
    """What one principal can do; each step raises Refused where the brokers do not allow it."""

    kafka: SecureKafka
    user: str

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.kafka.at("SCRAM"), "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": self.user, "sasl.password": WORD,
            "ssl.ca.location": str(self.kafka.servers.file), "log_level": 0,
        }  # fmt: skip

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient(self.settings)

    def call(self, act: Callable[[], Any]) -> Any:
        """Return the result; Refused where it is not allowed."""
        try:
            return act()
        except KafkaException as failure:
            raise _refusal(failure) from None

    def wait(self, futures: Mapping[Any, Any]) -> list[Any]:
        return [self.call(partial(future.result, PATIENCE_S)) for future in futures.values()]

    def produce(self, topic: str, transactional_id: str = "", group: Consumer | None = None) -> None:
        """Write a record, idempotently; with an id in a transaction, which `group` commits what it has read in."""
        settings = {**self.settings, "enable.idempotence": True, "message.timeout.ms": PATIENCE_S * 1000}
        producer = Producer({**settings, "transactional.id": transactional_id} if transactional_id else settings)
        failed: list[KafkaError] = []
        if transactional_id:
            self.call(lambda: producer.init_transactions(PATIENCE_S))
            self.call(producer.begin_transaction)
        producer.produce(topic, b"record", on_delivery=lambda problem, _: failed.append(problem) if problem else None)
        left = producer.flush(PATIENCE_S)
        if failed and failed[0].code() == KafkaError._PURGE_QUEUE:  # the transaction has the cause
            self.call(lambda: producer.commit_transaction(PATIENCE_S))
        if failed or left:
            raise _refusal(KafkaException(failed[0] if failed else KafkaError(KafkaError._TIMED_OUT)))
        if group is not None:
            positions, member = group.position(group.assignment()), group.consumer_group_metadata()
            self.call(lambda: producer.send_offsets_to_transaction(positions, member, PATIENCE_S))
        if transactional_id:
            self.call(lambda: producer.commit_transaction(PATIENCE_S))

    def consume(self, topic: str, group: str) -> Consumer:
        """Return the consumer that has read a record as a member of the group, and committed that."""
        consumer = Consumer({**self.settings, "group.id": group, "auto.offset.reset": "earliest",
                             "enable.auto.commit": False})  # fmt: skip
        consumer.subscribe([topic])
        try:
            self.await_record(consumer)
            self.call(lambda: consumer.commit(asynchronous=False))
        except Refused:
            consumer.close()
            raise
        return consumer

    def restore(self, topic: str, group: str) -> None:
        """Read a record of partition 0 from the start, not as a member of the group."""
        consumer = Consumer({**self.settings, "group.id": group, "enable.auto.commit": False})
        consumer.assign([TopicPartition(topic, 0, 0)])
        try:
            self.await_record(consumer)
        finally:
            consumer.close()

    def await_record(self, consumer: Consumer) -> Message:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            message = consumer.poll(0.2)
            problem = None if message is None else message.error()
            if problem is not None and problem.code() in REFUSED:
                raise Refused(problem.name())
            if message is not None and problem is None:
                return message
        raise AssertionError("neither a record nor an error")


def _refusal(failure: KafkaException) -> Exception:
    """Return Refused for an error of authorization; the failure itself for any other."""
    problem = failure.args[0]
    return Refused(problem.name()) if isinstance(problem, KafkaError) and problem.code() in REFUSED else failure


# -- the cluster ------------------------------------------------------------------------------------------------------
@dataclass
class Lines:
    """The broker with the cases on it, and the folder of the stack that grants their rights."""

    kafka: SecureKafka
    shell: Shell
    cases: Sequence[Case]

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.kafka.bootstrap})

    def prepare(self) -> None:
        """All principals can log in and their topics are there with a record; kplan has granted their rights."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda case: self.kafka.add_user(case.user, WORD), self.cases))
        names = [f"{case.user}.{topic}" for case in self.cases for topic in case.work.topics]
        self.make_topics({name: {} for name in names})
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap})
        for name in names:
            producer.produce(name, b"record")
        assert producer.flush(30) == 0
        self.shell.environment["WORD"] = WORD
        self.write_environment()
        self.grant([case for case in self.cases if case.missing is not None or not case.work.stack(case.user)])

    def make_topics(self, topics: Mapping[str, Mapping[str, str]]) -> None:
        """The topics are there, with these settings."""
        new = [NewTopic(name, 1, 1, config=dict(config)) for name, config in topics.items()]
        for future in (self.admin.create_topics(new) if new else {}).values():
            future.result(30)

    def write_environment(self, **more: Any) -> None:
        """kplan.yaml has the broker, where kplan comes in as a super user, and `more`."""
        environment = {"kafka": {"bootstrap.servers": self.kafka.bootstrap}, "state": {"sqlite": "state.db"},
                       "authorizer": {"allow_everyone_if_no_acl": False}, **more}  # fmt: skip
        self.shell.write("kplan.yaml", yaml.safe_dump({"version": 1, "environments": {"only": environment}}))

    def grant(self, cases: Sequence[Case], accept: Sequence[str] = (), name: str = "lines") -> None:
        """Apply the stack of this name, in which these cases have their rights, and all others have none.

        What a line refers to is declared in it, too; without a binding of the line nothing refers to it.
        """
        stack: dict[str, Any] = {"version": 1, "stack": name, "access": {}}
        for case in cases:
            stack["access"][f"User:{case.user}"] = dict(case.block)
            for section, blocks in case.work.stack(case.user).items() if case.missing is None else ():
                stack.setdefault(section, {}).update(blocks)
        self.shell.write(f"{name}.yaml", yaml.safe_dump(stack))
        self.shell.kplan("apply", f"{name}.yaml", "--yes", *(word for each in accept for word in ("--accept", each)))

    def allow(self, binding: AclBinding) -> None:
        """Create a binding behind kplan's back."""
        for future in self.admin.create_acls([to_wire(binding)]).values():
            future.result(PATIENCE_S)

    def client(self, case: Case) -> Client:
        return Client(self.kafka, case.user)


__all__ = ["Case", "Client", "Lines", "Refused", "Work", "expand", "list_cases", "load", "write_entry"]
