"""What a stack includes: merged key by key, with the places of the files that say it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kplan.project.loading import Loaded, Request, load_project
from tests.shell import Shell

COMMON = """\
version: 1
variables: {region: {default: eu}, size: {type: integer, default: 2}}
defaults: {topic: {partitions: 3, config: {retention.ms: 7d}}}
classes:
  compacted: {partitions: 12, config: {cleanup.policy: compact, retention.ms: null}}
  typo: {config: {retenton.ms: 1}}
topics:
  common.{{ var.region }}: {config: {retention.ms: 1d}}
"""
STACK = """\
version: 1
stack: shop
include: [common/a.yaml]
variables: {size: {type: integer, default: 5}, password: {env: PASSWORD, sensitive: true}}
topics:
  shop.plain:
  shop.table: {class: compacted, partitions: 4}
  common.{{ var.region }}: {partitions: "{{ var.size }}"}
connectors:
  cdc:
    template: debezium-postgres
    topic_prefix: cdc
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.password }}"}
    tables: {orders: {class: compacted}}
"""


def project(folder: Path, **files: str) -> Path:
    for name, text in {"kplan.yaml": "version: 1\nenvironments: {local: {}}\n", **files}.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def load(folder: Path) -> Loaded:
    before = Path.cwd()
    os.chdir(folder)
    try:
        return load_project(Request(paths=("stacks/shop.yaml",), process={"PASSWORD": "x-of-tests"}))
    finally:
        os.chdir(before)


def test_maps_are_merged_and_the_stack_wins(tmp_path: Path) -> None:
    loaded = load(project(tmp_path, **{"common__a.yaml": COMMON, "stacks__shop.yaml": STACK}))
    assert not loaded.has_errors, loaded.diagnostics
    topics = {a.name: r for a, r in loaded.stacks[0].resources.items() if a.kind == "topic"}
    described = {name: (t.partitions, t.config.get("cleanup.policy"), t.config.get("retention.ms"))  # type: ignore[attr-defined]
                 for name, t in topics.items() if "heartbeat" not in name}  # fmt: skip
    assert described == {
        "shop.plain": (3, None, "604800000"),
        "shop.table": (4, "compact", None),
        "common.eu": (5, None, "86400000"),
        "cdc.public.orders": (12, "compact", None),
    }
    assert {file.path for file in loaded.stacks[0].files} == {"kplan.yaml", "common/a.yaml", "stacks/shop.yaml"}


def test_the_source_of_a_setting_is_its_class_and_rules_are_the_classes_too(tmp_path: Path) -> None:
    common = COMMON.replace("compacted: {", "compacted: {protect: true, team: core, labels: {a: '1', b: '2'}, ")
    stack = (
        STACK.replace("class: compacted, part", "class: compacted, labels: {b: '3'}, part")
        .replace("{orders: {class: compacted}}", '{orders: {class: "{{ var.kind }}"}}')
        .replace("variables: {", "variables: {kind: {default: compacted}, ")
    )
    loaded = load(project(tmp_path, **{"common__a.yaml": common, "stacks__shop.yaml": stack}))
    assert not loaded.has_errors, loaded.diagnostics
    topics = {a.name: r for a, r in loaded.stacks[0].resources.items() if a.kind == "topic"}
    table, of_table = topics["shop.table"], topics["cdc.public.orders"]
    assert table.origin.sources["/config/cleanup.policy"] == "class compacted"
    assert table.origin.sources["/partitions"] == "topic"
    assert of_table.origin.sources["/partitions"] == "class compacted"
    span = of_table.origin.spans["/partitions"]
    assert (span.path, span.line) == ("common/a.yaml", 5)
    assert (table.rules.protect, table.rules.team, dict(table.rules.labels)) == (True, "core", {"a": "1", "b": "3"})
    assert of_table.rules.protect


def test_a_later_file_wins_and_places_are_those_of_the_file(tmp_path: Path) -> None:
    second = "version: 1\ndefaults: {topic: {partitions: 9}}\n"
    stack = "version: 1\nstack: shop\ninclude: [common/a.yaml, common/b.yaml]\ntopics: {x: {class: typo}}\n"
    folder = project(tmp_path, **{"common__a.yaml": COMMON, "common__b.yaml": second, "stacks__shop.yaml": stack})
    loaded = load(folder)
    [problem] = [each for each in loaded.diagnostics if each.is_error]
    assert problem.code == "K104" and problem.span
    assert (problem.span.path, problem.span.line) == ("common/a.yaml", 6)
    topics = {a.name: r for a, r in loaded.stacks[0].resources.items()}
    assert topics["common.eu"].partitions == 9  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("include", "code", "words"),
    [
        ("common/b.yaml", "K116", "there is no such file"),
        ("../outside.yaml", "K116", "leads out of"),
        ("common/link.yaml", "K116", "leads out of"),
        ("platform:a.yaml", "K118", "there is no module platform"),
        ("stacks/other.yaml", "K106", "stack"),
    ],
)
def test_what_cannot_be_included_is_an_error_with_its_place(
    tmp_path: Path, include: str, code: str, words: str
) -> None:
    (tmp_path / "outside.yaml").write_text(COMMON)
    stack = f'version: 1\nstack: shop\ninclude: ["{include}"]\n'
    other = "version: 1\nstack: other\n"
    folder = project(
        tmp_path / "p", **{"common__a.yaml": COMMON, "stacks__shop.yaml": stack, "stacks__other.yaml": other}
    )
    (folder / "common/link.yaml").symlink_to(tmp_path / "outside.yaml")
    [problem] = [each for each in load(folder).diagnostics if each.is_error]
    assert problem.code == code and problem.span and problem.span.line in (2, 3)
    assert words in f"{problem.summary} {problem.detail} {problem.help}"


def test_a_class_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    stack = STACK.replace("class: compacted, part", "class: compact, part")
    loaded = load(project(tmp_path, **{"common__a.yaml": COMMON, "stacks__shop.yaml": stack}))
    [problem] = [each for each in loaded.diagnostics if each.is_error]
    assert (problem.code, problem.help) == ("K117", "did you mean `compacted`?")
    assert problem.span and problem.span.line == 7


def test_a_template_of_the_project_is_found_and_is_one_of_the_plans_files(tmp_path: Path) -> None:
    folder = project(tmp_path, **{
        "kplan.yaml": "version: 1\ntemplates: [shared]\nenvironments: {local: {}}\n",
        "shared__own-sink.yaml": "version: 1\ntemplate: own-sink\nextends: file-sink\n",
        "stacks__shop.yaml": "version: 1\nstack: shop\ntopics: {a: }\n"
                             "connectors: {s: {template: own-sink, reads: [a], file: /x}}\n",
    })  # fmt: skip
    loaded = load(folder)
    assert not loaded.has_errors, loaded.diagnostics
    assert "shared/own-sink.yaml" in {file.path for file in loaded.stacks[0].files}


def test_a_change_of_an_included_file_makes_a_saved_plan_stale(tmp_path: Path) -> None:
    shell = Shell(
        project(tmp_path, **{"common__a.yaml": COMMON, "stacks__shop.yaml": STACK}), {"PASSWORD": "x-of-tests"}
    )
    shell.kplan("plan", "stacks/shop.yaml", "--out", "saved.json")
    (tmp_path / "common/a.yaml").write_text(COMMON + "# more\n")
    assert "common/a.yaml" in shell.kplan("apply", "saved.json", "--yes", expect=None).all


def test_a_problem_of_an_included_class_of_connectors_is_at_its_line(tmp_path: Path) -> None:
    common = (
        COMMON + "connector_classes:\n  files:\n    file: /data/out\n    config: {producer.sasl.password: written}\n"
    )
    sink = "{template: file-sink, class: files, reads: [common.eu]}"
    stack = f"version: 1\nstack: shop\ninclude: [common/a.yaml]\nconnectors: {{s: {sink}}}\n"
    loaded = load(project(tmp_path, **{"common__a.yaml": common, "stacks__shop.yaml": stack}))
    [problem] = [each for each in loaded.diagnostics if each.is_error]
    assert problem.code == "K210" and problem.span
    assert (problem.span.path, problem.span.line) == ("common/a.yaml", COMMON.count("\n") + 4)
