"""The client that moves replicas logs in as librdkafka does, or says what it lacks."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from kplan.diagnostics import Denied, Invalid, Unsupported
from kplan.project.environment import Environment
from kplan.project.loading import Request, load_environment
from kplan.servers.kafka.second_client import convert_settings

BROKERS = {"bootstrap.servers": "a:1, b:2", "socket.timeout.ms": "5000", "debug": "all", "client.rack": "x"}


def test_what_decides_nothing_about_trust_is_left_aside() -> None:
    assert convert_settings(BROKERS) == {"bootstrap_servers": ["a:1", "b:2"], "security_protocol": "PLAINTEXT"}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "scram-sha-512"])
def test_passwords(mechanism: str) -> None:
    login = {"sasl.mechanisms": mechanism, "sasl.username": "ann", "sasl.password": "only-a-test"}
    found = convert_settings({**BROKERS, "security.protocol": "sasl_plaintext", **login})
    assert found["security_protocol"] == "SASL_PLAINTEXT"
    assert found["sasl_mechanism"] == mechanism.upper()
    assert (found["sasl_plain_username"], found["sasl_plain_password"]) == ("ann", "only-a-test")


@pytest.mark.parametrize(
    ("more", "mode", "names"),
    [
        ({}, ssl.CERT_REQUIRED, True),
        ({"ssl.endpoint.identification.algorithm": "none"}, ssl.CERT_REQUIRED, False),
        ({"enable.ssl.certificate.verification": "false"}, ssl.CERT_NONE, False),
        ({"ssl.ca.location": "probe"}, ssl.CERT_REQUIRED, True),
    ],
)
def test_certificates_are_checked_as_librdkafka_checks_them(
    more: dict[str, str], mode: ssl.VerifyMode, names: bool
) -> None:
    context = convert_settings({**BROKERS, "security.protocol": "ssl", **more})["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (mode, names)


@pytest.mark.parametrize(
    "more",
    [
        {"security.protocol": "SASL_SSL"},  # librdkafka then takes GSSAPI
        {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"},
        {"security.protocol": "SSL", "ssl.keystore.location": "k.p12"},
        {"security.protocol": "SSL", "ssl.ca.pem": "-----BEGIN"},
        {"security.protocol": "SSL", "ssl.cipher.suites": "x"},
    ],
    ids=lambda more: list(more)[-1],
)
def test_what_has_no_counterpart_is_refused_by_name(more: dict[str, str]) -> None:
    with pytest.raises(Unsupported, match=r"GSSAPI|OAUTHBEARER|keystore|ca\.pem|cipher") as refused:
        convert_settings({**BROKERS, **more})
    assert refused.value.code == "K328" and "BEGIN" not in refused.value.message


def test_a_certificate_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(Denied, match="cannot be used"):
        convert_settings({**BROKERS, "security.protocol": "SSL", "ssl.ca.location": str(tmp_path / "ca.pem")})


def environment(folder: Path, more: str) -> Environment:
    (folder / "kplan.yaml").write_text(f"version: 1\nenvironments: {{local: {{{more}}}}}\n")
    return load_environment(Request(folder=str(folder)))


@pytest.mark.parametrize(
    ("more", "throttle", "timeout"),
    [
        ("", None, 3600),
        ("reassign: {throttle: 50MiB}, timeouts: {reassign: 4h}", 52_428_800, 14_400),
        ("reassign: {throttle: 1000000}", 1_000_000, 3600),
    ],
)
def test_how_fast_and_how_long(tmp_path: Path, more: str, throttle: int | None, timeout: float) -> None:
    found = environment(tmp_path, more)
    assert (found.throttle, found.reassign_timeout) == (throttle, timeout)


@pytest.mark.parametrize("wrong", ["50", "5B", "1h", "fast"])
def test_a_throttle_that_is_none_is_told(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(Invalid) as told:
        environment(tmp_path, f"reassign: {{throttle: {wrong}}}")
    assert {each.span.line for each in told.value.diagnostics if each.span} == {2}
