"""A mechanism that cannot work is refused at its line, before a server is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.servers.mechanisms import find_unusable_mechanism
from tests.shell import Shell

STACK = "version: 1\nstack: s\ntopics:\n  a.b: {partitions: 1}\n"
CONFIG = """version: 1
environments:
  local:
    kafka:
      bootstrap.servers: localhost:1
      security.protocol: SASL_SSL
      sasl.mechanism: {}
"""
OIDC = {
    "sasl.oauthbearer.method": "OIDC",
    "sasl.oauthbearer.token.endpoint.url": "http://localhost:1/token",
}


def settings(mechanism: str, **more: str) -> dict[str, str]:
    return {"security.protocol": "sasl_ssl", "sasl.mechanism": mechanism, **more}


def refuse(name: str, value: str) -> str:
    return "not built in"


def accept(name: str, value: str) -> str:
    return ""


@pytest.mark.parametrize("command", ["plan", "validate"])
@pytest.mark.parametrize(
    ("mechanism", "reason", "remedy"),
    [
        ("OAUTHBEARER", "no source of tokens", "sasl.oauthbearer.method: oidc"),
        ("GSSAPI", "has no Kerberos (GSSAPI)", "--no-binary confluent-kafka"),
    ],
)
def test_an_unusable_mechanism_is_refused_at_its_line(
    command: str, mechanism: str, reason: str, remedy: str, tmp_path: Path
) -> None:
    shell = Shell(tmp_path)
    shell.write("s.yaml", STACK)
    shell.write("kplan.yaml", CONFIG.format(mechanism))
    words = shell.kplan(command, "s.yaml", expect=4).words
    assert "error[K203]" in words and "kplan.yaml:7:23" in words, words
    assert reason in words and remedy in words.partition("help:")[2], words


def test_the_variables_of_the_process_are_judged_as_well(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("s.yaml", STACK)
    variables = {"KAFKA_BOOTSTRAP_SERVERS": "localhost:1", "KAFKA_USE_SSL": "1", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"}
    words = shell.kplan("plan", "s.yaml", expect=4, **variables).words
    assert "error[K203]" in words and "no source of tokens" in words, words


def test_a_source_of_tokens_makes_the_mechanism_usable() -> None:
    assert find_unusable_mechanism(settings("OAUTHBEARER"), accept) is not None
    assert find_unusable_mechanism(settings("oauthbearer", **OIDC), accept) is None
    unsecured = {"enable.sasl.oauthbearer.unsecure.jwt": "true"}
    assert find_unusable_mechanism(settings("OAUTHBEARER", **unsecured), accept) is None


def test_kerberos_is_usable_where_librdkafka_has_it() -> None:
    assert find_unusable_mechanism(settings("GSSAPI"), refuse) is not None
    assert find_unusable_mechanism(settings("GSSAPI"), accept) is None


def test_a_mechanism_without_sasl_counts_for_nothing() -> None:
    assert find_unusable_mechanism({"security.protocol": "SSL", "sasl.mechanism": "OAUTHBEARER"}, refuse) is None
    assert find_unusable_mechanism(settings("SCRAM-SHA-512"), refuse) is None
