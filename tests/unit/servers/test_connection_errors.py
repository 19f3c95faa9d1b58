"""What the log and an error say of brokers that slow kplan down, and of requests that are sent again."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest
from confluent_kafka import KafkaError, KafkaException

from kplan.diagnostics import Timeout
from kplan.model.masks import Mask
from kplan.servers.connection_errors import Contact, missing_token_error
from kplan.state.kafka.clients import Clients


@dataclass(frozen=True)
class Event:
    """An event as confluent_kafka gives it to `throttle_cb`."""

    throttle_time: float
    broker_id: int = 3


def contact(servers: str) -> Contact:
    return Contact({"bootstrap.servers": servers}, Mask(()))


def test_an_error_after_throttling_names_the_quota_once(caplog: pytest.LogCaptureFixture) -> None:
    admin, store = contact("quota:9092"), contact("quota:9092")
    with caplog.at_level(logging.WARNING, "kplan.servers.kafka"):
        admin.note_throttle(Event(2.5))
        admin.note_throttle(Event(0.0))
        admin.note_throttle(Event(1.5))
        admin.note_throttle(Event(0.04))  # by the hundred under a quota of bytes
    assert [record.getMessage() for record in caplog.records] == [
        "broker 3 slows kplan down by 2.5 s: a quota is used up",
        "broker 3 slows kplan down by 1.5 s: a quota is used up",
    ]
    problem = Timeout("no answer within 3 s", help="try again")
    store.explain_throttling(store.explain_throttling(problem))  # of another client: the quota is of both
    assert problem.help.startswith("a quota of the brokers (`kafka-configs.sh --describe --entity-type clients`")
    assert problem.help.endswith("slowed this client down by 4.0 s in all; raise it, or `timeouts: request`; try again")


def test_an_error_without_throttling_stays_as_it_is() -> None:
    contact("slow:9092").note_throttle(Event(9.0))
    problem = contact("other:9092").explain_throttling(Timeout("no answer", help="try again"))
    assert problem.help == "try again"


def test_a_retry_of_the_store_is_a_warning_with_its_cause_and_pause(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("kplan.state")
    asked = {"bootstrap.servers": "x:9092"}
    clients = Clients(asked, "__kplan", 1.0, Mask(()), logger, logger, contact("x:9092"))
    silent = KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer"))
    with caplog.at_level(logging.DEBUG, "kplan.state"):
        clients.pause("list offsets", silent, 0.01)
        clients.pause("list offsets", silent, 0.01)
        clients.pause("describe groups", silent, 0.01)
    words = "no answer (_TIMED_OUT); again in 0.01 s"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"__kplan: list offsets: {words}"),
        ("DEBUG", f"__kplan: list offsets: {words}"),
        ("WARNING", f"__kplan: describe groups: {words}"),
    ]


@pytest.mark.parametrize(
    ("cause", "code", "words"),
    [
        ("Failed to connect to 127.0.0.1:9 after 0 ms: Could not connect to server", "K310", "the issuer is up"),
        ("Could not resolve host: issuer", "K310", "the issuer is up"),
        ("SSL certificate problem: self-signed certificate", "K317", "https.ca.location"),
        ('{"error": "invalid_client"}', "K336", "client.secret"),
    ],
)
def test_a_missing_token_names_its_endpoint_without_a_login(cause: str, code: str, words: str) -> None:
    problem = missing_token_error(cause, "https://me:hunter2@issuer:8443/token?key=hunter2")
    assert problem.message.startswith("token endpoint https://issuer:8443/token")
    assert cause in problem.message and "hunter2" not in problem.message
    assert problem.code == code and words in (problem.help or "")
