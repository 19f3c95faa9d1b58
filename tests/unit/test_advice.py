"""The help of an error says what was probably meant, at the place where it is to be written."""

# ruff: noqa: E501 (a line for each mistake)

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.model import Target
from kplan.project.loading import Request, load_project
from tests.shell import Shell

HEAD = "version: 1\nstack: s\nvariables:\n  partitions: {type: integer, default: 3}\n"
DATABASE = "database: {hostname: a, name: b, user: c, password: '${env:PW}'}"

# What stands from line 5 on; the code, the place, and parts of the detail and of the help.
MISTAKES = [
    ("topics: {a.b: {partitions: '{{ var.parts }}'}}", "K201", (5, 28), "no variable `parts`", "did you mean `partitions`?"),
    ("topics: {a.b: {partitions: '{{ var.zzz }}'}}", "K201", (5, 28), "no variable `zzz`", "declare it under `variables:`"),
    ("topics: {a.b: {partitions: '{{ vars.x }}'}}", "K201", (5, 28), "no `vars` here", "did you mean `var`?"),
    ("topics: {a.b: {config: {retention.ms: '{{ env.HOME }}'}}}", "K201", (5, 39), "no `env`", "{name: {env: NAME}}"),
    ("topics: {'{{ each.key }}': {}}", "K201", (5, 28), "no `each` here", "with `for_each:` only"),
    ("topics: {g: {for_each: [a, b, c]}}", "K220", (5, 10), "each of the 3 items makes `g`", '"g.{{ each.key }}"'),
    ("connectors: {c: {class: X, for_each: {a: 1, b: 2}}}", "K220", (5, 14), "each of the 2 items", '"c.{{ each.key }}"'),
    ("topics:\n  a.b: {}\n  partitions: 3", "K106", (7, 15), "`partitions` is a number", "under the entry that it belongs to, such as `a.b`"),
    ("topics:\n- name: a.b\n  partitions: 3", "K106", (6, 1), "`topics` is a list", "write `a.b: {partitions: 3}`, without `-`"),
    ("topics: [a.b]", "K106", (5, 9), "`topics` is a list", "write `a.b:`, without `-`"),
    ("topics: {a.b: {partitions: '${var.p}'}}", "K106", (5, 28), "is text", 'a template is written "{{ var.p }}"'),
    ("topics:\n\ta.b: {}", "K101", (6, 1), "A tab indents this line", "spaces alone"),
    ("topics: {a.b: {config: {retention.ms: 7 days}}}", "K108", (5, 39), "did you mean 7d?", ""),
    ("topics: {a.b: {config: {retention.ms: 12 HOURS}}}", "K108", (5, 39), "did you mean 12h?", ""),
    ("topics: {a.b: {config: {retention.ms: 7 moons}}}", "K108", (5, 39), "write 7d, 12h, 90s", ""),
    (f"connectors: {{c: {{template: debezium-postgres, {DATABASE}, tables: [a]}}}}", "K106", (5, 14), "`topic_prefix` is missing", "add `topic_prefix: orders`"),
    (f"connectors: {{c: {{template: debezium-postgres, topic_prefix: c, {DATABASE}}}}}", "K226", (5, 14), "every table", "is that meant?"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "place", "detail", "help"), MISTAKES, ids=lambda value: str(value)[:24])
def test_a_mistake(text: str, code: str, place: tuple[int, int], detail: str, help: str, tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(f"{HEAD}{text}\n")
    loaded = load_project(Request(["orders.yaml"], folder=str(tmp_path), offline_target=Target()))
    (problem,) = loaded.diagnostics
    assert problem.code == code
    assert problem.span and (problem.span.line, problem.span.column) == place
    assert detail in problem.detail
    assert help in problem.help


def test_the_name_of_a_stack_is_proposed_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "My Orders.v2.yaml").write_text("version: 1\ntopics: {a.b: {}}\n")
    (problem,) = load_project(Request(["My Orders.v2.yaml"], folder=str(tmp_path))).diagnostics
    assert problem.help == "add `stack: my-orders`"


def test_a_variable_without_a_value_names_its_own_variable_of_the_process(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write(
        "s.yaml",
        "version: 1\nstack: s\nvariables:\n  size: {type: integer, env: NOPE}\n  pw: {type: string, env: DB_PW, sensitive: true}\n"
        "  other: {type: string, sensitive: true}\n",
    )
    refused = shell.kplan("plan", "s.yaml", expect=4)
    assert "--var size=…, KPLAN_VAR_size or NOPE in the process's environment, a `default:`" in refused.err
    assert "help: set KPLAN_VAR_pw or DB_PW in the process's environment\n" in refused.err
    assert "help: set KPLAN_VAR_other\n" in refused.err


def test_a_key_of_the_environments_that_is_written_otherwise(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: {kafka: {bootstrap_servers: 'b:1'}}}\n")
    assert (
        "write `bootstrap.servers` instead of `bootstrap_servers`"
        in shell.kplan("validate", "kplan.yaml", expect=4).out
    )


def test_a_missing_connect_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("version: 1\nstack: s\nconnectors: {c: {class: X}}\n")
    request = Request(["shop.yaml"], folder=str(tmp_path), bootstrap="b:1")
    assert [(each.code, each.help) for each in load_project(request).diagnostics] == [("K218", "add --connect URL")]
    (tmp_path / "kplan.yaml").write_text("version: 1\nenvironments: {local: {kafka: {bootstrap.servers: 'b:1'}}}\n")
    (problem,) = load_project(Request(["shop.yaml"], folder=str(tmp_path))).diagnostics
    assert problem.help == "add `connect: {url: …}` to the environment"
    for name in ("shp.yaml", "shop.yml", "shop"):
        (problem,) = load_project(Request([name], folder=str(tmp_path))).diagnostics
        assert (problem.code, problem.help.endswith("shop.yaml?")) == ("K107", True)
    (problem,) = load_project(Request(["other.yaml"], folder=str(tmp_path))).diagnostics
    assert "did you mean" not in problem.help
