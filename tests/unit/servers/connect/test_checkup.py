"""What the doctor says of a Connect: by its version, its cluster, and its clock."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from kplan.model.checkup import ServerCheck
from kplan.servers.access import Access
from kplan.servers.connect.checkup import check_connect
from kplan.servers.connect.connectors import ConnectConnectors
from kplan.servers.rest import Rest, check_clock
from tests.fakes.connect import FakeConnect, serving_connect

CLUSTER = "QoGeIyCnQp6G29BSHsm6eQ"


def examine(fake: FakeConnect, cluster_id: str = CLUSTER) -> Mapping[str, ServerCheck]:
    with serving_connect(fake) as url:
        connect = ConnectConnectors(Access([url]), alias="sinks")
        checks = {check.subject: check for check in check_connect(connect, cluster_id)}
        connect.close()
    assert {check.server for check in checks.values()} == {"Connect sinks"}
    return checks


@pytest.mark.parametrize(
    ("version", "absent"),
    [
        ("4.3.1", set()),
        ("3.7.2", {"patch"}),
        ("3.5.0", {"stop", "offsets", "initial state", "patch"}),
        ("2.8.1", {"read offsets", "stop", "offsets", "initial state", "patch"}),
        ("7.6.0-ccs", {"initial state", "patch"}),
    ],
)
def test_what_a_version_cannot_do_is_absent(version: str, absent: set[str]) -> None:
    checks = examine(FakeConnect(version))
    assert {subject for subject, check in checks.items() if check.result == "absent"} == absent
    assert all("Kafka Connect 3." in checks[subject].help for subject in absent)
    assert version in checks["connection"].text


def test_another_cluster_is_a_failure() -> None:
    check = examine(FakeConnect(), "another")["cluster"]
    assert check.result == "failed" and check.code == "K332" and CLUSTER in check.text


@pytest.mark.parametrize(
    ("lead", "result", "words"),
    [
        (-120.4, "lacking", "120 s behind this machine"),
        (60.0, "lacking", "60 s ahead of this machine"),
        (-0.9, "ok", "as on this machine"),
    ],
)
def test_a_clock_that_differs_is_lacking(lead: float, result: str, words: str) -> None:
    (check,) = check_clock("Connect", cast(Rest, SimpleNamespace(clock_lead_s=lead)))
    assert (check.result, check.text) == (result, words)


def test_an_answer_has_a_date() -> None:
    assert examine(FakeConnect())["clock"].result == "ok"


def test_a_worker_that_is_not_there_is_all_that_is_said() -> None:
    connect = ConnectConnectors(Access(["http://127.0.0.1:1"]))
    (check,) = check_connect(connect, CLUSTER)
    assert check.result == "failed" and check.code == "K310" and "check `connect.url`" in check.help
