"""A login by tokens: a real broker that verifies what a real issuer signs, for every client that kplan has."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from kplan.servers.kafka.cloud_tokens import BrokerToken, TokenCallback
from kplan.servers.kafka.topics import KafkaTopics
from kplan.state.base import Holder
from kplan.state.kafka.store import KafkaStore
from tests.fakes.registry_gateway import require_certificate
from tests.services import ServiceMissing
from tests.services.fixtures import without
from tests.services.issuer import AUDIENCE, Issuer, create_service_account, run_issuer, serve_issuer
from tests.services.process import free_port
from tests.services.secure import OAuthKafka
from tests.shell import Shell

pytestmark = pytest.mark.xdist_group("token services")  # starts its own

SECRET = "canary-client+secret/7"
WRONG = "wrong-canary-secret-8"
STACK = "version: 1\nstack: tokens\ntopics:\n  tokens.a: {partitions: 2, accept: [data-loss]}\n  tokens.b: {}\n"
CONFIG = """
version: 1
default: tls
environments:
  tls:
    kafka: &kafka
      bootstrap.servers: "{{ env.BROKER }}"
      security.protocol: "{{ env.PROTOCOL }}"
      ssl.ca.location: "{{ env.CA }}"
      sasl.mechanism: OAUTHBEARER
      sasl.oauthbearer.method: oidc
      sasl.oauthbearer.client.id: kplan
      sasl.oauthbearer.client.secret: "{{ env.CLIENT_SECRET }}"
      sasl.oauthbearer.token.endpoint.url: "{{ env.TOKEN_URL }}"
      https.ca.location: "{{ env.ISSUER_CA }}"
    state: {kafka_topic: __kplan}
    timeouts: {request: 10s, session: 6s}
"""


@dataclass
class Services:
    """The issuer that the broker trusts, over http; one over https with other keys; and the broker."""

    issuer: Issuer
    stranger: Issuer
    kafka: OAuthKafka


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with contextlib.ExitStack() as stack:
        issuer = stack.enter_context(run_issuer({"kplan": SECRET}))
        try:
            kafka = OAuthKafka(tmp_path_factory.mktemp("certificates"), issuer.keys_url, AUDIENCE, issuer.name)
            stack.enter_context(kafka)
        except ServiceMissing as missing:
            without(missing)
        tls = require_certificate(*kafka.servers.sign("issuer"))
        yield Services(issuer, stack.enter_context(run_issuer({"kplan": SECRET}, tls)), kafka)


@pytest.fixture
def shell(services: Services, tmp_path: Path) -> Shell:
    ca = str(services.kafka.servers.file)
    variables = {
        "BROKER": services.kafka.at("TOKENS"), "PROTOCOL": "SASL_SSL", "CA": ca, "CLIENT_SECRET": SECRET,
        "TOKEN_URL": services.issuer.token_url, "ISSUER_CA": ca,
    }  # fmt: skip
    created = Shell(tmp_path, variables, (SECRET, WRONG))
    created.write("kplan.yaml", CONFIG.replace(" &kafka", ""))
    created.write("stack.yaml", STACK)
    return created


def list_topics(services: Services) -> set[str]:
    topics = AdminClient({"bootstrap.servers": services.kafka.bootstrap}).list_topics(timeout=10).topics
    return {name for name in topics if name.startswith("tokens.")}


@pytest.mark.parametrize(("listener", "protocol"), [("TOKENS", "SASL_SSL"), ("PLAIN_TOKENS", "SASL_PLAINTEXT")])
def test_admin_producer_and_consumer_log_in_by_token(
    listener: str, protocol: str, shell: Shell, services: Services
) -> None:
    shell.environment |= {"BROKER": services.kafka.at(listener), "PROTOCOL": protocol}
    issued = len(services.issuer.issued)
    shell.kplan("plan", "stack.yaml", "--out", "plan.json")
    shell.kplan("apply", "plan.json", "--log-file", "run.log", "--log-level", "debug")
    assert list_topics(services) == {"tokens.a", "tokens.b"}
    assert "No changes." in shell.kplan("plan", "stack.yaml").out
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "delete:topic/*")
    assert not list_topics(services)
    tokens = services.issuer.issued[issued:]
    assert len(tokens) >= 6  # the state in Kafka has a producer and consumers of its own
    shell.secrets += tuple(tokens)
    shell.assert_no_secret_on_disk()


@dataclass(frozen=True)
class Refusal:
    """What is wrong, and the code, the cause and the remedy that kplan reports."""

    code: str
    cause: str
    remedy: str


def assert_refused(shell: Shell, refusal: Refusal, **wrong: str) -> None:
    words = shell.kplan("plan", "stack.yaml", expect=1, timeout=30, **wrong).words
    assert words.count("error[") == 1 and f"error[{refusal.code}]" in words, words
    assert refusal.cause in words, words
    assert refusal.remedy in words.partition("help:")[2], words
    assert "bootstrap.servers" not in words, words


def test_an_unreachable_token_endpoint_is_named(shell: Shell) -> None:
    refusal = Refusal("K310", "token endpoint http://127.0.0.1:9/token", "sasl.oauthbearer.token.endpoint.url")
    assert_refused(shell, refusal, TOKEN_URL="http://127.0.0.1:9/token")


def test_a_wrong_client_secret_is_refused_by_the_issuer(shell: Shell, services: Services) -> None:
    refused = services.issuer.refused
    refusal = Refusal("K336", 'issues no token: {"error": "invalid_client"', "sasl.oauthbearer.client.secret")
    assert_refused(shell, refusal, CLIENT_SECRET=WRONG)
    assert services.issuer.refused > refused


def test_apply_waits_for_an_issuer_that_is_starting(shell: Shell, services: Services) -> None:
    port = free_port()
    with contextlib.ExitStack() as stack:
        starting = threading.Timer(2, lambda: stack.enter_context(serve_issuer(services.issuer, port=port)))
        starting.start()
        url = f"http://127.0.0.1:{port}/token"
        ended = shell.kplan("apply", "stack.yaml", "--yes", "--wait", "60s", TOKEN_URL=url)
        starting.join()
    assert f"token endpoint {url}" in ended.err, ended.err
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "delete:topic/*")


def test_an_issuer_that_only_refuses_for_now_is_a_possible_cause(
    shell: Shell, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """librdkafka tries again by itself for a while, without a word."""
    monkeypatch.setattr(services.issuer, "answer", lambda: (503, b"starting"))
    shell.write("kplan.yaml", CONFIG.replace(" &kafka", "").replace("request: 10s", "request: 2s"))
    words = shell.kplan("plan", "stack.yaml", expect=1).words
    assert "no broker answered" in words
    assert f"the token endpoint {services.issuer.token_url}" in words.partition("help:")[2], words


def test_an_issuer_with_other_keys_is_refused_by_the_brokers(shell: Shell, services: Services) -> None:
    issued = len(services.stranger.issued)
    refusal = Refusal("K313", "invalid_token", "the brokers refuse the token")
    assert_refused(shell, refusal, TOKEN_URL=services.stranger.token_url)
    assert len(services.stranger.issued) > issued  # over https


def test_a_token_for_another_audience_is_refused_by_the_brokers(
    shell: Shell, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.issuer, "audience", "another")
    assert_refused(shell, Refusal("K313", "invalid_token", "audience"))


def test_an_untrusted_token_endpoint_names_its_authority(shell: Shell, services: Services) -> None:
    other = shell.write("other.pem", require_other_authority(shell.folder))
    refusal = Refusal("K317", "token endpoint https://127.0.0.1", "https.ca.location")
    assert_refused(shell, refusal, TOKEN_URL=services.stranger.token_url, ISSUER_CA=str(other))


def require_other_authority(folder: Path) -> str:
    """Return the certificate of an authority that signed nothing here."""
    from tests.services.secure import Authority

    return Authority("unknown", folder).file.read_text()


# -- logins to clouds, whose tokens kplan itself gives to librdkafka ---------------------------------------------------
def test_admin_producer_and_consumer_log_in_by_a_callback_that_renews(services: Services) -> None:
    issued = len(services.issuer.issued)

    def issue() -> BrokerToken:
        return BrokerToken(services.issuer.issue("kplan"), time.time() + 2)

    callback = TokenCallback(issue)
    config: Any = {
        "bootstrap.servers": services.kafka.at("TOKENS"), "ssl.ca.location": str(services.kafka.servers.file),
        "security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "oauth_cb": callback,
    }  # fmt: skip
    topics = KafkaTopics(config)
    store = KafkaStore(config, "__kplan_callback", session_timeout=6)
    try:
        assert topics.identify().cluster_id
        with store.lock("cloud", Holder("me@here", "r1", "apply", "2026-01-01T00:00:00Z"), 10):
            assert store.holder("cloud") is not None
        first = len(services.issuer.issued)
        assert first > issued
        time.sleep(2)  # the life of a token, of which librdkafka renews it after four fifths
        assert len(services.issuer.issued) > first and callback.failure is None
        assert topics.identify().cluster_id
    finally:
        store.close()
        topics.close()


def test_tokens_of_google_reach_the_brokers(shell: Shell, services: Services) -> None:
    """Only Google's brokers accept them; these refuse a token that they have read."""
    config = {
        "bootstrap.servers": services.kafka.at("TOKENS"), "ssl.ca.location": str(services.kafka.servers.file),
        "debug": "all",
    }  # fmt: skip
    environment = {"kafka": config, "login": {"gcp": {}}, "timeouts": {"request": "10s"}}
    shell.write("kplan.yaml", json.dumps({"version": 1, "environments": {"cloud": environment}, "default": "cloud"}))
    key = create_service_account(services.issuer, "kplan@project.iam.gserviceaccount.com")
    shell.environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(shell.write("key.json", json.dumps(key)))
    shell.kplan("validate", "stack.yaml", "kplan.yaml")
    issued = len(services.issuer.issued)
    refused = shell.kplan("plan", "stack.yaml", "--log-file", "run.log", "--log-level", "debug", expect=1).words
    assert "error[K313]" in refused and "invalid_token" in refused, refused
    assert "roles/managedkafka.client" in refused.partition("help:")[2], refused
    tokens = services.issuer.issued[issued:]
    shell.secrets += (*tokens, base64.urlsafe_b64encode(tokens[0].encode())[:60].decode())
    assert "SASL" in (shell.folder / "run.log").read_text()
    (shell.folder / "key.json").unlink()
    shell.assert_no_secret_on_disk()
    wrong = create_service_account(services.stranger, "kplan@project.iam.gserviceaccount.com")
    shell.write("key.json", json.dumps({**wrong, "token_uri": services.issuer.token_url}))
    assert_refused(shell, Refusal("K336", "invalid_grant: Invalid JWT Signature.", "GOOGLE_APPLICATION_CREDENTIALS"))


def test_tokens_of_amazon_reach_the_brokers(shell: Shell, services: Services) -> None:
    """Only Amazon's brokers accept them."""
    config = {
        "bootstrap.servers": services.kafka.at("TOKENS"), "ssl.ca.location": str(services.kafka.servers.file)
    }  # fmt: skip
    login = {"aws_msk_iam": {"region": "{{ env.REGION }}"}}
    environment = {"kafka": config, "login": login, "timeouts": {"request": "10s"}}
    shell.write("kplan.yaml", json.dumps({"version": 1, "environments": {"cloud": environment}, "default": "cloud"}))
    shell.environment |= {"REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "missing"}
    shell.environment |= {"AWS_SHARED_CREDENTIALS_FILE": "missing"}
    assert_refused(shell, Refusal("K336", "it finds no credentials here", "AWS_ACCESS_KEY_ID"))
    shell.environment |= {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
    assert_refused(shell, Refusal("K313", "invalid_token", "kafka-cluster:Connect"))
