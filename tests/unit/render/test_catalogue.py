"""The catalogue's page: data that no stack can turn into markup, and no secret."""

from __future__ import annotations

import json
import re
from pathlib import Path

from kplan.inspect.catalogue import CatalogueEntry
from kplan.render.catalogue import CatalogueHead, render_catalogue
from kplan.render.text import Context
from tests.shell import Shell
from tests.unit.inspect.test_catalogue import STACK, entries

HEAD = CatalogueHead("dev", "2026-01-02T03:04:05Z")
SECRET = "a-secret-of-the-catalogue"


def data(page: str) -> list[dict[str, object]]:
    [found] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    read: list[dict[str, object]] = json.loads(found)
    return read


def test_what_a_stack_says_cannot_become_markup() -> None:
    evil = "</script><script>alert(1)</script><!-- \u2028"
    entry = CatalogueEntry(
        "topic/x",
        "topic",
        "x",
        "s",
        description=evil,
        fields={"partitions": 1, "replication_factor": 1, "config": {"k": evil}},
    )
    page = render_catalogue([entry], HEAD, Context())
    assert "<script>alert" not in page and "\u2028" not in page
    assert data(page)[0]["description"] == evil
    assert "default-src &#39;none&#39;; style-src &#39;sha256-" in page


def test_settings_are_readable_and_secrets_are_not_there(tmp_path: Path) -> None:
    page = render_catalogue(list(entries(tmp_path).values()), HEAD, Context())
    found = {str(each["address"]): each for each in data(page)}
    assert ["retention.ms", "7776000000 (90d)", "topic"] in found["topic/shop.audit"]["attributes"]  # type: ignore[operator]
    assert next(
        each[:2]
        for each in found["connector/cdc"]["attributes"]
        if each[0] == "database.password"  # type: ignore[attr-defined]
    ) == ["database.password", "(sensitive)"]
    assert SECRET not in page


def test_retentions_are_listed_from_the_shortest_to_the_longest(tmp_path: Path) -> None:
    configs = [{"retention.ms": "-1"}, {}, {"retention.ms": "86400000"}, {"retention.ms": "3600000"},
               {"retention.ms": "86400000"}]  # fmt: skip
    named = [
        CatalogueEntry(f"topic/t{i}", "topic", f"t{i}", "s", fields={"partitions": 1, "config": config})
        for i, config in enumerate(configs)
    ]
    page = render_catalogue([*named, CatalogueEntry("table/x", "table", "x")], HEAD, Context())
    assert [each.get("retention") for each in data(page)] == ["unlimited", "broker's default", "1d", "1h", "1d", None]
    [listed] = re.findall(r'<script type="application/json" id="retentions">(.*?)</script>', page)
    assert json.loads(listed) == ["1h", "1d", "unlimited", "broker's default"]


def test_a_place_is_a_link_where_the_commit_is_known(tmp_path: Path) -> None:
    url = "https://host/o/r/blob/{commit}/{path}#L{line}"
    entry = CatalogueEntry("topic/x", "topic", "x", "s", place=("a/s.yaml", 7))
    page = render_catalogue([entry], CatalogueHead("dev", "", "abcdef0"), Context(source_url=url, base="team"))
    assert data(page)[0]["url"] == "https://host/o/r/blob/abcdef0/team/a/s.yaml#L7"
    assert "url" not in data(render_catalogue([entry], HEAD, Context()))[0]


def test_the_command_writes_one_file_and_asks_no_server(tmp_path: Path) -> None:
    shell = Shell(tmp_path, secrets=(SECRET,))
    shell.write("stack.yaml", STACK.replace("{default: a-secret-of-the-catalogue, ", "{env: PASSWORD, "))
    ended = shell.kplan("docs", "site", "stack.yaml", PASSWORD=SECRET)
    assert "of 1 stack: site/index.html" in ended.err
    assert SECRET not in (tmp_path / "site/index.html").read_text()
    assert [file.name for file in (tmp_path / "site").iterdir()] == ["index.html"]
    shell.write("broken.yaml", "version: 1\nstack: b\ntopics: {a: {partitions: x}}\n")
    shell.kplan("docs", "other", "broken.yaml", expect=4)
    assert not (tmp_path / "other").exists()
