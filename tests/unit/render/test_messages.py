"""What receivers are notified of, in words and as data."""

from __future__ import annotations

import pytest

from kplan.execution.notify import (
    BlockedNotice,
    DriftNotice,
    HealthNotice,
    NotBegunNotice,
    Notice,
    RunNotice,
    Undelivered,
)
from kplan.render.messages import MAX_LINES, describe_undelivered, write_message

FAILED = {"address": "topic/a", "code": "K310", "cause": "no answer"}
ENDED = RunNotice("shop", "run1", "incomplete", "Stopped.", ["topic/a"], FAILED)
HEALTH = HealthNotice(["shop"], ["feed"], True)


@pytest.mark.parametrize(("notice", "text", "outcome"), [
    (ENDED, "kplan: shop (dev): Stopped.\ntopic/a: K310 no answer\n• topic/a\nkplan recover run1", "incomplete"),
    (NotBegunNotice(["a", "b"], "not_begun", ""),
     "kplan: a, b (dev): nothing was applied: the plan has errors", "not_begun"),
    (NotBegunNotice(["a"], "blocked", "it is locked"),
     "kplan: a (dev): nothing was applied: it is locked", "blocked"),
    (BlockedNotice("shop", ["K401 topic/a"]), "kplan: shop (dev): the plan is blocked.\n• K401 topic/a", "blocked"),
    (HEALTH, "kplan: shop (dev): 1 connector FAILED.\n• feed", "connector_failed"),
    (HealthNotice(["shop"], ["feed", "out"], False),
     "kplan: shop (dev): 2 connectors healthy again.\n• feed\n• out", "connector_recovered"),
    (DriftNotice("shop", "drift: 1 changed.", ["topic/a: gone"]),
     "kplan: shop (dev): drift: 1 changed.\n• topic/a: gone", "drift"),
])  # fmt: skip
def test_each_notice_has_its_words_and_its_outcome(notice: Notice, text: str, outcome: str) -> None:
    body = write_message(notice, "dev")
    assert body["text"] == text
    assert (body["kplan"]["outcome"], body["kplan"]["env"]) == (outcome, "dev")


def test_what_failed_is_not_repeated_where_the_summary_has_it() -> None:
    body = write_message(RunNotice("s", "r", "rolled_back", "no answer: rolled back", (), FAILED), "dev")
    assert body["text"] == "kplan: s (dev): no answer: rolled back"
    assert body["kplan"]["failed"] == FAILED


def test_a_long_list_is_cut_in_the_text_alone() -> None:
    dangers = [f"K401 topic/t{number}" for number in range(MAX_LINES + 5)]
    body = write_message(BlockedNotice("s", dangers), "dev")
    assert body["text"].endswith("\nand 5 more") and body["text"].count("•") == MAX_LINES
    assert body["kplan"]["left"] == dangers


def test_a_receiver_that_did_not_take_it_is_named() -> None:
    lost = Undelivered("h", "ReadTimeout")
    assert describe_undelivered(ENDED, lost) == "h could not be notified how the run ended (ReadTimeout)"
    assert describe_undelivered(HEALTH, lost) == "h could not be notified of a connector's health (ReadTimeout)"
    assert describe_undelivered(DriftNotice("s", "", ()), Undelivered("h", status=404)) == (
        "h was notified of the drift and answers 404"
    )
