"""What a run created, counted by kind, and read from documents of earlier versions."""

from __future__ import annotations

from kplan.kinds.statistics import make_statistics, read_creations

EARLIER = {"topics_created": 2, "topic_creation_errors": 1, "retries": 0}


def test_each_kind_is_counted_in_the_order_of_the_kinds() -> None:
    numbers = make_statistics(["acl", "topic", "connector", "topic", "later"], ["quota"], 3)
    assert numbers["created"] == {"topic": 2, "connector": 1, "acl": 1, "later": 1}
    assert list(numbers["created"]) == ["topic", "connector", "acl", "later"]
    assert numbers["creation_errors"] == {"quota": 1}


def test_the_keys_of_the_first_version_stay() -> None:
    numbers = make_statistics(["topic", "connector"], ["topic"], 3)
    assert (numbers["topics_created"], numbers["topic_creation_errors"], numbers["retries"]) == (1, 1, 3)


def test_documents_of_earlier_versions_count_topics_alone() -> None:
    assert read_creations(EARLIER) == ({"topic": 2}, {"topic": 1})
    later = make_statistics(["acl"], (), 0)
    assert read_creations(later) == ({"acl": 1}, {})
