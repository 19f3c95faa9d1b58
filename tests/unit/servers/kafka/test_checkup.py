"""Which rights include others, and brokers that cannot be reached by the names that they advertise."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from kplan.kinds.acl.permissions import Acl
from kplan.servers.kafka.checkup import check_advertised, includes


@pytest.mark.parametrize(
    ("operations", "right", "expected"),
    [
        ({"Alter"}, Acl("Describe", "Cluster"), True),
        ({"AlterConfigs"}, Acl("DescribeConfigs", "Cluster"), True),
        ({"All"}, Acl("Delete", "Topic", "a"), True),
        ({"Read"}, Acl("Describe", "Topic", "a"), True),
        ({"Describe"}, Acl("Alter", "Cluster"), False),
        (set(), Acl("Describe", "Cluster"), False),
    ],
)
def test_a_right_is_included_in_others(operations: set[str], right: Acl, expected: bool) -> None:
    assert includes(operations, right) is expected


def test_brokers_are_dialled_by_the_names_that_they_advertise() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        nodes = [SimpleNamespace(id=1, host="127.0.0.1", port=port), SimpleNamespace(id=2, host="b.invalid", port=9092)]
        reached, lost = check_advertised(nodes)
    (refused,) = check_advertised([SimpleNamespace(id=1, host="127.0.0.1", port=port)])
    assert (reached.subject, reached.result) == ("broker 1", "ok")
    assert lost.result == "failed" and "b.invalid:9092, and that name resolves nowhere" in lost.text
    assert refused.result == "failed" and "connection refused" in refused.text
    assert "`advertised.listeners` of broker 2" in lost.help
