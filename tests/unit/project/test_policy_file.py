"""Policies are read from kplan.yaml and from a file of their own; what is wrong with them has its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.diagnostics import Invalid
from kplan.model.policies import Policy
from kplan.project.loading import Request, check_environments, load_environment

HEAD = "version: 1\nenvironments: {local: {}}\n"
BODY = "match: {kind: topic, action: [delete, replace]}, unless: {address: topic/tmp.*}, level: warn, message: Ask."
REQUIRE = "require: {after: {partitions: {maximum: 50}}}"


def read(folder: Path, text: str, file: str = "") -> tuple[Policy, ...]:
    (folder / "kplan.yaml").write_text(HEAD + text)
    if file:
        (folder / "policies.yaml").write_text(file)
    return load_environment(Request(folder=str(folder))).policies


def find_problems(folder: Path, text: str, file: str = "") -> list[str]:
    """Return `FILE:LINE:COLUMN CODE detail` for each problem; the same ones without an environment."""
    with pytest.raises(Invalid) as caught:
        read(folder, text, file)
    _, problems, _ = check_environments(Request(paths=("kplan.yaml",), folder=str(folder)))
    assert sorted(each.code for each in problems) == sorted(each.code for each in caught.value.diagnostics)
    return [f"{problem.span or ''} {problem.code} {problem.detail}" for problem in caught.value.diagnostics]


def test_a_list_and_a_map_and_a_file_are_the_same_policies(tmp_path: Path) -> None:
    inline = f"policies: [{{name: a, {BODY}}}, {{name: b, {REQUIRE}}}]"
    by_name = f"policies:\n  a: {{{BODY}}}\n  b: {{{REQUIRE}}}\n"
    listed, mapped = read(tmp_path, inline), read(tmp_path, by_name)
    from_list = read(tmp_path, "policies: {file: policies.yaml}", f"- {{name: a, {BODY}}}\n- {{name: b, {REQUIRE}}}\n")
    from_map = read(tmp_path, "policies: {file: policies.yaml}", f"a: {{{BODY}}}\nb: {{{REQUIRE}}}\n")
    for policies in (listed, mapped, from_list, from_map):
        a, b = policies
        assert (a.name, a.level, a.message, a.require) == ("a", "warn", "Ask.", None)
        assert a.match.criteria == {"kind": ("topic",), "action": ("delete", "replace")}
        assert [selector.criteria for selector in a.unless] == [{"address": ("topic/tmp.*",)}]
        assert (b.name, b.level, b.unless, b.match.criteria) == ("b", "deny", (), {})
        assert b.require == {"properties": {"after": {"properties": {"partitions": {"maximum": 50}}}}}
    places = [[str(policy.span) for policy in policies] for policies in (listed, mapped, from_list, from_map)]
    assert [[place.rpartition("/")[2] for place in each] for each in places] == [
        ["kplan.yaml:3:19", f"kplan.yaml:3:{inline.index('name: b') + 7}"],
        ["kplan.yaml:4:3", "kplan.yaml:5:3"],
        ["policies.yaml:1:10", "policies.yaml:2:10"],
        ["policies.yaml:1:1", "policies.yaml:2:1"],
    ]


def test_a_file_adds_to_the_policies_beside_it(tmp_path: Path) -> None:
    policies = read(tmp_path, f"policies:\n  file: policies.yaml\n  a: {{{BODY}}}\n", f"b: {{{REQUIRE}}}\n")
    assert [policy.name for policy in policies] == ["a", "b"]


@pytest.mark.parametrize("text", ["", "policies:\n", "policies: []\n", "policies: {}\n"])
def test_there_may_be_no_policies(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == ()


def test_several_exemptions(tmp_path: Path) -> None:
    (policy,) = read(tmp_path, "policies: {a: {unless: [{env: dev}, {stack: [x, z]}]}}")
    assert [selector.criteria for selector in policy.unless] == [{"env": ("dev",)}, {"stack": ("x", "z")}]


@pytest.mark.parametrize(
    ("text", "place", "code", "words"),
    [
        ("policies: {a: {mach: {kind: topic}}}", "3:16", "K106", "`mach` is not a key of a policy."),
        ("policies: {a: {match: {knd: topic}}}", "3:24", "K106", "`knd` is not a key of a selection of changes."),
        ("policies: {a: {match: {kind: topics}}}", "3:30", "K106", '`kind` is "topics".'),
        ("policies: {a: {match: {action: [drop]}}}", "3:33", "K106", 'Item 1 of `action` is "drop".'),
        ("policies: {a: {match: {risks: data-los}}}", "3:31", "K106", '`risks` is "data-los".'),
        ("policies: {a: {match: {risks: [K405, K999]}}}", "3:38", "K106", 'Item 2 of `risks` is "K999".'),
        ("policies: {a: {level: error}}", "3:23", "K106", '`level` is "error".'),
        ("policies: {a: {unless: {}}}", "3:24", "K106", ""),
        ("policies: [{match: {kind: topic}}]", "3:12", "K106", "`name` is missing in"),
        ("policies: {a: {name: b}}", "3:15", "K106", ""),
        ("policies: {a b: {}}", "3:12", "K106", ""),
        ("policies: {a: {require: {after: {partitions: {maximum: many}}}}}", "3:25", "K290", "'many' is not of type"),
        ("policies: {a: {require: {afetr: {type: object}}}}", "3:25", "K290", "a change has no `afetr`; did you mean"),
        ("policies: {a: {require: {required: [labl]}}}", "3:25", "K290", "a change has no `labl`"),
        ("policies: {a: {require: {name: {pattern: '(('}}}}", "3:25", "K290", "'((' is not a 'regex'"),
        ("policies: {a: {require: {after: {$ref: 'http://x'}}}}", "3:25", "K290", "$ref is not allowed here"),
        ("policies: [{name: a}, {name: a}]", "3:30", "K290", "policy a: at "),
    ],
)
def test_an_error_in_a_policy_has_its_place(tmp_path: Path, text: str, place: str, code: str, words: str) -> None:
    (problem,) = find_problems(tmp_path, text)
    where, number, detail = problem.split(" ", 2)
    assert (where.rpartition("/")[2], number) == (f"kplan.yaml:{place}", code)
    assert words in detail


def test_an_error_in_the_file_of_policies_has_its_place(tmp_path: Path) -> None:
    text, file = "policies: {file: policies.yaml}", "a:\n  match: {kinds: topic}\n"
    (problem,) = find_problems(tmp_path, text, file)
    assert "policies.yaml:2:11 K106 `kinds` is not a key" in problem
    problems = find_problems(tmp_path, text, "file: other.yaml\n")
    assert any("policies.yaml:1:" in problem for problem in problems), "a file of policies names no other one"


def test_a_name_is_used_once_in_both_files(tmp_path: Path) -> None:
    (problem,) = find_problems(tmp_path, "policies: {file: policies.yaml, a: {}}", "a: {}\n")
    assert "policies.yaml:1:1 K290 policy a: at " in problem and "kplan.yaml:3:33 too" in problem


@pytest.mark.parametrize("name", ["gone.yaml", "../elsewhere.yaml", "link.yaml"])
def test_a_file_of_policies_that_cannot_be_read_is_an_error(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "elsewhere.yaml").write_text("a: {}\n")
    (folder / "link.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    (problem,) = find_problems(folder, f"policies: {{file: {name}}}")
    assert "kplan.yaml:3:18 K107" in problem and name.removeprefix("../") in problem
