"""What changes wait for, beyond what their resources name themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.kinds.user.user import ScramUser
from kplan.model import Action, Change, Connector, Secret, frozen
from kplan.planning.document import Plan
from kplan.planning.order import Needs
from kplan.testing import SimulatedCluster
from tests.unit.kinds.declared import HEAD

STACK = (
    HEAD
    + """
variables: {word: {sensitive: true}, other: {sensitive: true}}
connectors:
  archive:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config:
      topics: t
      consumer.override.sasl.jaas.config: >-
        org.apache.kafka.common.security.scram.ScramLoginModule required username="archive"
        password="{{ var.word }}";
topics: {t: }
users:
  archive: {password: "{{ var.word }}"}
  orders: {password: "{{ var.other }}"}
access:
  User:archive: {connectors: [archive], produce: audit}
  User:orders: {produce: t}
"""
)
WORDS = {"KPLAN_VAR_word": "canary-1", "KPLAN_VAR_other": "canary-2"}
RIGHTS = [
    "acl/User:archive/allow/Delete/group/connect-archive",
    "acl/User:archive/allow/Read/group/connect-archive",
    "acl/User:archive/allow/Read/topic/t",
]


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    return SimulatedCluster(tmp_path / "kplan")


def needs(plan: Plan, address: str) -> list[str]:
    """What a step of the plan waits for."""
    (change,) = [change for change in plan.changes if str(change.address) == address]
    return sorted(map(str, change.needs))


def plan(cluster: SimulatedCluster, text: str = STACK, word: str = "canary-1", **options: str) -> Plan:
    return cluster.plan(text, process={**WORDS, "KPLAN_VAR_word": word}, **options)


def test_a_connector_needs_its_rights_and_the_user_as_which_it_logs_in(cluster: SimulatedCluster) -> None:
    expected = [*RIGHTS, "topic/t", "user/archive"]
    assert needs(plan(cluster), "connector/archive") == expected
    chosen = plan(cluster, target="connector/archive")
    assert sorted(str(change.address) for change in chosen.changes) == sorted([*expected, "connector/archive"])


@pytest.mark.parametrize("pattern", ["acl/User:archive/*", "user/archive"])
def test_what_a_connector_needs_is_not_excluded(cluster: SimulatedCluster, pattern: str) -> None:
    assert "K236" in {problem.code for problem in plan(cluster, exclude=pattern).diagnostics}
    assert "K236" not in {problem.code for problem in plan(cluster, exclude="acl/User:orders/*").diagnostics}


def test_only_what_is_made_is_needed(cluster: SimulatedCluster) -> None:
    cluster.apply(STACK, process=WORDS)
    changed = plan(cluster, STACK.replace("      topics: t\n", "      topics: t\n      tasks.max: 2\n"))
    assert needs(changed, "connector/archive") == []


def test_a_connector_follows_a_password_that_cannot_be_put_back(cluster: SimulatedCluster) -> None:
    cluster.apply(STACK, process=WORDS)
    rotated = plan(cluster, word="canary-3")
    assert needs(rotated, "connector/archive") == ["user/archive"]
    assert [str(step.change.address) for step in rotated.steps] == ["user/archive", "connector/archive"]


def test_a_variable_of_another_stack_is_another_one() -> None:
    word = Secret("{{ var.word }}", "canary-1")
    user = ScramUser("archive", frozen({"SCRAM-SHA-512": 4096}), word)
    connector = Connector("archive", {"connector.class": "X", "a.password": word})
    changes = [Change(each.address, Action.CREATE, None, each) for each in (user, connector)]
    together = Needs.of(changes, [changes])
    assert [together.add(change).needs for change in changes] == [frozenset(), {user.address}]
    apart = Needs.of(changes, [[change] for change in changes])
    assert not any(apart.add(change).needs for change in changes)


def list_waves(cluster: SimulatedCluster, text: str) -> list[int]:
    """How many changes of connectors each wave of the plan has."""
    steps = [step for step in plan(cluster, text).steps if step.change.address.kind == "connector"]
    return [sum(step.wave == wave for step in steps) for wave in sorted({step.wave for step in steps})]


def test_waves_of_new_connectors_begin_with_32_and_double(cluster: SimulatedCluster) -> None:
    source = (
        "{class: org.apache.kafka.connect.file.FileStreamSourceConnector, config: {file: f, topic: t, tasks.max: %s}}"
    )

    def stack(count: int, tasks: int) -> str:
        lines = "".join(f"  c{number:03}: {source % tasks}\n" for number in range(count))
        return f"{HEAD}topics: {{t: }}\nconnectors:\n{lines}"

    assert list_waves(cluster, stack(20, 1)) == [20]
    assert list_waves(cluster, stack(300, 1)) == [32, 64, 128, 76]
    cluster.apply(stack(40, 1), process=WORDS)
    assert list_waves(cluster, stack(40, 2)) == [16, 16, 8]
