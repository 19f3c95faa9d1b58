"""Whether a password is the live one: a login shows it, which brokers write into their log where it fails."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from kplan.kinds.user.user import Credentials
from kplan.model import Address
from kplan.values import dataclass

TIMEOUT_S: Final = 3.0
AT_ONCE: Final = 8
# `_AUTHENTICATION` that says nothing of the password: another mechanism, or a connection that broke meanwhile
UNTELLING: Final = re.compile(
    "unsupported|not enabled|enabled mechanisms|handshake failed|SaslAuthenticateRequest failed|disconnected",
    re.IGNORECASE,
)
_OWN: Final = ("sasl.username", "sasl.password", "sasl.mechanism", "sasl.mechanisms", "oauth_cb")


@dataclass(frozen=True, slots=True)
class Logins:
    """Logins with the settings of an environment, in which only the user is another one."""

    config: Mapping[str, str]

    @property
    def is_possible(self) -> bool:
        """Whether the environment's listener asks for a login at all."""
        return self.config.get("security.protocol", "").upper().startswith("SASL")

    def check(self, logins: Mapping[Address, Credentials]) -> Mapping[Address, bool]:
        """Return whether each login works, by the user's address; one of which nothing is known is left out.

        Without a listener for SASL nothing is known. A user without a right still logs in.
        """
        if not self.is_possible or not logins:
            return {}
        with ThreadPoolExecutor(min(AT_ONCE, len(logins))) as pool:
            answers = dict(zip(logins, pool.map(self._try, logins.values()), strict=True))
        return {key: answer for key, answer in answers.items() if answer is not None}

    def _try(self, login: Credentials) -> bool | None:
        """Log in once; None where neither success nor a refusal came in time."""
        refused = threading.Event()
        is_unknown = threading.Event()

        def note(problem: KafkaError) -> None:
            if problem.code() == KafkaError._AUTHENTICATION:
                (is_unknown if UNTELLING.search(problem.str()) else refused).set()

        properties: dict[str, Any] = {key: value for key, value in self.config.items() if key not in _OWN}
        properties |= {
            "sasl.username": login.user,
            "sasl.password": login.password,
            "sasl.mechanism": login.mechanism,
            "error_cb": note,
            "log_level": 0,
            "reconnect.backoff.ms": 10_000,
        }
        try:
            client = AdminClient(properties)
            answer = client.describe_cluster(request_timeout=TIMEOUT_S)
            deadline = time.monotonic() + TIMEOUT_S
            while not answer.done() and time.monotonic() < deadline:
                client.poll(0.02)
                if refused.is_set() or is_unknown.is_set():
                    return False if refused.is_set() else None
            return self._judge(answer, refused.is_set())
        except (KafkaException, ValueError, TypeError):
            return None

    @staticmethod
    def _judge(answer: Any, is_refused: bool) -> bool | None:
        if is_refused:
            return False
        if not answer.done():
            return None
        failure = answer.exception()
        if failure is None:
            return True
        code = failure.args[0].code() if isinstance(failure, KafkaException) else None
        if code in (KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED):
            return True
        return None
