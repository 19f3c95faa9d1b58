"""Each line of `access:` grants what its work needs, and nothing less does: clients that connect as the principals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import yaml
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from kplan.kinds.acl.binding import AclBinding
from kplan.kinds.acl.operations import ResourceType
from tests.services import ServiceMissing
from tests.services.fixtures import without
from tests.services.line_connectors import GROUP, SINK, SOURCE, WORKER, Rig, make_worker
from tests.services.lines import PATIENCE_S, WORD, Case, Client, Lines, Refused, Work, expand, list_cases, write_entry
from tests.services.secure import SecureKafka
from tests.shell import Shell

pytestmark = pytest.mark.xdist_group("access lines")  # starts its own broker


# -- the work of each line --------------------------------------------------------------------------------------------
def produce(client: Client) -> None:
    client.produce(f"{client.user}.out")


def produce_prefixed(client: Client) -> None:
    client.produce(f"{client.user}.events.new")


def consume(client: Client) -> None:
    client.consume(f"{client.user}.in", f"{client.user}-group").close()


def transact(client: Client) -> None:
    client.produce(f"{client.user}.out", f"{client.user}-tx-1")


def stream(client: Client) -> None:
    """Do what Kafka Streams does with the topics, the group and the transactions of an application.

    Its consumers share the group. It creates the topics of its stores and repartitions
    (InternalTopicManager.makeReady), writes them and the positions in transactions, restores stores from their topics,
    and deletes records of repartitions that all tasks have read (TaskManager.maybePurgeCommittedRecords).
    """
    app, store = f"{client.user}-app", f"{client.user}-app-store-changelog"
    moved = f"{client.user}-app-by-key-repartition"
    client.wait(client.admin.create_topics([NewTopic(store, 1, 1), NewTopic(moved, 1, 1)]))
    consumer = client.consume(f"{client.user}.in", app)
    try:
        for topic in (moved, store):
            client.produce(topic, f"{app}-1", consumer)
    finally:
        consumer.close()
    client.restore(store, app)
    client.wait(client.admin.delete_records([TopicPartition(moved, 0, 1)]))


WORKS = [
    Work("produce", lambda user: {"produce": f"{user}.out"}, produce, ["out"]),
    Work("produce-prefix", lambda user: {"produce": [f"{user}.events.*"]}, produce_prefixed, ["events.new"]),
    Work("consume", lambda user: {"consume": {"topics": f"{user}.in", "group": f"{user}-group"}}, consume, ["in"]),
    Work("transact", lambda user: {"produce": f"{user}.out", "transactional_id": f"{user}-tx-*"}, transact, ["out"]),
    Work("stream", lambda user: {"streams": f"{user}-app",
                                 "consume": {"topics": f"{user}.in", "group": f"{user}-app"}}, stream, ["in"]),
]  # fmt: skip
CASES = list_cases(WORKS)
CONNECTORS = list_cases([SOURCE, SINK])
OF_WORKER = Case(WORKER)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lines]:
    with contextlib.ExitStack() as stack:
        try:
            kafka = stack.enter_context(SecureKafka(tmp_path_factory.mktemp("certificates")))
        except ServiceMissing as missing:
            without(missing)
        made = Lines(kafka, Shell(tmp_path_factory.mktemp("lines"), secrets=(WORD,)), [*CASES, OF_WORKER, *CONNECTORS])
        made.prepare()
        yield made


@pytest.fixture(scope="module")
def rig(lines: Lines) -> Iterator[Rig]:
    """A worker with the connectors that have all bindings, which kplan has created together with these."""
    with make_worker(lines.kafka, lines.shell.folder / "plugins", OF_WORKER.user) as worker:
        made = Rig(lines, worker)
        lacking = [case for case in CONNECTORS if case.missing is not None]
        topics = {name: config for case in lacking for name, config in made.list_topics(case).items()}
        missing = topics.keys() - lines.admin.list_topics(timeout=PATIENCE_S).topics.keys()
        lines.make_topics({name: topics[name] for name in missing})
        lines.write_environment(connect={"url": worker.url, "group_id": GROUP})
        lines.grant([case for case in CONNECTORS if case.missing is None], name="feeds")
        yield made


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exactly_these_bindings_are_enough(case: Case, lines: Lines) -> None:
    client = lines.client(case)
    if case.missing is None:
        case.work.act(client)
        return
    with pytest.raises(Refused) as refusal:
        case.work.act(client)
    assert str(refusal.value) == f"{case.missing.resource_type.key.upper()}_AUTHORIZATION_FAILED"


@pytest.mark.parametrize("case", CONNECTORS, ids=str)
def test_a_connector_runs_with_exactly_these_bindings(case: Case, rig: Rig) -> None:
    """The worker has its own line, and no right on what connectors read and write."""
    run = rig.run_source if case.work is SOURCE else rig.run_sink
    if case.missing is None:
        run(case)
        return
    with rig.connector_of(case), pytest.raises(Refused) as refusal:
        run(case)
    assert str(refusal.value) == name_refusal(case.missing)


def test_a_connector_is_tried_again_until_the_brokers_know_its_bindings(rig: Rig) -> None:
    """Brokers learn of new bindings one after the other; one that comes seconds later stands for the last of them."""
    user, lines = "late", rig.lines
    lines.kafka.add_user(user, WORD)
    bindings = expand(user, SINK.block(user), SINK.stack(user))
    (late,) = (each for each in bindings if each.operation == "Read" and each.resource_type is ResourceType.TOPIC)
    entries = [write_entry(each) for each in bindings if each is not late]
    stack = {"version": 1, "stack": user, **SINK.stack(user), "access": {f"User:{user}": {"allow": entries}}}
    lines.shell.write(f"{user}.yaml", yaml.safe_dump(stack))
    with rig.act_once_refused(user, lambda: lines.allow(late)):
        applied = lines.shell.kplan("apply", f"{user}.yaml", "--yes")
    assert "User:late" in applied.out
    assert [task["state"] for task in rig.worker.request("GET", f"/connectors/{user}/status")["tasks"]] == ["RUNNING"]


def name_refusal(missing: AclBinding) -> str:
    """Name what fails: the task, or a request for the offsets of a connector that runs."""
    if missing.operation == "Delete" or (missing.operation == "Read" and missing.resource_name.endswith(".offsets")):
        return "OFFSETS"
    return f"{missing.resource_type.key.upper()}_AUTHORIZATION_FAILED"


def test_what_is_revoked_is_refused_to_clients_that_are_connected(lines: Lines) -> None:
    granted = [case for case in CASES if case.missing is None]
    clients = {case.user: lines.client(case) for case in granted}
    for client in clients.values():
        assert client.admin.list_topics(timeout=PATIENCE_S).brokers
    lines.grant([OF_WORKER], accept=("delete:acl/*",))
    for case in granted:
        with pytest.raises(Refused):
            case.work.act(clients[case.user])
