"""What kplan's own user could do and can no longer do, of what a run needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from kplan.kinds.acl.binding import parse_binding
from kplan.model import Address
from kplan.servers.kafka.own_operations import NAMES, OPERATIONS, OwnOperations


class Described:
    """A description of the cluster or of a topic: only the authorized operations of it are asked for."""

    def __init__(self, operations: Iterable[str]) -> None:
        self.authorized_operations = [OPERATIONS[name] for name in operations]


class Brokers:
    """A client whose user may do what `rights` says: by topic, and on the cluster by an empty name."""

    timeout = attempt_timeout = 1.0

    def __init__(self, rights: Mapping[str, Iterable[str]]) -> None:
        self.rights = rights
        self.topics = [name for name in rights if name]  # which is all that `metadata` answers with
        self.asked: list[str] = []
        self.admin = self

    def metadata(self) -> Brokers:
        return self

    def retry(self, work: Callable[[], Any]) -> Any:
        return work()

    def request(self, send: Callable[[], Any], what: str) -> Any:
        return send()

    def describe_cluster(self, **options: Any) -> Described:
        self.asked.append("")
        return Described(self.rights[""])

    def describe_topics(self, topics: Any, **options: Any) -> dict[str, Described]:
        names = [name for name in self.topics if name in list_names(topics)]
        self.asked += names
        return {name: Described(self.rights[name]) for name in names}


def list_names(topics: Any) -> list[str]:
    """Return the names of a TopicCollection."""
    return list(topics.topic_names)


EVERYTHING = frozenset(NAMES.values())
CHANGED = [parse_binding("User:%2A/allow/All/topic-any"), parse_binding("User:%2A/allow/All/cluster")]


@pytest.mark.parametrize(
    ("after", "lost"),
    [
        ({}, ""),
        ({"": {"Describe", "Alter"}}, ""),
        ({"": {"Describe"}}, "Alter on cluster"),
        ({"t": {"Create", "Alter", "AlterConfigs", "Delete", "Describe", "DescribeConfigs"}}, ""),
        ({"t": {"Create", "AlterConfigs", "Delete", "Describe", "DescribeConfigs"}}, "Alter on topic t"),
        ({"other": set()}, ""),
        ({"__kplan": {"Read", "Write", "DescribeConfigs"}}, ""),
        ({"__kplan": {"Read", "DescribeConfigs"}}, "Write on topic __kplan"),
        ({"__kplan": set(), "t": set()},
         "Alter on topic t, AlterConfigs on topic t, Create on topic t and 6 more"),
    ],
)  # fmt: skip
def test_only_what_a_run_needs_is_missed(after: Mapping[str, set[str]], lost: str) -> None:
    before = {"": EVERYTHING, "t": EVERYTHING, "other": EVERYTHING, "__kplan": EVERYTHING}
    brokers = Brokers(before)
    own = OwnOperations(brokers)  # type: ignore[arg-type]
    own.need(
        [Address("topic", "t"), Address("topic", "not.live"), Address("acl", "User:a/allow/Read/topic/t")], "__kplan"
    )
    own.remember(CHANGED)
    assert sorted(brokers.asked) == ["", "__kplan", "t"]
    brokers.rights = {**before, **after}
    assert own.find_lost() == lost


def test_quotas_need_the_settings_of_the_cluster() -> None:
    brokers = Brokers({"": EVERYTHING})
    own = OwnOperations(brokers)  # type: ignore[arg-type]
    own.need([Address("quota", "user=a")], "")
    own.remember(CHANGED)
    brokers.rights = {"": {"Describe", "Alter", "DescribeConfigs"}}
    assert own.find_lost() == "AlterConfigs on cluster"


def test_nothing_is_asked_without_a_change_that_takes_away() -> None:
    brokers = Brokers({"": EVERYTHING})
    own = OwnOperations(brokers)  # type: ignore[arg-type]
    own.need([], "__kplan")
    own.remember([])
    assert own.find_lost() == "" and brokers.asked == []
