"""Views of one plan: each where it was asked for, all of the same document, whatever the plan came to."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest

from kplan.__main__ import run
from kplan.cli import COMMANDS, cli
from kplan.cli.options import FLAGS_WITHOUT_VARIABLE
from kplan.cli.output import save
from kplan.cli.report_flags import KINDS
from kplan.render.plain import summarize
from kplan.render.text import Context, Style, render_body, render_header
from kplan.render.views import VIEWS, render
from tests.plans import small
from tests.shell import Ended, Shell

SECRET = "only-a-test-7c21"
FILES = {"md": "r.md", "html": "r.html", "json": "r.json", "text": "r.txt", "concise": "r.lines", "github": "r.github",
         "junit": "r.xml", "sarif": "r.sarif"}  # fmt: skip
REPORTS = [word for kind, file in FILES.items() for word in ("--report", f"{kind}={file}")]
STACK = """\
version: 1
stack: shop
variables: {password: {type: string, sensitive: true}}
topics:
  shop.orders: {partitions: 3, config: {retention.ms: 7d}}
  shop.old: {partitions: 1}
connectors:
  copy:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {file: /tmp/x, topics: shop.orders, some.password: "{{ var.password }}"}
"""
CHANGED = STACK.replace("partitions: 3", "partitions: 6").replace("  shop.old: {partitions: 1}\n", "")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path, {"KPLAN_VAR_password": SECRET}, (SECRET,))
    made.write("stack.yaml", STACK)
    return made


@pytest.fixture
def applied(shell: Shell) -> Shell:
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", CHANGED)
    return shell


def texts(shell: Shell) -> dict[str, str]:
    """Each report that is there; nothing else was left beside them."""
    found = {kind: shell.folder / file for kind, file in FILES.items()}
    assert not list(shell.folder.glob(".r.*"))
    return {kind: path.read_text("utf-8") for kind, path in found.items() if path.exists()}


# -- one document -----------------------------------------------------------------------------------------------------
def test_every_kind_is_a_view() -> None:
    assert set(KINDS) == set(VIEWS) == set(FILES)


def test_all_reports_of_one_run_are_of_one_plan(applied: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is made once, and every view is given the very same document."""
    import kplan.planning.pipeline
    import kplan.render.views

    make_all, made, seen = kplan.planning.pipeline.make_all, [], set()

    def counted(*arguments: Any) -> Any:
        made.append(make_all(*arguments))
        return made[-1]

    def watched(kind: str, documents: Any, context: Context) -> str:
        seen.update(map(id, documents))
        return render(kind, documents, context)

    monkeypatch.chdir(applied.folder)
    monkeypatch.setenv("KPLAN_VAR_password", SECRET)
    monkeypatch.setattr(kplan.planning.pipeline, "make_all", counted)
    monkeypatch.setattr(kplan.render.views, "render", watched)
    assert run(["plan", "stack.yaml", *REPORTS, "--out", "plan.json", "--format", "json", "--quiet"]) == 3
    assert len(made) == 1 and len(seen) == 1
    assert len(texts(applied)) == len(KINDS)


def test_the_views_agree(applied: Shell) -> None:
    ended = applied.kplan("plan", "stack.yaml", *REPORTS, "--out", "plan.json", expect=3)
    found = texts(applied)
    document = json.loads(found["json"])
    assert found["json"] == (applied.folder / "plan.json").read_text("utf-8")
    digest = document["digest"].removeprefix("sha256:")[:8]
    for kind in ("text", "md", "html"):
        assert digest in found[kind], kind
    assert digest in ended.out
    for change in document["changes"]:
        for kind in ("text", "md", "html", "concise"):
            assert change["address"] in found[kind] or change["name"] in found[kind], (kind, change["address"])
    for risk in (risk for change in document["changes"] for risk in change["risks"] if risk["level"] == "danger"):
        for kind in KINDS:
            assert risk["code"] in found[kind], f"{kind} does not tell the danger {risk['code']}"


def test_the_text_report_is_what_a_terminal_shows(applied: Shell) -> None:
    ended = applied.kplan("plan", "stack.yaml", "--report", "text=r.txt", expect=3)
    assert re.sub(r" \d+\.\d\d s", "", texts(applied)["text"]) == re.sub(r" \d+\.\d\d s", "", ended.out)


# -- whatever the plan came to ----------------------------------------------------------------------------------------
def test_reports_are_written_of_a_plan_with_errors(applied: Shell) -> None:
    applied.write(
        "stack.yaml", STACK.replace("partitions: 1", "partitions: 2").replace("partitions: 3", "partitions: 2")
    )
    applied.kplan("plan", "stack.yaml", *REPORTS, expect=4)
    found = texts(applied)
    assert {kind for kind, text in found.items() if "K232" in text} == set(KINDS)
    assert found["concise"].endswith("\nNOT POSSIBLE: 1 error.\n") and "NOT POSSIBLE" in found["text"]


def test_reports_hold_what_is_wrong_before_there_is_a_plan(shell: Shell) -> None:
    shell.write("stack.yaml", STACK.replace("retention.ms", "retenton.ms"))
    ended = shell.kplan("plan", "stack.yaml", *REPORTS, expect=4)
    found = texts(shell)
    assert {kind for kind, text in found.items() if "K104" in text} == set(KINDS)
    assert json.loads(found["json"])["diagnostics"][0]["line"] == 5
    assert ElementTree.fromstring(found["junit"]).get("failures") == "1"
    (result,) = json.loads(found["sarif"])["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 5
    assert "stack=shop" in found["md"], "the comment is found by the stack's name, which is known all the same"
    assert "K104" in ended.err and not ended.out


def test_reports_hold_that_a_server_does_not_answer(shell: Shell) -> None:
    far = '{kafka: {bootstrap.servers: "127.0.0.1:1"}, timeouts: {request: 500ms}, retry: {attempts: 1}}'
    shell.write("kplan.yaml", f"version: 1\nenvironments: {{far: {far}}}\n")
    shell.write("stack.yaml", "version: 1\nstack: shop\ntopics: {shop.orders: }\n")
    ended = shell.kplan("plan", "stack.yaml", *REPORTS, expect=1)
    found = texts(shell)
    assert {kind for kind, text in found.items() if "K310" in text} == set(KINDS), ended.all
    assert ElementTree.fromstring(found["junit"]).get("errors") == "1"


def test_a_file_that_is_no_yaml_is_reported_too(shell: Shell) -> None:
    shell.write("stack.yaml", "stack: shop\ntopics: [\n")
    shell.kplan("plan", "stack.yaml", *REPORTS, expect=4)
    assert {kind for kind, text in texts(shell).items() if "K101" in text} == set(KINDS)


@pytest.mark.parametrize("view", ["md", "html", "json"])
def test_a_document_on_standard_output_holds_the_problems_too(shell: Shell, view: str) -> None:
    shell.write("stack.yaml", STACK.replace("retention.ms", "retenton.ms"))
    assert "K104" in shell.kplan("plan", "stack.yaml", "--format", view, expect=4).out


def test_warnings_of_the_files_are_in_the_document(shell: Shell) -> None:
    shell.write("stack.yaml", STACK.replace("topics: shop.orders", "topics: elsewhere.orders"))
    ended = shell.kplan("plan", "stack.yaml", "--report", "json=r.json")
    assert [d["code"] for d in json.loads(texts(shell)["json"])["diagnostics"]] == ["K215"]
    assert ended.err.count("K215") == 1 and "1 warning, above." in ended.out


def test_two_stacks_are_one_report(shell: Shell) -> None:
    shell.write("stacks/a.yaml", "version: 1\nstack: a\ntopics: {a.b: }\n")
    shell.write("stacks/b.yaml", "version: 1\nstack: b\ntopics: {b.c: }\n")
    shell.kplan("plan", "stacks", *REPORTS)
    found = texts(shell)
    assert len(json.loads(found["json"])["plans"]) == 2
    for kind in ("text", "md", "html", "concise", "junit"):
        assert re.search(r"\ba\b", found[kind]) and "b.c" in found[kind], kind


# -- a wrong command line ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--report", "markdwn=x"], "did you mean md?"),
        (["--report", "md"], "'md' is not KIND=FILE"),
        (["--report", "md="], "'md=' is not KIND=FILE"),
        (["--report", "md=x", "--report", "html=./x"], "html=./x and md=x go to the same place"),
        (["--report", "md=x", "--report", "md=x"], "go to the same place"),
        (["--report", "json=x", "--out", "x"], "--out and json=x go to the same place"),
        (["--out", "none/x"], "--out: there is no folder none"),
        (["--report", "md=-", "--report", "github=-"], "github=- and md=- go to the same place"),
        (["--report", "md=-", "--format", "json"], "md=- and --format json both go to standard output"),
        (["--report", "md=none/x"], "there is no folder none"),
        (["--report", "md=."], ". is a folder"),
        (["--report", "md=stack.yaml/x"], "there is no folder stack.yaml"),
    ],
)
def test_a_report_that_cannot_be_is_a_wrong_command_line(shell: Shell, arguments: list[str], words: str) -> None:
    ended = shell.kplan("plan", "stack.yaml", *arguments, expect=64)
    assert words in ended.err and not ended.out
    assert not (shell.folder / "x").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told_first(shell: Shell) -> None:
    (shell.folder / "locked").mkdir(mode=0o500)
    assert "cannot be written" in shell.kplan("plan", "stack.yaml", "--report", "md=locked/x", expect=64).err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["apply", "stack.yaml", "--report", "md=-"], "standard output shows the run"),
        (["validate", "stack.yaml", "--report", "md=x"], "there is no view 'md'"),
        (["show", "--format", "md"], "--format md is a view of a saved plan"),
        (["show", "--stack", "stack.yaml", "--report", "sarif=x"], "--report sarif=x is a view of a saved plan"),
    ],
)
def test_a_view_of_something_else_is_a_wrong_command_line(shell: Shell, arguments: list[str], words: str) -> None:
    assert words in shell.kplan(*arguments, expect=64).err


# -- files ------------------------------------------------------------------------------------------------------------
def test_a_report_that_cannot_be_written_leaves_the_others(shell: Shell) -> None:
    ended = shell.kplan("plan", "stack.yaml", "--report", "html=/dev/full", "--report", "md=r.md", expect=1)
    assert "K611" in ended.err and "/dev/full: No space left on device" in ended.err
    assert "shop.orders" in texts(shell)["md"]
    refused = shell.kplan("apply", "stack.yaml", "--yes", "--report", "html=/dev/full", expect=1)
    assert "Nothing was changed" in refused.err and "No runs" in shell.kplan("show").out


def test_a_device_or_a_link_stays_what_it_is(shell: Shell) -> None:
    (shell.folder / "link.md").symlink_to("real.md")
    shell.kplan("plan", "stack.yaml", "--report", "json=/dev/null", "--report", "md=link.md")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)  # noqa: PTH116
    assert (shell.folder / "link.md").is_symlink() and "shop.orders" in (shell.folder / "real.md").read_text()


def test_a_file_keeps_its_mode_and_a_new_one_gets_the_usual(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("before")
    old.chmod(0o640)
    save(str(old), "after")
    save(str(new), "after")
    mask = os.umask(0)
    os.umask(mask)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (old, new)] == [0o640, 0o666 & ~mask]
    assert old.read_text() == "after"


def test_a_file_holds_all_or_what_it_held_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report"
    path.write_text("before")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError):
        save(str(path), "after")
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_no_report_holds_a_secret(applied: Shell) -> None:
    applied.kplan("plan", "stack.yaml", *REPORTS, "--var", f"password={SECRET}2", expect=3)
    applied.write("other.yaml", STACK.replace("{{ var.password }}", SECRET))
    applied.kplan("plan", "other.yaml", *[word.replace("=r.", "=s.") for word in REPORTS], expect=4)
    written = list(applied.folder.glob("[rs].*"))
    assert len(written) == len(REPORTS)  # two of each
    for path in written:
        assert SECRET not in path.read_text("utf-8"), path.name


# -- GitHub -----------------------------------------------------------------------------------------------------------
def test_annotations_follow_the_text_and_the_summary_is_appended(applied: Shell) -> None:
    summary = applied.write("summary.md", "what was there before\n")
    arguments = ("plan", "stack.yaml", "--report", "github=-")
    ended = applied.kplan(*arguments, expect=3, GITHUB_STEP_SUMMARY=str(summary))
    text, _, commands = ended.out.partition("::error ")
    assert "BLOCKED" in text and "title=kplan (K404)" in commands
    assert summary.read_text().startswith("what was there before\n<!-- kplan:v1 stack=shop")
    applied.kplan("plan", "stack.yaml", "--report", "github=r.github", expect=3, GITHUB_STEP_SUMMARY=str(summary))
    assert summary.read_text().count("<!-- kplan:v1 stack=shop") == 2


def test_annotations_do_not_stand_in_a_document(applied: Shell) -> None:
    ended = applied.kplan("plan", "stack.yaml", "--report", "github=-", "--format", "json", expect=3)
    assert ended.json["blocked"] and "::error title=kplan (K404)" in ended.err


def test_paths_start_at_the_workspace(shell: Shell) -> None:
    shell.write("deploy/stack.yaml", STACK.replace("retention.ms", "retenton.ms"))
    arguments = ("validate", "stack.yaml", "-C", "deploy", "--report", "sarif=r.sarif", "--report", "github=-")
    ended = shell.kplan(*arguments, expect=4, GITHUB_WORKSPACE=str(shell.folder))
    assert "file=deploy/stack.yaml,line=5" in ended.out
    (result,) = json.loads((shell.folder / "deploy/r.sarif").read_text())["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "deploy/stack.yaml"


def test_the_address_of_the_run_is_in_the_comment(applied: Shell) -> None:
    known = {"GITHUB_SERVER_URL": "https://git.example", "GITHUB_REPOSITORY": "shop/kafka", "GITHUB_RUN_ID": "17"}
    assert (
        "https://git.example/shop/kafka/actions/runs/17"
        in applied.kplan("plan", "stack.yaml", "--format", "md", expect=3, **known).out
    )


@pytest.mark.parametrize(("known", "address"), [
    ({"GITHUB_SERVER_URL": "https://git.example", "GITHUB_REPOSITORY": "shop/kafka", "GITHUB_SHA": "3f2a1bc8" * 5,
      "GITHUB_ACTOR": "ana", "GITHUB_REF": "refs/pull/17/merge"}, "https://git.example/shop/kafka/blob/COMMIT/FILE"),
    ({"CI_PROJECT_URL": "https://lab.example/shop/kafka", "CI_COMMIT_SHA": "3f2a1bc8" * 5, "GITLAB_USER_LOGIN": "ana",
      "CI_MERGE_REQUEST_IID": "17"}, "https://lab.example/shop/kafka/-/blob/COMMIT/FILE"),
    ({"CI_PROJECT_URL": "javascript:alert(1)//", "CI_COMMIT_SHA": "3f2a1bc8" * 5}, ""),
    ({}, ""),
])  # fmt: skip
def test_a_place_is_a_link_to_the_commit_and_the_author_is_named(
    known: dict[str, str], address: str, applied: Shell
) -> None:
    known = {**known, "GITHUB_WORKSPACE": str(applied.folder.parent)}
    reports = ("--report", "md=r.md", "--report", "html=r.html")
    applied.kplan("plan", "stack.yaml", *reports, expect=3, **known)
    comment, page = ((applied.folder / name).read_text("utf-8") for name in ("r.md", "r.html"))
    expected = address.replace("COMMIT", "3f2a1bc8" * 5).replace("FILE", f"{applied.folder.name}/stack.yaml#L")
    if not address:
        assert "/blob/" not in comment + page and "javascript:" not in comment + page
    else:
        assert f"](<{expected}" in comment and f'<a href="{expected}' in page
        request = "#17" if "GITHUB_ACTOR" in known else "!17"
        assert "for ana, " in comment and f"ana, {request}" in page


# -- other commands ---------------------------------------------------------------------------------------------------
def test_validate_reports_what_needs_no_server(shell: Shell) -> None:
    reports = [word for kind in ("sarif", "junit", "json") for word in ("--report", f"{kind}={FILES[kind]}")]
    shell.write("bad.yaml", "version: 1\nstack: bad\ntopics: {a.b: {partitions: 0}}\n")
    ended = shell.kplan("validate", "stack.yaml", "bad.yaml", *reports, "--report", "github=-", expect=4)
    found = texts(shell)
    suites = ElementTree.fromstring(found["junit"])
    assert [(suite.get("name"), suite.get("failures")) for suite in suites] == [("shop local", "0"), ("bad local", "1")]
    assert not json.loads(found["json"])["valid"] and "K106" in found["sarif"]
    assert "::error title=kplan (K106),file=bad.yaml,line=3" in ended.out
    assert shell.kplan("validate", "bad.yaml", "--format", "sarif", expect=4).json["version"] == "2.1.0"


def test_validate_says_the_same_where_all_is_well(shell: Shell) -> None:
    shell.kplan("validate", "stack.yaml", "--report", "junit=r.xml", "--report", "github=-", GITHUB_STEP_SUMMARY="s.md")
    assert ElementTree.fromstring(texts(shell)["junit"]).get("failures") == "0"
    assert not (shell.folder / "s.md").exists(), "there is nothing to tell"


def test_a_saved_plan_is_shown_in_any_form(applied: Shell) -> None:
    applied.kplan("plan", "stack.yaml", "--out", "plan.json", "--report", "md=r.md", expect=3)
    for view in ("md", "html", "concise", "json", "text"):
        assert "shop.orders" in applied.kplan("show", "plan.json", "--format", view).out
    assert applied.kplan("show", "plan.json", "--format", "json").out == (applied.folder / "plan.json").read_text()
    applied.kplan("show", "plan.json", *REPORTS)
    assert set(texts(applied)) == set(KINDS)


def test_apply_and_destroy_report_the_plan_before_they_begin(applied: Shell) -> None:
    applied.kplan("apply", "stack.yaml", "--yes", *REPORTS, expect=3)
    assert json.loads(texts(applied)["json"])["blocked"]
    applied.write("stack.yaml", STACK)
    applied.kplan("plan", "stack.yaml", "--out", "plan.json")
    applied.kplan("apply", "plan.json", *REPORTS)
    assert not json.loads(texts(applied)["json"])["blocked"]
    applied.kplan("destroy", "stack.yaml", "--yes", "--report", "json=r.json")
    assert json.loads(texts(applied)["json"])["mode"] == "destroy"


def test_a_report_of_a_failed_apply_stays_the_plan(shell: Shell) -> None:
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {fail: [connector/copy]}}}\n")
    shell.kplan("apply", "stack.yaml", "--yes", *REPORTS, expect=7)
    assert len(json.loads(texts(shell)["json"])["changes"]) == 3


# -- quiet, brief, verbose --------------------------------------------------------------------------------------------
def test_quiet_says_only_what_went_wrong(applied: Shell) -> None:
    ended = applied.kplan("plan", "stack.yaml", "--quiet", expect=3)
    assert not ended.out and ended.err.startswith("BLOCKED: 1 danger is not accepted.") and "--accept" in ended.err
    accepted = applied.kplan("plan", "stack.yaml", "--quiet", "--accept", "delete:topic/shop.old")
    assert not accepted.all


def test_quiet_keeps_back_no_document_that_was_asked_for(applied: Shell) -> None:
    assert applied.kplan("plan", "stack.yaml", "-q", "--format", "json", expect=3).json["blocked"]
    arguments = ("apply", "stack.yaml", "-q", "--yes", "--format", "json", "--accept", "delete:topic/shop.old")
    assert '"type": "apply_summary"' in applied.kplan(*arguments).out


def test_concise_says_that_it_is_of_a_snapshot(applied: Shell) -> None:
    applied.kplan("snapshot", "stack.yaml", "--out", "live.json")
    ended = applied.kplan("plan", "stack.yaml", "--live", "live.json", "--format", "concise", expect=3)
    assert ended.out.startswith("shop · env local · SNAPSHOT of SIMULATED cluster .kplan/local.db, taken ")


def test_concise_is_a_line_for_each_step_the_verdict_and_a_line_for_each_danger(applied: Shell) -> None:
    lines = applied.kplan("plan", "stack.yaml", "--format", "concise", expect=3).out.splitlines()
    assert lines == [
        "shop · env local · SIMULATED cluster .kplan/local.db",
        lines[1],
        lines[2],
        lines[3],
        lines[4],
        "BLOCKED: 1 not accepted: K404 topic/shop.old",
    ]
    assert lines[1].startswith("~! topic/shop.orders  ") and lines[1].endswith("partitions 3 -> 6  stack.yaml:5")
    assert lines[2].startswith("-! topic/shop.old  DANGER K404") and lines[3].startswith("Plan: 0 to add, 1 to change")
    assert (
        lines[4].startswith("DANGER K404 topic/shop.old: ")
        and "(to accept it: --accept delete:topic/shop.old)" in lines[4]
    )


def alike(count: int) -> str:
    names = ", ".join(f"t{n:05}" for n in range(count))
    return f"version: 1\nstack: many\ntopics:\n  'many.{{{{ each.key }}}}': {{for_each: [{names}], partitions: 2}}\n"


def test_many_steps_that_are_alike_are_told_once_and_verbose_tells_each(shell: Shell) -> None:
    shell.write("stack.yaml", alike(300))
    text = shell.kplan("plan", "stack.yaml").out
    assert text.count("partitions           2") == 1 and " 2  +  and 299 more like it, in steps 2 to 300:" in text
    shown = len(re.findall(r"many\.t\d+", text))
    assert f"… and {300 - shown:,} more (--verbose shows each)" in text and "Plan: 300 to add" in text
    verbose = shell.kplan("plan", "stack.yaml", "--verbose").out
    assert len(re.findall(r"^ *\d+  \+  topic/many\.t\d+ ", verbose, re.MULTILINE)) == 300
    assert verbose.count("partitions           2") == 300
    brief = shell.kplan("plan", "stack.yaml", "--brief").out
    assert len(re.findall(r"^ *\d+  \+  topic/many\.t\d+ ", brief, re.MULTILINE)) == 300


def test_a_danger_is_never_among_those_that_are_alike(shell: Shell) -> None:
    shell.write("stack.yaml", alike(30))
    shell.kplan("apply", "stack.yaml", "--yes", "--quiet")
    shell.write("stack.yaml", "version: 1\nstack: many\ntopics: {}\n")
    text = shell.kplan("plan", "stack.yaml", expect=3).out
    steps, _, refusal = text.partition("BLOCKED: 30 dangers are not accepted.\n")
    assert steps.count("DANGER K404") == 30 and "more like it" not in steps
    for n in range(30):
        assert f"delete:topic/many.t{n:05}" in refusal and f"{{topic: many.t{n:05}}}" in refusal
    assert text.endswith("BLOCKED: 30 dangers are not accepted, listed above.\n")


# -- width and colours ------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return small(tmp_path_factory.mktemp("plan"))


def shown(plan: dict[str, Any], style: Style, **more: Any) -> list[str]:
    context = Context(("stacks/stack.yaml",), 0.21, command_line="kplan plan stacks/stack.yaml", **more)
    return [*render_header(plan, style, context), *render_body(plan, style, context, summarize)]


@pytest.mark.parametrize("verbosity", [-1, 0, 1])
@pytest.mark.parametrize("width", [60, 72, 80, 100, 132, 200])
def test_lines_fit_the_terminal_but_for_commands_and_long_words(
    plan: dict[str, Any], width: int, verbosity: int
) -> None:
    real = {**plan["target"], "simulated": "", "bootstrap": "kafka-1.prod.example:9092,kafka-2.prod.example:9092"}
    for document in (plan, {**plan, "target": real}):
        for line in shown(document, Style(width, verbosity=verbosity)):
            words = line.split()
            unbreakable = len(words) <= 2 and any(len(word) > width - 20 for word in words)
            assert len(line) <= width or " kplan " in line or unbreakable, line


@pytest.mark.parametrize("verbosity", [-1, 0, 1])
def test_colours_only_add(plan: dict[str, Any], verbosity: int) -> None:
    colored = "\n".join(shown(plan, Style(100, True, verbosity)))
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[\d;]*m", "", colored) == "\n".join(shown(plan, Style(100, False, verbosity)))


@pytest.mark.parametrize("width", [60, 100, 200])
def test_every_step_danger_and_way_out_is_there_at_any_width(plan: dict[str, Any], width: int) -> None:
    text = " ".join(" ".join(shown(plan, Style(width))).split())
    for change in plan["changes"]:
        assert change["address"] in text
        for risk in change["risks"]:
            assert f"{risk['code']}: {' '.join(risk['summary'].split())}" in text
            if risk["level"] == "danger" and not risk["accepted"] and risk["accept"]:
                assert f"--accept {risk['accept']}" in text


@pytest.mark.parametrize(
    ("environment", "arguments", "colored"),
    [
        ({"NO_COLOR": ""}, (), False),
        ({"NO_COLOR": "", "FORCE_COLOR": "1"}, (), True),
        ({"NO_COLOR": "", "FORCE_COLOR": "0"}, (), False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, (), False),
        ({"NO_COLOR": "", "FORCE_COLOR": "1"}, ("--no-color",), False),
        ({"NO_COLOR": "", "FORCE_COLOR": "1", "KPLAN_NO_COLOR": "1"}, (), False),
    ],
)
def test_colours_are_there_when_they_are_wanted(
    shell: Shell, environment: dict[str, str], arguments: tuple[str, ...], colored: bool
) -> None:
    assert ("\x1b[" in shell.kplan("plan", "stack.yaml", *arguments, **environment).out) == colored


# -- environment variables --------------------------------------------------------------------------------------------
def flags() -> list[tuple[str, click.Option]]:
    found = []
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        found += [(name, each) for each in command.params if isinstance(each, click.Option)]
    return found


def test_every_flag_has_its_variable_but_those_that_must_be_said() -> None:
    for command, flag in flags():
        long = next(name for name in flag.opts if name.startswith("--"))
        expected = None if long in FLAGS_WITHOUT_VARIABLE else "KPLAN_" + long[2:].upper().replace("-", "_")
        assert flag.envvar == expected, f"kplan {command} {long}"


def test_what_must_be_said_each_time() -> None:
    assert set(FLAGS_WITHOUT_VARIABLE) == {"--yes", "--accept", "--replace", "--forget", "--var", "--drop"}


def kplan(shell: Shell, *arguments: str, expect: int = 0, **environment: str) -> Ended:
    return shell.kplan(*arguments, expect=expect, **environment)


def test_variables_say_what_flags_say(applied: Shell) -> None:
    assert kplan(applied, "plan", "stack.yaml", expect=3, KPLAN_FORMAT="concise").out.startswith("shop · env local")
    kplan(applied, "plan", "stack.yaml", expect=3, KPLAN_REPORT="md=r.md junit=r.xml")
    assert set(texts(applied)) == {"md", "junit"}
    assert "there is no view" in kplan(applied, "plan", "stack.yaml", expect=64, KPLAN_REPORT="pdf=x").err
    assert kplan(applied, "plan", "stack.yaml", KPLAN_EXCLUDE="topic/shop.old connector/copy").code == 0
    assert not kplan(applied, "plan", "stack.yaml", expect=3, KPLAN_QUIET="1").out


def test_no_variable_accepts_a_danger_or_says_yes(applied: Shell) -> None:
    said = {"KPLAN_ACCEPT": "delete:topic/shop.old", "KPLAN_YES": "1", "KPLAN_REPLACE": "*", "KPLAN_VAR": "password=x"}
    assert "BLOCKED" in kplan(applied, "plan", "stack.yaml", expect=3, **said).out
    applied.write("stack.yaml", STACK.replace("7d", "8d"))
    kplan(applied, "apply", "stack.yaml", expect=9, **said)


# -- many changes -----------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_view_of_five_thousand_changes_takes_less_than_half_of_making_them(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.write("stack.yaml", alike(5000))
    monkeypatch.chdir(shell.folder)
    started = time.process_time()
    assert run(["plan", "stack.yaml", "--report", "github=plan.github", "--quiet"]) == 0
    making = time.process_time() - started
    run(["plan", "stack.yaml", "--report", "json=plan.json", "--quiet"])
    document = json.loads((shell.folder / "plan.json").read_text())
    assert len(document["changes"]) == 5000
    for change in document["changes"]:  # the worst case: each has something to be told
        change["risks"] = [{"code": "K412", "level": "caution", "kind": "", "summary": f"of {change['name']}",
                            "accept": "", "accepted": None}]  # fmt: skip
    slow = {}
    for kind in ("text", "concise", "json", "github", "junit", "sarif"):
        started = time.process_time()
        render(kind, [document], Context(("stack.yaml",)))
        slow[kind] = time.process_time() - started
    assert not [kind for kind, seconds in slow.items() if seconds > making / 2], (making, slow)
    print(f"made in {making:.2f} s, shown in {slow}", file=sys.stderr)
