"""Plans link to a user interface of the environment, and to files at their commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kplan.render.links import add_urls, make_resource_url
from kplan.render.text import Context
from tests.shell import Shell

CONFIG = """\
version: 1
environments:
  local:
    simulated: {connects: [sinks]}
    links: {topic: "https://ui.example.com/{env}/topics/{name}", connector: "https://ui.example.com/{server}/{name}"}
"""
STACK = """\
version: 1
stack: shop
topics: {orders: {partitions: PARTITIONS}}
connectors:
  copy: {on: sinks, class: FileStreamSink, config: {topics: orders, file: /tmp/a, tasks.max: PARTITIONS}}
"""


def change(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "address": f"{kind}/{name}", "name": name, "before": {}, **fields}


@pytest.mark.parametrize(
    ("pattern", "name", "url"),
    [
        ("https://ui/{env}/{name}", "shop.orders", "https://ui/prod/shop.orders"),
        ("https://ui/{server}/{name}", "sinks/copy", "https://ui/sinks/copy"),
        ("https://ui/{server}/{name}", "copy", "https://ui/default/copy"),
        ("https://ui/?q={name}&r={name}", "a b&c", "https://ui/?q=a%20b%26c&r=a%20b%26c"),
        ("https://ui/{other}", "a", "https://ui/%7Bother%7D"),
        ("javascript:alert({name})", "a", ""),
        ("https://ui/ {name}", "a", ""),
    ],
)
def test_a_pattern_becomes_an_address(pattern: str, name: str, url: str) -> None:
    document = {"links": {"topic": pattern}, "stack": {"env": "prod"}}
    assert make_resource_url(document, change("topic", name)) == url


def test_only_what_is_there_has_an_address() -> None:
    document = {"links": {"topic": "https://ui/{name}"}, "stack": {"env": "prod"}}
    assert make_resource_url(document, change("topic", "a", before=None)) == ""
    assert make_resource_url(document, change("connector", "a")) == ""
    assert make_resource_url({**document, "links": {}}, change("topic", "a")) == ""


def test_links_are_in_the_plan_and_its_views(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", CONFIG)
    shell.write("stack.yaml", STACK.replace("PARTITIONS", "1"))
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", STACK.replace("PARTITIONS", "2"))
    document = shell.kplan("plan", "stack.yaml", "--format", "json").json
    urls = {each["url"] for each in add_urls(document, Context())["changes"]}
    assert urls == {"https://ui.example.com/local/topics/orders", "https://ui.example.com/sinks/copy"}
    comment = shell.kplan("plan", "stack.yaml", "--format", "md").out
    assert "[`topic/orders`](<https://ui.example.com/local/topics/orders>)" in comment
    assert 'href="https://ui.example.com/sinks/copy"' in shell.kplan("plan", "stack.yaml", "--format", "html").out


@pytest.mark.parametrize(
    ("links", "words"),
    [
        ("{topic: 'https://ui/{nmae}'}", "did you mean {name}?"),
        ("{topic: 'https://ui/{cluster}'}", "known: {name}, {server}, {env}"),
        ("{topic: 'ftp://ui/{name}'}", "A link begins with http:// or https://."),
        ("{topics: 'https://ui/{name}'}", "did you mean `topic`?"),
    ],
)
def test_a_wrong_pattern_is_an_error_at_its_place(tmp_path: Path, links: str, words: str) -> None:
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", f"version: 1\nenvironments:\n  local:\n    links: {links}\n")
    out = shell.kplan("validate", "kplan.yaml", expect=4).out
    assert "kplan.yaml:4:" in out and words in " ".join(out.split())
