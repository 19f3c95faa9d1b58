"""What each answer of Connect means: every status, and every message that is known (facts: 3.2)."""

from __future__ import annotations

import pytest

from kplan.diagnostics import (
    Busy,
    Conflict,
    Denied,
    ErrorClass,
    KplanError,
    Rejected,
    Timeout,
    Unsupported,
)
from kplan.servers.base import Outcome
from kplan.servers.connect.errors import (
    NotSettled,
    TaskFailed,
    classify,
    condense,
    connect_message,
    html_title,
    is_temporary,
)
from kplan.servers.connect.rest import supports

KNOWN = [
    # recorded from Connect 4.3.1
    (409, "Connector a already exists", Conflict),
    (409, "Cannot complete request momentarily due to stale configuration (typically caused by a concurrent config "
          "change)", Busy),
    (409, "Cannot complete request because of a conflicting operation (e.g. worker rebalance)", Busy),
    (409, "Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway.",
     Busy),
    (500, "Request cannot be completed because a rebalance is expected", Busy),
    (500, "IO Error trying to forward REST request: java.net.ConnectException: Connection refused", Timeout),
    (500, "Request timed out. The worker is currently flushing updates to the internal topic", Timeout),
    (500, "The value for the 'position' key in the offset is expected to be a Long value", Rejected),
    (500, "org.apache.kafka.connect.runtime.rest.errors.BadRequestException: Failed to find any class that implements "
          "Connector and which name matches Nope", Rejected),
    (500, "Failed to reset consumer group offsets for connector a either because its tasks haven't stopped completely "
          "yet or the connector was resumed", Busy),
    (400, "Connectors must be in the STOPPED state before their offsets can be modified.", Busy),
    (400, "Connector configuration is invalid and contains the following 1 error(s):\nMissing", Rejected),
    (404, "Connector nope not found", Conflict),
    (404, "No status found for connector a", Conflict),
    (404, "Unknown connector nope", Conflict),
    (404, "", Busy),  # Jetty's page while the worker starts
    (404, "Not Found", Busy),  # the same as JSON
    (404, "HTTP 404 Not Found", Conflict),  # Connect's own, of a path that it does not have
    (503, "", Busy),
    (500, "", Timeout),
    (500, "java.lang.NullPointerException", Timeout),
]  # fmt: skip


@pytest.mark.parametrize(("status", "message", "kind"), KNOWN)
def test_a_known_message_has_its_meaning(status: int, message: str, kind: type[KplanError]) -> None:
    assert classify(status, message) is kind
    assert classify(status, message.upper()) is kind


BY_STATUS = {
    Denied: {401, 403, 407},
    Conflict: {404},
    Timeout: {408} | set(range(500, 600)) - {501, 503},
    Busy: {409, 425, 429, 503},
    Unsupported: {405, 501},
}


def test_every_status_has_a_meaning() -> None:
    for status in range(300, 600):
        expected = next((kind for kind, statuses in BY_STATUS.items() if status in statuses), Rejected)
        assert classify(status, "some words") is expected, status


def test_only_what_passes_by_itself_is_tried_again() -> None:
    for kind in {classify(status, "some words") for status in range(300, 600)}:
        assert (kind.error_class is ErrorClass.RETRIABLE) == (kind in (Busy, Timeout))
        assert (kind("x").applied is None) == (kind is Timeout), "only a lost answer leaves open whether it took effect"


def test_a_rebalance_is_waited_for_longer_than_a_dead_server() -> None:
    assert is_temporary(Busy("Connect answers 409: a rebalance"))
    assert is_temporary(Timeout("Connect answers 500: IO Error trying to forward REST request: refused"))
    assert not is_temporary(Timeout("the answer was lost"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error_code":409,"message":"Connector a already exists"}', "Connector a already exists"),
        ("<html><head><title>Error 404 Not&nbsp;Found</title></head></html>", ""),
        ("", ""),
        ("<p>nothing</p>", ""),
        ('["x"]', ""),
        ('{"message": 3}', ""),
        ('{"message": "bad:\\nA\\nYou can also find the above list of errors at the endpoint"}', "bad:\nA"),
        ('{"message": "matches Nope, available connectors are: PluginDesc{klass=class X}"}', "matches Nope"),
    ],
)
def test_connects_own_message_in_any_body(body: str, message: str) -> None:
    assert connect_message(body) == message


def test_of_a_page_its_title_is_shown() -> None:
    assert html_title("<html><head><title>Error 404\nNot&nbsp;Found</title></head></html>") == "Error 404 Not Found"
    assert html_title("<p>nothing</p>") == ""


TRACE = """org.apache.kafka.connect.errors.ConnectException: Couldn't find or create file '/x' for FileStreamSinkTask
\tat org.apache.kafka.connect.file.FileStreamSinkTask.start(FileStreamSinkTask.java:74)
Caused by: io.debezium.DebeziumException: in between
\t... 9 more
Caused by: java.nio.file.NoSuchFileException: /x
\tat java.base/sun.nio.fs.UnixException.translateToIOException(UnixException.java:92)
\t... 10 more
"""


@pytest.mark.parametrize(
    ("trace", "cause"),
    [
        (TRACE, "ConnectException: Couldn't find or create file '/x' for FileStreamSinkTask; caused by "
                "NoSuchFileException: /x"),
        ("a.b.C: one\n\tat x\nCaused by: a.b.C: one\n", "C: one"),
        ("a.b.C: one", "C: one"),
        (None, ""),
        ("\n\n", ""),
    ],
)  # fmt: skip
def test_a_trace_on_one_line(trace: str | None, cause: str) -> None:
    assert condense(trace) == cause


@pytest.mark.parametrize(
    ("version", "features"),
    [
        ("3.4.0", set()),
        ("3.5.1", {"read_offsets"}),
        ("3.6.2", {"read_offsets", "stop", "offsets"}),
        ("3.7.0", {"read_offsets", "stop", "offsets", "initial_state"}),
        ("3.8.0", {"read_offsets", "stop", "offsets", "initial_state", "patch"}),
        ("4.3.1", {"read_offsets", "stop", "offsets", "initial_state", "patch"}),
        ("3.10.0", {"read_offsets", "stop", "offsets", "initial_state", "patch"}),
        ("7.6.0-ccs", {"read_offsets", "stop", "offsets"}),
        ("7.8.1-ce", {"read_offsets", "stop", "offsets", "initial_state", "patch"}),
        ("", set()),
        ("unknown", set()),
    ],
)
def test_what_a_version_can_do(version: str, features: set[str]) -> None:
    every = ("read_offsets", "stop", "offsets", "initial_state", "patch")
    assert {feature for feature in every if supports(version, feature)} == features


def test_what_failed_after_it_was_accepted_may_have_taken_effect() -> None:
    assert TaskFailed("x").applied is None and TaskFailed("x").code == "K512"
    assert NotSettled("x").applied is None and NotSettled("x").code == "K514"


def test_the_reason_of_an_outcome_is_one_line() -> None:
    refused = Outcome(Rejected("the following 1 error(s):\nConnection refused.\nTry again"))
    assert refused.reason == "the following 1 error(s): Connection refused. Try again"
