"""A file of another kind, where a stack or a file to import is expected, is named for what it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from kplan.diagnostics import Diagnostic, Invalid
from kplan.importers.files import parse
from kplan.kinds.key_order import read_key_orders
from kplan.language.fmt import format
from kplan.language.mistaken import recognize
from kplan.language.source import load as read
from kplan.model import Target
from kplan.project.loading import Request, load_project
from tests.shell import Shell

STACK = "version: 1\nstack: t\ntopics: {a.b: {partitions: 3}}\n"
STRIMZI = (
    "apiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaTopic\nmetadata: {name: a}\nspec: {partitions: 3, replicas: 1}\n"
)
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n"
HELM = "{{- range .Values.topics }}\napiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaTopic\n{{- end }}\n"
JIKKOU = "apiVersion: kafka.jikkou.io/v1beta2\nkind: KafkaTopicList\nitems:\n{% for t in values.topics %}\n- {}\n"

# What can be imported as it is, and what cannot: name of the file, its text, what it is, a part of the help.
IMPORTABLE = [
    (
        "notes.txt",
        "Run this.\n\n  kafka-topics --create --topic a\n",
        "a script that calls Kafka's tools",
        "kplan import",
    ),
    ("t.sh", "#!/bin/sh\nkafka-topics.sh --create --topic a\n", "a script that calls Kafka's tools", "kplan import"),
    (
        "curl.json",
        'curl -X PUT http://c:8083/connectors/x/config -d \'{"connector.class": "org.example.X"}\'\n',
        "a script that calls curl",
        "kplan import",
    ),
    (
        "c.properties",
        "# sink\nname=x\nconnector.class=FileStreamSink\ntopics=a\n",
        "a .properties file",
        "kplan import --file c.properties",
    ),
    ("s.yaml", STRIMZI, "a Strimzi KafkaTopic", "kplan import --file s.yaml"),
    ("two.yaml", f"{NAMESPACE}---\n{STRIMZI}", "a Strimzi KafkaTopic", "kplan import --file two.yaml"),
    ("main.tf", 'resource "kafka_topic" "a" {\n  name = "a"\n  partitions = 3\n}\n', "Terraform", "--file main.tf"),
    ("c.json", '{"name": "c", "config": {"connector.class": "A"}}', "a connector in Connect's JSON", "--file c.json"),
    (
        "d.txt",
        "Topic: a\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: \n",
        "the output of kafka-topics --describe",
        "d.txt",
    ),
    ("g.yaml", "topics:\n  a: {partitions: 1, replication: 2}\n", "a state of kafka-gitops", "--file g.yaml"),
]
FOREIGN = [
    ("h.yaml", HELM, "a Helm template", "helm template"),
    ("i.yaml", "apiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaTopic\nmetadata: {name: {{ .Values.x }}}\n",
     "a Helm template", "helm template"),
    ("j.yaml", JIKKOU, "a Jikkou template", "jikkou prepare --files j.yaml"),
    ("k.yaml", "apiVersion: apps/v1\nkind: Deployment\n", "a Kubernetes manifest (Deployment)", "KafkaConnector"),
    ("readme.md", "# Topics\n\n| a | b |\n|---|---|\n", "a Markdown text", "kplan init"),
    ("kplan.yaml", "version: 1\nenvironments: {local: {}}\n",
     "the file of the environments", "kplan validate kplan.yaml"),
    ("my-sink.yaml", "version: 1\ntemplate: my-sink\nclass: org.example.A\nconfig: {}\n",
     "a connector template", "templates/"),
]  # fmt: skip


def only(problems: Iterable[Diagnostic]) -> Diagnostic:
    (problem,) = problems
    return problem


@pytest.mark.parametrize(("name", "text", "what", "help"), [*IMPORTABLE, *FOREIGN], ids=lambda value: value[:12])
def test_instead_of_a_stack(name: str, text: str, what: str, help: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    problem = only(
        load_project(Request([name], folder=str(tmp_path), bootstrap="none:1", offline_target=Target())).diagnostics
    )
    assert problem.code == "K113"
    assert problem.detail.startswith(f"{name} is {what}")
    assert help in problem.help
    if name in ("kplan.yaml", "my-sink.yaml"):
        return  # `kplan fmt` formats these
    with pytest.raises(Invalid) as refused:
        format(text, name, read_key_orders())
    assert only(refused.value.diagnostics) == problem


@pytest.mark.parametrize(("name", "text", "what", "help"), FOREIGN, ids=lambda value: value[:12])
def test_instead_of_a_file_to_import(name: str, text: str, what: str, help: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(name, text.encode())
    problem = only(refused.value.diagnostics)
    assert problem.code == "K630"
    assert problem.detail.startswith(f"{name} is {what}")
    assert help in problem.help


@pytest.mark.parametrize(("name", "text", "what", "help"), IMPORTABLE, ids=lambda value: value[:12])
def test_the_command_that_is_named_imports_it(name: str, text: str, what: str, help: str) -> None:
    assert parse(name, text.encode()).resources


def test_the_commands_print_it(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("s.yaml", STRIMZI)
    shell.write("h.yaml", HELM)
    for command in (["plan", "s.yaml"], ["fmt", "s.yaml"]):
        ended = shell.kplan(*command, expect=4)
        assert ended.err.startswith("error[K113]: this file is not a stack\n  --> s.yaml:1:1")
        assert "kplan import --file s.yaml" in ended.err
        assert "1 error, 0 warnings" in ended.err
    assert (tmp_path / "s.yaml").read_text() == STRIMZI
    ended = shell.kplan("import", "--file", "-", stdin=HELM, expect=4)
    assert " 1 | {{- range .Values.topics }}" in ended.err


def test_a_saved_plan_is_applied_alone_and_its_views_not_at_all(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("t.yaml", STACK)
    shell.kplan("plan", "t.yaml", "--out", "plan.json", "--report", "md=plan.md", "--report", "html=plan.html")
    both = shell.kplan("apply", "t.yaml", "plan.json", "--yes", expect=4)
    assert "plan.json is a saved plan" in both.err
    assert "apply it alone: `kplan apply plan.json`" in both.err
    assert "1 error" in both.err
    for view in ("plan.md", "plan.html"):
        refused = shell.kplan("apply", view, "--yes", expect=4)
        assert "error[K113]" in refused.err
        assert "kplan plan STACK --out plan.json" in refused.err
        assert f"{view} is " in shell.kplan("show", view, expect=4).err
    shell.kplan("snapshot", "t.yaml", "--out", "live.json")
    assert "--live live.json" in shell.kplan("plan", "live.json", expect=4).err
    shell.kplan("apply", "plan.json")


def test_validate_checks_every_environment_of_kplan_yaml(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("t.yaml", STACK)
    shell.write(
        "kplan.yaml", "version: 1\nenvironments:\n  local: {}\n  prod:\n    kafka: {bootstrap.servers: 'b:1'}\n"
    )
    assert "0 errors, 0 warnings in 1 file." in shell.kplan("validate", "kplan.yaml").out
    assert "1 resource is valid" in shell.kplan("validate", "kplan.yaml", "t.yaml").out
    shell.write(
        "kplan.yaml",
        "version: 1\ndefault: local\nenvironments:\n  local: {}\n  prod:\n    kafka: {bootstrap.servers: 'b:1'}\n"
        "    reassign: {throttle: 1}\n",
    )
    shell.kplan("validate", "t.yaml")  # the default environment is fine
    refused = shell.kplan("validate", "kplan.yaml", "t.yaml", expect=4)
    assert "kplan.yaml:7:26" in refused.out, refused.out


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nstack: a\ntopics:\n  {% for x in y %}\n  a: {}\n",
        "version: 1\nstack: a\n## Topics\ntopics: {a: {partitions: {{ var.n }}}}\n",
        "stack: a\ntopics: {a: {}}\n",
        "version: 1\ntopics:\n  a: {partition: 3}\n",
        "version: 1\nstack: a\nconfig: {connector.class: A}\n",
        "",
        "topics:\n\ta: 1\n",
    ],
)
def test_a_stack_with_errors_stays_a_stack(text: str) -> None:
    document, _ = read(text, "stack.yaml")
    assert recognize("stack.yaml", text, document.data if document else None) is None


def test_what_is_printed_of_such_a_file_holds_no_secret(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"name":"c","config":{"connector.class":"A","database.password":"hunter22"}}')
    (tmp_path / "c.sh").write_text("curl -u admin:hunter22 http://c:8083\n")
    (tmp_path / "c.properties").write_text("connector.class=A\npassword=hunter22\n")
    for name in ("c.json", "c.sh", "c.properties"):
        ended = Shell(tmp_path, secrets=("hunter22",)).kplan("plan", name, expect=4)
        assert "K113" in ended.err


def test_a_valid_stack_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.yaml").write_text(STACK)
    monkeypatch.setattr("kplan.language.mistaken.recognize", lambda *_: pytest.fail("it was looked at"))
    assert not load_project(Request(["t.yaml"], folder=str(tmp_path))).has_errors
