"""Each page of docs/ is true: what it tells to do is done on the simulated cluster, and its links lead somewhere.

docs/cdc.md and docs/least-privilege.md are done on real services in tests/services; the examples of docs/plan.md are
held by tests/cases, those of docs/library.md, testing.md, editors.md and ci.md by tests/unit, the rights of
docs/permissions.md by tests/services.
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from kplan.language import source
from kplan.language.schema import check, read_schema
from tests.guides import DOCS, Reader, blocks, compare, only_shown
from tests.shell import Shell

ROOT = DOCS.parent
GUIDES = ("tutorial.md", "recover.md", "environments.md", "agent.md", "catalogue.md", "modules.md", "import.md",
          "init-container.md",
          "reassign.md", "operate.md", "rehearsal.md", "policies.md")  # fmt: skip
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
TESTS = re.compile(r"`(tests/[\w./-]+)`")
YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCHEMAS = {"stack": "stack.v1", "environments": "environments.v1"}
LINK = re.compile(r"\]\((?!\w+:)([^)\s]*)\)")


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_is_true(name: str, tmp_path: Path) -> None:
    page = (DOCS / name).read_text("utf-8")
    assert len(blocks(page)) > 1 and not only_shown(page)
    Reader(Shell(tmp_path)).follow(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_of_a_page_are_valid(page: Path) -> None:
    for block in YAML.findall(page.read_text("utf-8")):
        text = block if re.search(r"^version:", block, re.MULTILINE) else f"version: 1\n{block}"
        document, problems = source.load(text, page.name)
        kind = next((schema for key, schema in SCHEMAS.items() if document and key in document.data), "")
        if document and kind:
            assert not problems and not check(document, read_schema(kind)), block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(_without_code(page.read_text("utf-8"))):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_tests_that_a_page_names_are_there(page: Path) -> None:
    named = TESTS.findall(page.read_text("utf-8"))
    assert named or page.name != "guarantees.md", "it names what holds each promise"
    assert [path for path in named if not (ROOT / path).exists()] == []


PROMISES = "| promise | how | limit | what others may have seen meanwhile | test |\n|---|---|---|---|---|\n"


def test_each_promise_names_a_test() -> None:
    tables = [part.split("\n\n")[0] for part in (DOCS / "guarantees.md").read_text("utf-8").split(PROMISES)[1:]]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for table in tables for row in table.splitlines()]
    assert len(rows) > 30
    for promise, how, _, _, test in rows:
        assert promise and how and TESTS.search(test), promise


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", _without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_architecture_shows_the_tree() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    package = ROOT / "kplan"
    (tree,) = re.findall(r"^kplan/\n.*?^```$", page, re.MULTILINE | re.DOTALL)
    folders = {path.name for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(re.findall(r"^[├└]── (\w+)/", tree, re.MULTILINE)) == folders
    named = re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", page)
    assert named and [path for path in named if not (package / path).exists() and not (ROOT / path).exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    listed = {(DOCS / link).resolve() for link in LINK.findall(index)}
    assert {page for page in DOCS.rglob("*.md") if page.name != "README.md"} <= listed


WRITTEN = runpy.run_path(str(DOCS / "reference" / "pages.py"))["PAGES"]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_written_page_says_what_its_source_says(name: str) -> None:
    assert (DOCS / "reference" / name).read_text("utf-8") == WRITTEN[name](), "`make docs` writes it anew"


@pytest.mark.parametrize(
    ("printed", "good"),
    [("a\nb\nc", True), ("a\nx\nc", True), ("a\nx", False), ("x\na\nc", False), ("a\nc\nmore", False)],
)
def test_lines_are_compared_in_their_order(printed: str, good: bool) -> None:
    try:
        compare("x", ["a", "…", "c"], printed.splitlines())
    except AssertionError:
        assert not good
    else:
        assert good
