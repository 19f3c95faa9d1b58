"""Variables of the process: each row of the table in docs/environments.md, and what never happens silently."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import kplan
from kplan.project.environment import Environment
from kplan.project.loading import Loaded
from tests.shell import Shell

PAGE = (Path(__file__).parents[3] / "docs" / "environments.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| `((?:KAFKA|KPLAN)_\w+)` .*?\| ([^|]*) \|$", PAGE, re.MULTILINE))
STACK = 'version: 1\nstack: s\nvariables: {name: {type: string, default: "d"}}\ntopics:\n  "a.{{ var.name }}": {}\n'
REAL = "version: 1\nenvironments:\n  prod:\n    kafka: {bootstrap.servers: 'file:9092'}\n"
BROKERS = {"KAFKA_BOOTSTRAP_SERVERS": "env:9092"}
TLS = {**BROKERS, "KAFKA_USE_SSL": "true"}
CONNECT = {**BROKERS, "KAFKA_CONNECT_URL": "http://c"}
TIMES = {"KAFKA_TOPIC_CREATION_TIMEOUT": "200"}


def loaded(folder: Path, process: Mapping[str, str], config: str = "", **asked: Any) -> Loaded:
    (folder / "s.yaml").write_text(STACK)
    if config:
        (folder / "kplan.yaml").write_text(config)
    return kplan.load(folder / "s.yaml", process=process, **asked)


def setting(found: Loaded, path: str) -> object:
    """A setting of the stack's one topic, whose name is the variable's value."""
    (topic,) = found.stacks[0].resources.values()
    assert isinstance(topic, kplan.Topic)
    key = path.removeprefix("/config/")
    return topic.config.get(key) if key != path else getattr(topic, path[1:])


def client(key: str) -> Callable[[Loaded], object]:
    return lambda found: found.environment.kafka.get(key)


def of(name: str) -> Callable[[Loaded], object]:
    return lambda found: getattr(found.environment, name)


def times(found: Loaded) -> object:
    return found.environment.request_timeout, found.environment.settle_timeout


CASES: dict[str, tuple[dict[str, str], Callable[[Loaded], object], object]] = {
    "KAFKA_BOOTSTRAP_SERVERS": (BROKERS, of("bootstrap"), "env:9092"),
    "KAFKA_CONNECT_URL": (CONNECT, lambda f: f.environment.connect.get("url"), "http://c"),
    "KAFKA_USE_SSL": ({**BROKERS, "KAFKA_USE_SSL": "on"}, client("security.protocol"), "SSL"),
    "KAFKA_SECURITY_PROTOCOL": ({**BROKERS, "KAFKA_SECURITY_PROTOCOL": "SSL"}, client("security.protocol"), "SSL"),
    "KAFKA_SSL_CAFILE": ({**TLS, "KAFKA_SSL_CAFILE": "ca"}, client("ssl.ca.location"), "ca"),
    "KAFKA_SSL_CERTFILE": ({**TLS, "KAFKA_SSL_CERTFILE": "c"}, client("ssl.certificate.location"), "c"),
    "KAFKA_SSL_KEYFILE": ({**TLS, "KAFKA_SSL_KEYFILE": "k"}, client("ssl.key.location"), "k"),
    "KAFKA_SSL_PASSWORD": ({**TLS, "KAFKA_SSL_PASSWORD": "pass"}, client("ssl.key.password"), "pass"),
    "KAFKA_SASL_MECHANISM": ({**BROKERS, "KAFKA_SASL_MECHANISM": "PLAIN"}, client("sasl.mechanism"), "PLAIN"),
    "KAFKA_SASL_USERNAME": ({**BROKERS, "KAFKA_SASL_USERNAME": "u"}, client("sasl.username"), "u"),
    "KAFKA_SASL_PASSWORD": ({**BROKERS, "KAFKA_SASL_PASSWORD": "pass"}, client("sasl.password"), "pass"),
    "KAFKA_TOPIC_AUTO_CREATE": ({"KAFKA_TOPIC_AUTO_CREATE": "no"}, lambda f: f.stacks[0].guards.create, False),
    "KAFKA_TOPIC_CREATION_TIMEOUT": (TIMES, times, (200, 200)),
    "KAFKA_TOPIC_CREATION_RETRIES": ({"KAFKA_TOPIC_CREATION_RETRIES": "30"}, of("attempts"), 30),
    "KAFKA_TOPIC_CREATION_RETRY_DELAY": ({"KAFKA_TOPIC_CREATION_RETRY_DELAY": "500ms"}, of("delay"), 0.5),
    **{
        f"KAFKA_TOPIC_{name}": ({f"KAFKA_TOPIC_{name}": str(value)}, lambda found, p=path: setting(found, p), value)  # type: ignore[misc]
        for name, path, value in [
            ("PARTITIONS", "/partitions", 7),
            ("REPLICATION_FACTOR", "/replication_factor", 2),
            ("RETENTION_MS", "/config/retention.ms", "60000"),
            ("RETENTION_BYTES", "/config/retention.bytes", "1048576"),
            ("CLEANUP_POLICY", "/config/cleanup.policy", "compact"),
            ("COMPRESSION_TYPE", "/config/compression.type", "zstd"),
            ("MIN_ISR", "/config/min.insync.replicas", "2"),
            ("SEGMENT_BYTES", "/config/segment.bytes", "1048576"),
            ("SEGMENT_MS", "/config/segment.ms", "60000"),
        ]
    },
    "KPLAN_VAR_name": ({"KPLAN_VAR_name": "x"}, lambda f: next(iter(f.stacks[0].resources)).name, "a.x"),
}  # fmt: skip
BY_COMMAND = {
    "KPLAN_ENV",
    "KPLAN_BOOTSTRAP",
    "KPLAN_CONNECT",
    "KPLAN_REQUEST",
    "KPLAN_KEY",
    "KPLAN_TRACEBACK",
}  # tested with commands


def test_the_table_has_a_row_for_each_variable() -> None:
    assert set(ROWS) == set(CASES) | BY_COMMAND
    named = re.findall(
        r'"(KAFKA_\w+?)_?"', Path(kplan.__file__).with_name("project").joinpath("process.py").read_text("utf-8")
    )
    assert {name for name in named if name != "KAFKA_SSL"} <= {*ROWS, "KAFKA_TOPIC_CREATION"}


@pytest.mark.parametrize("name", CASES)
def test_each_row_of_the_table(name: str, tmp_path: Path) -> None:
    process, look, expected = CASES[name]
    alone = loaded(tmp_path, process)
    assert not alone.diagnostics
    assert look(alone) == expected
    without = {key: value for key, value in process.items() if key != name}
    assert look(loaded(tmp_path, without)) != expected, "the variable makes the difference"

    beside = loaded(tmp_path, process, REAL)
    counts = ROWS[name].startswith("always")
    if counts:
        assert look(beside) == expected
        assert not beside.diagnostics
    else:
        assert ROWS[name] == "no kplan.yaml"
        assert (beside.environment.kafka, beside.environment.connect) == ({"bootstrap.servers": "file:9092"}, {})
        (problem,) = beside.diagnostics
        assert (problem.code, problem.is_error) == ("K244", False)
        assert name in problem.detail
        assert not [value for value in process.values() if len(value) > 4 and value in problem.detail + problem.help], (
            "values are not shown"
        )


@pytest.mark.parametrize("value", ["1", "true", "yes", "on", "ON", " True "])
def test_what_means_true(value: str, tmp_path: Path) -> None:
    process = {**BROKERS, "KAFKA_USE_SSL": value, "KAFKA_SASL_USERNAME": "u", "KAFKA_TOPIC_AUTO_CREATE": value}
    found = loaded(tmp_path, process)
    assert found.environment.kafka["security.protocol"] == "SASL_SSL"
    assert found.stacks[0].guards.create


@pytest.mark.parametrize("value", ["0", "false", "no", "off", "False"])
def test_what_means_false(value: str, tmp_path: Path) -> None:
    process = {**BROKERS, "KAFKA_USE_SSL": value, "KAFKA_SASL_USERNAME": "u", "KAFKA_TOPIC_AUTO_CREATE": value}
    found = loaded(tmp_path, process)
    assert found.environment.kafka["security.protocol"] == "SASL_PLAINTEXT"
    assert not found.stacks[0].guards.create


def test_empty_means_not_set(tmp_path: Path) -> None:
    empty = {name: "" for name in CASES if not name.startswith("KPLAN_")}
    found = loaded(tmp_path, empty)
    assert found.environment == Environment("local", simulated=found.environment.simulated)
    assert not found.diagnostics


@pytest.mark.parametrize("config", ["", REAL])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_TOPIC_AUTO_CREATE", "maybe"),
        ("KAFKA_TOPIC_CREATION_TIMEOUT", "abc"),
        ("KAFKA_TOPIC_CREATION_TIMEOUT", "0"),
        ("KAFKA_TOPIC_CREATION_TIMEOUT", "-1"),
        ("KAFKA_TOPIC_CREATION_RETRIES", "abc"),
        ("KAFKA_TOPIC_CREATION_RETRIES", "0"),
        ("KAFKA_TOPIC_CREATION_RETRIES", "-1"),
        ("KAFKA_TOPIC_CREATION_RETRIES", "1001"),
        ("KAFKA_TOPIC_CREATION_RETRY_DELAY", "-1"),
        ("KAFKA_TOPIC_CREATION_RETRY_DELAY", "soon"),
    ],
)
def test_a_bad_value_names_its_variable(name: str, value: str, config: str, tmp_path: Path) -> None:
    try:
        problems = loaded(tmp_path, {name: value}, config).diagnostics
    except kplan.Invalid as e:
        problems = [*e.diagnostics]
    assert [(p.code, name in p.detail) for p in problems if p.is_error] == [("K203", True)]


@pytest.mark.parametrize(
    ("process", "named"),
    [
        ({"KAFKA_USE_SSL": "enabled"}, "KAFKA_USE_SSL"),
        ({"KAFKA_USE_SSL": "true", "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "KAFKA_SECURITY_PROTOCOL"),
        ({"KAFKA_USE_SSL": "false", "KAFKA_SECURITY_PROTOCOL": "SSL"}, "KAFKA_SECURITY_PROTOCOL"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSLL"}, "KAFKA_SECURITY_PROTOCOL: 'SSLL'"),
        ({"KAFKA_SSL_CAFILE": "ca", "KAFKA_SASL_USERNAME": "u"}, "KAFKA_SSL_CAFILE"),
    ],
)
def test_a_connection_is_never_less_safe_than_asked(process: dict[str, str], named: str, tmp_path: Path) -> None:
    with pytest.raises(kplan.Invalid) as caught:
        loaded(tmp_path, {**BROKERS, **process})
    assert [(p.code, named in p.detail) for p in caught.value.diagnostics] == [("K203", True)]


def test_the_guard_names_the_variable_that_forbids_creation(tmp_path: Path) -> None:
    plan = kplan.plan(loaded(tmp_path, {"KAFKA_TOPIC_AUTO_CREATE": "0"}))
    (problem,) = plan.diagnostics
    assert problem.code == "K213"
    assert "KAFKA_TOPIC_AUTO_CREATE is false" in problem.detail
    assert "guards" not in problem.detail + problem.help


# -- addresses --------------------------------------------------------------------------------------------------------
PROD = """version: 1
environments:
  prod:
    kafka: {bootstrap.servers: "{{ env.NOT_SET }}", security.protocol: SASL_SSL, sasl.password: "{{ env.PASSWORD }}"}
    connect: {url: "http://file", username: u}
    guards: {create: false}
    defaults: {topic: {replication_factor: 3}}
    variables: {name: prod}
    notify: [{webhook: "http://receiver/x"}]
"""


def test_addresses_replace_addresses_alone(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"PASSWORD": "pass"}, PROD, env="prod", bootstrap="flag:9092", connect="http://flag")
    environment = found.environment
    assert environment.kafka == {
        "bootstrap.servers": "flag:9092", "security.protocol": "SASL_SSL", "sasl.password": "pass"
    }  # fmt: skip
    assert environment.connect == {"url": "http://flag", "username": "u"}
    assert (environment.guards.create, len(environment.notify)) == (False, 1)
    assert setting(found, "/replication_factor") == 3
    assert [a.name for a in found.stacks[0].resources] == ["a.prod"]


def test_a_simulated_environment_becomes_real_with_an_address(tmp_path: Path) -> None:
    config = "version: 1\nenvironments:\n  local: {simulated: {brokers: 1}, variables: {name: l}}\n"
    found = loaded(tmp_path, {}, config, bootstrap="{{ env.X }}:9092")
    assert found.environment.simulated is None
    assert found.environment.kafka == {"bootstrap.servers": "{{ env.X }}:9092"}, "a flag is no template"
    assert [a.name for a in found.stacks[0].resources] == ["a.l"]


@pytest.mark.parametrize("asked", [{"bootstrap": "x:1"}, {"connect": "http://x"}])
def test_an_unknown_environment_is_an_error_with_addresses_too(asked: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(kplan.Invalid) as caught:
        loaded(tmp_path, {"PASSWORD": "p"}, PROD, env="prdo", **asked)
    assert [p.code for p in caught.value.diagnostics] == ["K205"]
    assert "did you mean `prod`?" in caught.value.diagnostics[0].help


@pytest.mark.parametrize(
    ("config", "process", "connect"),
    [
        ("", {}, "http://x"),
        ("", {"KAFKA_CONNECT_URL": "http://x"}, ""),
        ("version: 1\nenvironments:\n  local: {}\n", {}, "http://x"),
        ("version: 1\nenvironments:\n  local: {connect: {url: 'http://x'}}\n", {}, ""),
    ],
)
def test_connect_alone_never_means_the_simulation(
    config: str, process: dict[str, str], connect: str, tmp_path: Path
) -> None:
    with pytest.raises(kplan.Invalid) as caught:
        loaded(tmp_path, process, config, connect=connect)
    assert [p.code for p in caught.value.diagnostics] == ["K246"]


def test_commands_that_need_connect_alone_ask_it(tmp_path: Path) -> None:
    """Nothing listens at that port: the simulation would answer."""
    shell, nowhere = Shell(tmp_path), ("--connect", "http://127.0.0.1:2")
    ended = shell.kplan("wait", *nowhere, "--retries", "1", expect=1)
    assert "127.0.0.1:2" in ended.err
    assert "no brokers" in shell.kplan("wait", *nowhere, "--for", "kafka", expect=64).err
    quick = {"KAFKA_TOPIC_CREATION_RETRIES": "1", "KAFKA_TOPIC_CREATION_TIMEOUT": "1s"}
    assert "127.0.0.1:2" in shell.kplan("list", *nowhere, expect=1, **quick).err
    assert "127.0.0.1:2" in shell.kplan("connector", "status", "c", *nowhere, expect=1, **quick).err
    assert not (tmp_path / ".kplan").exists(), "no simulated cluster was made"
    assert "not a URL" in shell.kplan("list", "--connect", "127.0.0.1:2", expect=4).err


# -- variables that have no effect ------------------------------------------------------------------------------------
LOCAL = "version: 1\ndefault: local\nenvironments:\n  local: {}\n  prod: {kafka: {bootstrap.servers: 'x:1'}}\n"
SET = {"KAFKA_BOOTSTRAP_SERVERS": "value-1:9092", "KAFKA_SASL_PASSWORD": "value-2"}


@pytest.mark.parametrize("config", ["", LOCAL])
def test_a_simulated_cluster_takes_no_connection_variables_unless_asked_for(config: str, tmp_path: Path) -> None:
    process = {"KAFKA_SASL_PASSWORD": "value-2"} if not config else SET
    with pytest.raises(kplan.Invalid) as caught:
        loaded(tmp_path, process, config)
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.is_error) == ("K244", True)
    assert ", ".join(process) in problem.detail
    assert "value-" not in f"{problem}"
    asked = loaded(tmp_path, process, config, env="local")
    assert [(p.code, p.is_error) for p in asked.diagnostics] == [("K244", False)]
    assert asked.environment.simulated
    assert not kplan.load(tmp_path / "s.yaml", process=process, without_servers=True).diagnostics


def test_variables_that_the_environment_or_a_stack_names_have_an_effect(tmp_path: Path) -> None:
    config = REAL.replace(
        "'file:9092'", '"{{ env.KAFKA_BOOTSTRAP_SERVERS }}", sasl.password: "{{ env[\'KAFKA_SASL_PASSWORD\'] }}"'
    )
    assert not loaded(tmp_path, SET, config).diagnostics
    (tmp_path / "kplan.yaml").write_text(LOCAL)
    (tmp_path / "t.yaml").write_text(
        STACK.replace("type: string,", "type: string, env: KAFKA_BOOTSTRAP_SERVERS,").replace("a.{{ var.name }}", "a.b")
    )
    assert not kplan.load(tmp_path / "t.yaml", process={"KAFKA_BOOTSTRAP_SERVERS": "x"}).diagnostics


@pytest.mark.slow  # it waits
def test_the_commands_say_it(tmp_path: Path) -> None:
    shell = Shell(tmp_path, secrets=("value-2",))
    shell.write("kplan.yaml", LOCAL)
    shell.write("s.yaml", STACK)
    refused = shell.kplan("apply", "s.yaml", "--yes", expect=4, **SET)
    assert "error[K244]" in refused.err
    assert not (tmp_path / ".kplan").exists()
    assert "error[K244]" in shell.kplan("list", expect=4, **SET).err
    assert "warning[K244]" in shell.kplan("list", KPLAN_ENV="local", **SET).err
    assert "warning[K244]" in shell.kplan("plan", "s.yaml", "--env", "local", **SET).all
    assert "error[K205]" in shell.kplan("plan", "s.yaml", "--env", "loca", "--bootstrap", "x:1", expect=4).err
    assert (
        "x:2" in shell.kplan("wait", "--retries", "1", expect=1, KPLAN_BOOTSTRAP="x:2", KPLAN_CONNECT="http://x:3").err
    )


# -- keys of kplan.yaml that a variable may leave out ------------------------------------------------------------------
def test_a_key_may_be_left_out_by_a_variable(tmp_path: Path) -> None:
    config = """version: 1
environments:
  prod:
    kafka: {bootstrap.servers: "x:1", ssl.ca.location: "{{ env.CA | default(none) }}"}
    connect: {url: "http://c", username: "{{ env.CONNECT_USER | default(none) }}"}
    timeouts: {request: "{{ env.PATIENCE | default(none) }}"}
"""
    without = loaded(tmp_path, {}, config)
    assert not without.diagnostics
    assert without.environment.kafka == {"bootstrap.servers": "x:1"}
    assert without.environment.connect == {"url": "http://c"}
    assert without.environment.request_timeout == 30
    assert client("ssl.ca.location")(loaded(tmp_path, {"CA": "ca.pem"}, config)) == "ca.pem"


@pytest.mark.parametrize(
    ("own", "warned"), [("client: Müller & Söhne", True), ("client: Acme & Co", False), ("client: Ö, name: o", False)]
)
def test_a_derived_name_that_loses_letters_is_named(own: str, warned: bool, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"version: 1\nstack: c\nconnectors: {{k: {{{own}, class: org.example.Source}}}}\n")
    found = [p for p in kplan.load(tmp_path / "c.yaml", process={}).diagnostics if p.code == "K247"]
    assert [(p.is_error, "m_ller_s_hne_k_connector: ü, ö became _" in p.detail) for p in found] == [
        (False, True)
    ] * warned
