"""Settings of connectors that do nothing: each gets one warning at its line, and what works gets none."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.diagnostics import Diagnostic
from kplan.importers.legacy import modernize_transforms
from kplan.kinds.connector import transforms
from kplan.model import Connector
from kplan.project.loading import Request, load_project
from tests.shell import Shell

KAFKA = "org.apache.kafka.connect.transforms."
UNWRAP = "io.debezium.transforms.ExtractNewRecordState"
CDC = """\
version: 1
stack: s
variables: {{pw: {{type: string, sensitive: true, default: x-not-real}}}}
defaults: {{topic: {{replication_factor: 3}}}}
connectors:
  p:
    template: debezium-postgres
    topic_prefix: x
    database: {{hostname: h, name: shop, user: u, password: "{{{{ var.pw }}}}"}}
    {more}
    tables: {{public.a: {{config: {{cleanup.policy: {policy}}}}}}}
    config: {{{config}}}
"""


def told(folder: Path, text: str) -> list[Diagnostic]:
    (folder / "stack.yaml").write_text(text)
    loaded = load_project(Request([str(folder / "stack.yaml")], folder=str(folder)))
    assert not loaded.has_errors, loaded.diagnostics
    return [each for each in loaded.diagnostics if each.code in ("K249", "K253", "K254", "K255", "K256")]


def cdc(folder: Path, config: str = "", more: str = "", policy: str = "delete") -> list[tuple[str, str]]:
    found = told(folder, CDC.format(config=config, more=more, policy=policy))
    assert all(each.span and each.span.line > 5 for each in found)
    return [(each.code, each.path.removeprefix("/config/")) for each in found]


def sink(folder: Path, config: str, more: str = "") -> list[Diagnostic]:
    block = f"connectors: {{c: {{class: FileStreamSink, config: {{topics: t, {config}}}, {more}}}}}\n"
    return told(folder, f"version: 1\nstack: s\ntopics: {{t: }}\n{block}")


@pytest.mark.parametrize(
    ("java_class", "setting", "help"),
    [
        (UNWRAP, "drop.tombstones", "delete.tombstone.handling.mode"),
        (UNWRAP, "delete.handling.mode", "delete.tombstone.handling.mode"),
        (KAFKA + "ReplaceField$Value", "blacklist", "it is exclude today"),
        (KAFKA + "ReplaceField$Key", "whitelist", "it is include today"),
        (KAFKA + "RegexRouter", "replacment", "did you mean `replacement`?"),
        (KAFKA + "TimestampRouter", "zzz", "it has timestamp.format, topic.format"),
    ],
)
def test_a_setting_that_a_transform_does_not_have_is_a_warning(
    tmp_path: Path, java_class: str, setting: str, help: str
) -> None:
    found = sink(tmp_path, f"transforms: x, transforms.x.type: {java_class}, transforms.x.{setting}: a")
    assert [(each.code, each.path) for each in found] == [("K254", f"/config/transforms.x.{setting}")]
    assert help in found[0].help


@pytest.mark.parametrize(
    ("java_class", "setting"),
    [
        (UNWRAP, "delete.tombstone.handling.mode"),
        (UNWRAP, "predicate"),
        (KAFKA + "ReplaceField$Value", "exclude"),
        ("io.debezium.transforms.Filter", "language"),
        ("io.debezium.transforms.ByLogicalTableRouter", "schema.name.adjustment.mode"),
        ("org.example.ReplaceField", "blacklist"),
    ],
)
def test_what_a_transform_may_have_is_no_warning(tmp_path: Path, java_class: str, setting: str) -> None:
    assert sink(tmp_path, f"transforms: x, transforms.x.type: {java_class}, transforms.x.{setting}: a") == []


def test_settings_of_predicates_and_converters_count_as_well(tmp_path: Path) -> None:
    config = (
        f"predicates: p, predicates.p.type: {KAFKA}predicates.TopicNameMatches, predicates.p.patern: a, "
        "value.converter: org.apache.kafka.connect.json.JsonConverter, value.converter.schemas.enabled: false, "
        "key.converter: io.confluent.connect.avro.AvroConverter, key.converter.any.thing: 1"
    )
    assert [(each.path, each.help) for each in sink(tmp_path, config)] == [
        ("/config/predicates.p.patern", "did you mean `pattern`?"),
        ("/config/value.converter.schemas.enabled", "did you mean `schemas.enable`?"),
    ]


def test_settings_of_what_is_not_listed_are_told_once_for_each_name(tmp_path: Path) -> None:
    config = (
        f'transforms: "a", transforms.a.type: {KAFKA}RegexRouter, transforms.b.type: X, transforms.b.c: d, '
        "predicates.q.type: X, topic.creation.groups: g, topic.creation.default.partitions: 1, "
        "topic.creation.h.partitions: 1, topic.creation.enable: true"
    )
    found = sink(tmp_path, config)
    assert [(each.code, each.path.removeprefix("/config/")) for each in found] == [
        ("K253", "transforms.b.type"),
        ("K253", "predicates.q.type"),
        ("K253", "topic.creation.groups"),
        ("K253", "topic.creation.h.partitions"),
    ]


def test_a_query_of_heartbeats_without_heartbeats_has_no_effect(tmp_path: Path) -> None:
    query = "heartbeat.action.query: SELECT 1"
    assert cdc(tmp_path, query, "heartbeat: 0") == [("K249", "heartbeat.action.query")]
    assert cdc(tmp_path, query) == []


def test_dead_letters_of_a_source_have_no_effect(tmp_path: Path) -> None:
    assert cdc(tmp_path, "errors.deadletterqueue.topic.name: dead, errors.tolerance: all") == [
        ("K249", "errors.deadletterqueue.topic.name")
    ]


def test_an_undeclared_dead_letter_topic_is_a_warning(tmp_path: Path) -> None:
    name = "errors.deadletterqueue.topic.name"
    assert [(each.code, each.path) for each in sink(tmp_path, f"{name}: dead")] == [("K255", f"/config/{name}")]
    assert sink(tmp_path, f"{name}: t") == []
    assert sink(tmp_path, "", "dead_letter: {topic: dead}") == []


def test_a_dead_letter_topic_of_another_stack_is_declared(tmp_path: Path) -> None:
    config = "{topics: t, errors.deadletterqueue.topic.name: dead}"
    sinks = f"version: 1\nstack: a\ntopics: {{t: }}\nconnectors: {{c: {{class: FileStreamSink, config: {config}}}}}\n"
    (tmp_path / "a.yaml").write_text(sinks)
    (tmp_path / "b.yaml").write_text("version: 1\nstack: b\ntopics: {dead: }\n")
    both = load_project(Request([str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")], folder=str(tmp_path)))
    assert both.diagnostics == []


@pytest.mark.parametrize(
    ("config", "more", "policy", "key"),
    [
        ("", "tombstones: false", "compact", "tombstones.on.delete"),
        ("transforms: u, transforms.u.type: %s, %s: rewrite", "", "compact", "%s"),
        ("transforms: u, transforms.u.type: %s, %s: drop", "", "compact", "%s"),
        ("transforms: u, transforms.u.type: %s, %s: tombstone", "", "compact", ""),
        ("transforms: u, transforms.u.type: %s, %s: delete-to-tombstone", "tombstones: false", "compact", ""),
        ("", "tombstones: false", '"compact,delete"', ""),
        ("", "tombstones: false", "delete", ""),
        ("", "{tombstones: false, skip_operations: [d]}", "compact", ""),
        ("", "tombstones: true", "compact", ""),
    ],
)
def test_a_compacted_topic_without_tombstones_keeps_deleted_keys(
    tmp_path: Path, config: str, more: str, policy: str, key: str
) -> None:
    mode = "transforms.u.delete.tombstone.handling.mode"
    config = config % (UNWRAP, mode) if config else ""
    more = more.strip("{}").replace(", ", "\n    ")
    assert cdc(tmp_path, config, more, policy) == ([("K256", key.replace("%s", mode))] if key else [])


@pytest.mark.parametrize(
    ("old", "mode"),
    [
        ({"drop.tombstones": "false"}, "tombstone"),
        ({"drop.tombstones": "true"}, "drop"),
        ({"delete.handling.mode": "rewrite"}, "rewrite"),
        ({"delete.handling.mode": "rewrite", "drop.tombstones": "false"}, "rewrite-with-tombstone"),
        ({"delete.handling.mode": "none"}, "delete-to-tombstone"),
    ],
)
def test_old_settings_of_an_unwrap_become_the_one_of_today(old: dict[str, str], mode: str) -> None:
    config = {"transforms": "u", "transforms.u.type": UNWRAP, **{f"transforms.u.{k}": v for k, v in old.items()}}
    notes: list[str] = []
    found = modernize_transforms(Connector("c", config), notes.append).config
    new = "transforms.u.delete.tombstone.handling.mode"
    assert found == {"transforms": "u", "transforms.u.type": UNWRAP, new: mode}
    assert len(notes) == 1 and f"{new}: {mode}" in notes[0]


def test_what_no_mode_of_today_does_is_kept_with_a_note_and_a_warning() -> None:
    config = {"transforms": "u", "transforms.u.type": UNWRAP, "transforms.u.delete.handling.mode": "none",
              "transforms.u.drop.tombstones": "false"}  # fmt: skip
    notes: list[str] = []
    assert modernize_transforms(Connector("c", config), notes.append).config == config
    assert "it is kept" in notes[0]
    assert {found.code.number for found in transforms.findings(config)} == {"K254"}


def test_import_renames_the_settings_of_a_replace_field(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write(
        "c.json",
        '{"name": "c", "config": {"connector.class": "FileStreamSink", "topics": "t", "transforms": "r",'
        f' "transforms.r.type": "{KAFKA}ReplaceField$Value", "transforms.r.blacklist": "a,b"}}}}',
    )
    ended = shell.kplan("import", "--file", "c.json")
    assert 'exclude: "a,b"' in ended.out and "blacklist:" not in ended.out
    assert "transforms.r.blacklist is transforms.r.exclude today" in ended.err
