"""A setting of the Kafka client that librdkafka refuses has its place and a suggestion; no server is asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kplan.servers.client_properties import PROPERTIES, ask_librdkafka, is_listed
from tests.shell import Shell

SECRET = "hunter-2-canary"
STACK = "version: 1\nstack: s\ntopics:\n  a.b: {partitions: 1}\n"
BEGINNING = "version: 1\nenvironments:\n  local:\n    kafka:\n"
NOBODY = "      bootstrap.servers: localhost:1\n"  # line 5; nobody listens there

LINES: dict[str, tuple[str, str, str]] = {  # a line under `kafka:`; code and place; words
    "name": ("security.protocl: SSL", "K106 kplan.yaml:6:7", "did you mean `security.protocol`?"),
    "mechanism": ("sasl.mechansim: PLAIN", "K106 kplan.yaml:6:7", "did you mean `sasl.mechanism`?"),
    "far name": ("no.name.at.all: x", "K106 kplan.yaml:6:7", "CONFIGURATION.md"),
    "value": ("security.protocol: SSLL", "K203 kplan.yaml:6:26", "takes plaintext, ssl, sasl_plaintext, sasl_ssl"),
    "number": ("socket.timeout.ms: 3", "K203 kplan.yaml:6:26", "takes 10 to 300000"),
    "boolean": ("socket.keepalive.enable: 2", "K203 kplan.yaml:6:32", "takes true, false"),
    "object": ("default.topic.config: x", "K203 kplan.yaml:6:29", "a file cannot contain"),
    "Java's": ("ssl.truststore.location: x", "K203 kplan.yaml:6:32", "use `ssl.ca.location`"),
    "null": ("client.rack: null", "K106 kplan.yaml:6:20", "write a value, or remove the line"),
}


def shell(folder: Path, config: str) -> Shell:
    found = Shell(folder, secrets=(SECRET,))
    found.write("s.yaml", STACK)
    found.write("kplan.yaml", config)
    return found


def assert_named(text: str, code_and_place: str, words: str) -> None:
    code, place = code_and_place.split()
    joined = " ".join(text.split())
    assert f"error[{code}]" in joined, text
    assert f"--> {place} " in joined, text
    assert words in joined, text


@pytest.mark.parametrize("command", ["plan", "validate"])
@pytest.mark.parametrize(("line", "place", "words"), LINES.values(), ids=LINES)
def test_a_refused_setting_is_named_at_its_line(
    tmp_path: Path, command: str, line: str, place: str, words: str
) -> None:
    ended = shell(tmp_path, f"{BEGINNING}{NOBODY}      {line}\n").kplan(command, "s.yaml", expect=4)
    assert_named(ended.all, place, words)
    assert "1 error" in ended.all


def test_a_misspelt_bootstrap_is_named_at_its_own_line(tmp_path: Path) -> None:
    ended = shell(tmp_path, f"{BEGINNING}      boostrap.servers: localhost:1\n").kplan("plan", "s.yaml", expect=4)
    assert_named(ended.all, "K106 kplan.yaml:5:7", "write `bootstrap.servers` instead of `boostrap.servers`")


def test_all_refused_settings_are_named_at_once_in_every_environment(tmp_path: Path) -> None:
    config = f"{BEGINNING}{NOBODY}      securty.protocol: SSL\n      client.rak: a\n  other:\n    kafka:\n{NOBODY}"
    config += "      acks: many\n"
    ended = shell(tmp_path, config).kplan("validate", "kplan.yaml", "s.yaml", "--format", "concise", expect=4)
    assert [line.split(": ")[0] for line in ended.out.splitlines()] == [
        "kplan.yaml:6:7", "kplan.yaml:7:7", "kplan.yaml:11:13"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["sasl.pasword", "ssl.key.passwrod", "sasl.oauthbearer.client.secert"])
def test_a_secret_under_a_misspelt_name_is_not_shown(tmp_path: Path, name: str) -> None:
    ended = shell(tmp_path, f"{BEGINNING}{NOBODY}      {name}: {SECRET}\n").kplan("plan", "s.yaml", expect=4)
    assert_named(ended.all, "K106 kplan.yaml:6:7", "did you mean")


def test_values_from_outside_are_not_judged_where_no_server_is_asked(tmp_path: Path) -> None:
    config = f'{BEGINNING}{NOBODY}      security.protocol: "{{{{ env.PROTOCOL }}}}"\n'
    kplan = shell(tmp_path, config).kplan
    kplan("validate", "s.yaml")
    assert_named(kplan("plan", "s.yaml", PROTOCOL="SSLL", expect=4).all, "K203 kplan.yaml:6:26", "SSLL")


def test_a_name_from_outside_is_judged_where_no_server_is_asked(tmp_path: Path) -> None:
    config = f'{BEGINNING}{NOBODY}      security.protocl: "{{{{ env.PROTOCOL }}}}"\n'
    ended = shell(tmp_path, config).kplan("validate", "s.yaml", expect=4)
    assert_named(ended.all, "K106 kplan.yaml:6:7", "did you mean `security.protocol`?")


SETS = {  # settings that are right one by one
    "file": ("ssl.ca.location: none.pem\n      security.protocol: SSL", "K203 kplan.yaml:6:24", "there is no file"),
    "mechanism": ("sasl.username: u\n      security.protocol: SASL_SSL", "K203 kplan.yaml:4:5", "`sasl.mechanism`"),
    "login": ("sasl.mechanism: PLAIN\n      security.protocol: SASL_SSL", "K203 kplan.yaml:4:5", "must be set"),
}


@pytest.mark.parametrize("arguments", [("plan", "s.yaml"), ("show",)], ids=["topics", "ledger"])
@pytest.mark.parametrize(("lines", "place", "words"), SETS.values(), ids=SETS)
def test_settings_that_do_not_go_together_have_a_place(
    tmp_path: Path, arguments: tuple[str, ...], lines: str, place: str, words: str
) -> None:
    ended = shell(tmp_path, f"{BEGINNING}{NOBODY}      {lines}\n").kplan(*arguments, expect=4)
    assert_named(ended.all, place, words)


def test_the_list_has_names_of_this_librdkafka_alone() -> None:
    unknown = [name for name in PROPERTIES if "No such" in ask_librdkafka(name, "x")]
    assert not unknown
    assert {"bootstrap.servers", "sasl.password", "acks", "client.rack"} <= PROPERTIES.keys()


def test_what_the_list_says_of_values_is_what_librdkafka_says() -> None:
    for name, values in PROPERTIES.items():
        low, dots, high = values.partition("..")
        for value in (low, high) if dots else values.split():
            assert is_listed(name, value)
            words = ask_librdkafka(name, value)
            assert not words or " requires " in words, (name, value)


def test_a_property_that_only_librdkafka_knows_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import kplan

    monkeypatch.delitem(PROPERTIES, "client.rack")  # type: ignore[arg-type]
    assert not is_listed("client.rack", "a")
    shell(tmp_path, f"{BEGINNING}{NOBODY}      client.rack: a\n      security.protocol: ssl\n")
    found = kplan.load(tmp_path / "s.yaml")
    assert not found.diagnostics
    assert found.environment.kafka["client.rack"] == "a"


def test_right_settings_need_no_client(tmp_path: Path) -> None:
    shell(tmp_path, f"{BEGINNING}{NOBODY}      security.protocol: SASL_SSL\n      socket.timeout.ms: 3000\n")
    code = "import sys, kplan; kplan.load('s.yaml'); print('confluent_kafka' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True, timeout=60)
    assert run.stdout == "False\n", run.stderr
