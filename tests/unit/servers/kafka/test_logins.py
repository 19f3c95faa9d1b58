"""What brokers' answers to a login tell of the password. The sentences are those of librdkafka 2.16 with Kafka 4.3."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from kplan.kinds.user.logins import try_mechanisms
from kplan.kinds.user.user import Credentials
from kplan.model import Address
from kplan.servers.kafka import logins
from kplan.servers.kafka.logins import Logins

ADDRESS = Address("user", "u")
LOGIN = Credentials("u", "SCRAM-SHA-512", "canary-login")
CONFIG = {"security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN", "sasl.username": "kplan", "sasl.password": "x"}
WRONG = "SASL authentication error: Authentication failed during authentication due to invalid credentials with SASL"
HANDSHAKE = "SASL SCRAM-SHA-256 mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported"
BROKEN = "SASL authentication error: SaslAuthenticateRequest failed: Local: Broker transport failure"


class Admin:
    """librdkafka's client, which reports `problem`, and answers as `answer` does."""

    problem: tuple[int, str] | None = None
    answer: Any = None
    made: list[dict[str, Any]]

    def __init__(self, properties: dict[str, Any]) -> None:
        self.made.append(properties)
        self.note: Callable[[KafkaError], None] = properties["error_cb"]

    def describe_cluster(self, request_timeout: float) -> Future[Any]:
        future: Future[Any] = Future()
        if isinstance(self.answer, KafkaError):
            future.set_exception(KafkaException(self.answer))
        elif self.answer is not None:
            future.set_result(self.answer)
        return future

    def poll(self, seconds: float) -> None:
        if self.problem is not None:
            self.note(KafkaError(*self.problem))


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> type[Admin]:
    class Own(Admin):
        made: list[dict[str, Any]] = []

    monkeypatch.setattr(logins, "AdminClient", Own)
    monkeypatch.setattr(logins, "TIMEOUT_S", 0.05)
    return Own


@pytest.mark.parametrize(
    ("problem", "answer", "told"),
    [
        (None, "a cluster", True),
        (None, KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED), True),
        (None, KafkaError(KafkaError._TIMED_OUT), None),
        (None, None, None),
        ((KafkaError._AUTHENTICATION, WRONG), None, False),
        ((KafkaError._AUTHENTICATION, HANDSHAKE), None, None),
        ((KafkaError._AUTHENTICATION, BROKEN), None, None),
        ((KafkaError._TRANSPORT, "Connect to 127.0.0.1:1 failed: Connection refused"), None, None),
        ((KafkaError._SSL, "certificate verify failed"), None, None),
    ],
)
def test_only_refused_credentials_are_a_wrong_password(
    admin: type[Admin], problem: tuple[int, str] | None, answer: Any, told: bool | None
) -> None:
    admin.problem, admin.answer = problem, answer
    assert Logins(CONFIG).check({ADDRESS: LOGIN}).get(ADDRESS) is told


def test_a_login_has_the_settings_of_the_environment_and_another_user(admin: type[Admin]) -> None:
    admin.answer = "a cluster"
    Logins({**CONFIG, "ssl.ca.location": "ca.pem"}).check({ADDRESS: LOGIN})
    (made,) = admin.made
    assert made["ssl.ca.location"] == "ca.pem" and "sasl.mechanisms" not in made
    assert (made["sasl.username"], made["sasl.mechanism"]) == ("u", "SCRAM-SHA-512")


def test_without_a_listener_for_logins_nobody_tries(admin: type[Admin]) -> None:
    assert Logins({"security.protocol": "SSL"}).check({ADDRESS: LOGIN}) == {} and not admin.made


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([True, True], True),
        ([True, False], False),
        ([False, True], False),
        ([None, True], True),
        ([None, False], False),
        ([None, None], None),
    ],
)
def test_each_mechanism_has_its_own_password(answers: list[bool | None], told: bool | None) -> None:
    known = dict(zip(("SCRAM-SHA-256", "SCRAM-SHA-512"), answers, strict=True))

    def check(asked: Any) -> dict[Address, bool]:
        found = {address: known[login.mechanism] for address, login in asked.items()}
        return {address: answer for address, answer in found.items() if answer is not None}

    each = [Credentials("u", name, "canary-login") for name in known]
    assert try_mechanisms(check, {ADDRESS: each}).get(ADDRESS) is told
    assert "canary" not in str(each)
