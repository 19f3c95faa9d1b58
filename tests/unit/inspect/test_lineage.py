"""What feeds what: within a connector, across stacks, folded, and in the languages of two drawing programs."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from kplan.inspect.lineage import Graph, Node, build_graph, fold_graph
from kplan.kinds.views import Flow
from kplan.model import Connector, Stack, Topic
from kplan.render import lineage as view
from kplan.render.diagnostics import escape_controls
from tests.schemas import published, strict
from tests.shell import Shell

POSTGRES = "io.debezium.connector.postgresql.PostgresConnector"
NAMES = ["- x", "1. x", 'a"b', "a\\Nb", "a&amp;b", "<b>x</b>", "`x`", "**x**", "#35;", "end", "x;y", "%% x", "a|b",
         "[x](y)", "{x}", r"(?!(?:a|b)$)x_\d{1,3}", "a\nb", "$$x$$", "漢字", "a" * 249, "===", "\x1b[31m"]  # fmt: skip


def stack(name: str, *resources: Topic | Connector) -> Stack:
    return Stack(name, "local", {each.address: each for each in resources})


SHOP = stack(
    "shop",
    Topic("s.orders"),
    Topic("s.alone"),
    Connector("shop", {"connector.class": POSTGRES, "database.hostname": "db", "database.port": "5432",
                       "database.dbname": "shop", "table.include.list": r"public\.orders,public.log_\d+"},
              feeds=("s.orders", "s.log")),
)  # fmt: skip
SINKS = stack(
    "sinks",
    Connector("search", {"topics": "s.orders,old"}, reads=("s.orders", "old"), feeds=("dead",)),
    Connector("lake", {"topics.regex": r"s\..*"}),
    Topic("dead"),
)


def test_tables_feed_connectors_feed_topics_feed_sinks_of_another_stack() -> None:
    found = build_graph([SHOP, SINKS])
    assert set(found.flows) == {
        ("table/db:5432/shop public.orders", "connector/shop"),
        (r"table/db:5432/shop public.log_\d+", "connector/shop"),
        ("connector/shop", "topic/s.orders"), ("connector/shop", "topic/s.log"),
        ("topic/s.orders", "connector/search"), ("topic/old", "connector/search"), ("connector/search", "topic/dead"),
        *((f"topic/s.{name}", "connector/lake") for name in ("orders", "alone", "log")),
    }  # fmt: skip
    assert {node.name: (node.state, node.group) for node in found.nodes if node.kind == "topic"} == {
        "s.orders": ("declared", "shop"), "s.alone": ("declared", "shop"), "dead": ("declared", "sinks"),
        "s.log": ("fed", ""), "old": ("foreign", ""),
    }  # fmt: skip


def test_the_order_of_the_files_makes_no_difference() -> None:
    drawn = {view.render_dot(build_graph(order)) for order in itertools.permutations([SHOP, SINKS])}
    assert len(drawn) == 1


def test_a_pattern_of_topics_that_matches_none_is_foreign() -> None:
    for pattern in ("nothing.*", "(?<java>x", "(a+)+$"):
        found = build_graph([stack("s", Topic("a" * 40 + "b"), Connector("lake", {"topics.regex": pattern}))])
        assert found.flows == [(f"topic/{pattern}", "connector/lake")]


def large(number: int, connectors: int = 1) -> Graph:
    made = []
    for c in range(connectors):
        names = [f"t{n:04}" for n in range(number)]
        config = {"database.hostname": f"db{c}", "table.include.list": ",".join(names), "connector.class": POSTGRES}
        feeds = tuple(f"c{c}.{name}" for name in names)
        made.append(stack(f"s{c}", Connector(f"c{c}", config, feeds=feeds), *(Topic(name) for name in feeds)))
    return build_graph(made)


@pytest.mark.parametrize(("number", "nodes"), [(30, 61), (31, 3)])
def test_many_that_are_alike_are_one(number: int, nodes: int) -> None:
    whole = large(number)
    assert len(view.fold_for_people(whole, show_all=False).nodes) == nodes
    assert len(view.fold_for_people(whole, show_all=True).nodes) == 2 * number + 1
    assert len(view.make_document(whole, [])["nodes"]) == 2 * number + 1
    assert list(view.render_text(whole))[-1] == f"{number} tables, 1 connector, {number} topics."
    assert (
        f"{number} tables: t0000 … t{number - 1:04}"
        in view.render_mermaid(whole).replace("#58;", ":").replace("#8230;", "…")
    ) == (number > 30)


def test_topics_with_another_reader_are_not_folded_with_the_rest() -> None:
    config = {"database.hostname": "db"}
    sink = Connector("sink", {}, reads=("t1",))
    found = fold_graph(
        build_graph([stack("s", Connector("c", config, feeds=tuple(f"t{n}" for n in range(9))), sink)]), 3
    )
    assert [node.label for node in found.nodes if node.kind == "topic"] == ["8 topics: t0 … t8", "t1"]


def test_mermaid_is_folded_until_it_can_be_drawn() -> None:
    whole = large(30, 20)
    assert view.fits_mermaid(view.render_mermaid(whole))
    assert not view.fits_mermaid(view.render_mermaid(whole, show_all=True))


# -- names ------------------------------------------------------------------------------------------------------------
def nasty(names: list[str]) -> Graph:
    nodes = [Node(f"table/{n} {name}", "table", name, name, "source") for n, name in enumerate(names)]
    sink = Node("connector/c", "connector", "c", names[0], "declared")
    return Graph([*nodes, sink], [(node.id, sink.id) for node in nodes])


MERMAID = re.compile(
    r"flowchart LR"
    r'|(?:  )+n\d+(?:\["[\w ./,#;-]*"\]|\(\["[\w ./,#;-]*"\]\)|\[\("[\w ./,#;-]*"\)\])(?::::foreign)?'
    r'|  subgraph g\d+\["[\w ./,#;-]*"\]|  end|  n\d+ --> n\d+|  classDef foreign stroke-dasharray:5 5',
    re.ASCII,
)


def mermaid_labels(source: str) -> list[str]:
    """The labels of the nodes, by the little of mermaid's language that is used."""
    assert [line for line in source.splitlines() if not MERMAID.fullmatch(line)] == []
    coded = [found[1] for line in source.splitlines() if (found := re.match(r'(?:  )+n\d+[\[(]+"(.*)"', line))]
    return [re.sub(r"#(\d+);", lambda number: chr(int(number[1])), each) for each in coded]


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True))
def test_mermaid_shows_any_name_and_reads_it_as_nothing_else(names: list[str]) -> None:
    labels = mermaid_labels(view.render_mermaid(nasty(names)))
    assert sorted(labels) == sorted([*map(escape_controls, names), "c"])


def test_mermaid_shows_the_names_that_mean_something_to_it() -> None:
    assert sorted(mermaid_labels(view.render_mermaid(nasty(NAMES), show_all=True))) == sorted(
        [*map(escape_controls, NAMES), "c"]
    )


@given(st.text())
def test_a_label_of_graphviz_is_one_text(text: str) -> None:
    label = view.quote_label(text)
    inner = re.sub(r'\\["\\]', "", label[1:-1])
    assert label[0] == label[-1] == '"' and '"' not in inner and "\\" not in inner and "\n" not in inner
    plain = re.sub(r"\\(.)", r"\1", label[1:-1])
    assert re.sub("&amp;", "&", plain) == escape_controls(text) and "&" not in plain.replace("&amp;", "")


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not here: apt-get install graphviz")
def test_graphviz_draws_each_name_as_it_is(tmp_path: Path) -> None:
    run = subprocess.run(
        ["dot", "-Tjson"], input=view.render_dot(nasty(NAMES)), capture_output=True, text=True, check=True
    )
    drawn = [
        "".join(each["text"] for each in node["_ldraw_"] if each["op"] == "T")
        for node in json.loads(run.stdout)["objects"]
        if node["name"].startswith("n")
    ]
    assert sorted(drawn) == sorted([*map(escape_controls, NAMES), "c"])


# -- the command ------------------------------------------------------------------------------------------------------
def test_the_document_meets_its_schema() -> None:
    document = view.make_document(build_graph([SHOP, SINKS]), [SHOP, SINKS])
    Draft202012Validator(strict(published("graph.v1"))).validate(document)
    ids = {node["id"] for node in document["nodes"]}
    assert all({edge["from"], edge["to"]} <= ids for edge in document["edges"])


def test_the_command_asks_no_server_and_draws_no_invalid_stack(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", 'version: 1\nenvironments: {local: {kafka: {bootstrap.servers: "{{ env.NOT_SET }}"}}}\n')
    shell.write("a.yaml", "version: 1\nstack: a\ntopics: {a.b: }\n")
    shell.write("bad.yaml", "version: 1\nstack: b\ntopics: {a.c: {partition: 1}}\n")
    assert shell.kplan("graph", "a.yaml", "--dot", "--out", "a.dot").out == ""
    assert (tmp_path / "a.dot").read_text().startswith("digraph kplan {")
    ended = shell.kplan("graph", "a.yaml", "bad.yaml", "--format", "json", expect=4)
    assert ended.json["diagnostics"][0]["code"].startswith("K1") and "nodes" not in ended.json
    ended = shell.kplan("graph", "bad.yaml", "--mermaid", expect=4)
    assert ended.out == "" and "error[K1" in ended.err and "warning" not in ended.err.replace("0 warnings", "")


def test_flows_are_pairs_in_order() -> None:
    found: list[Flow] = list(build_graph([SINKS, SHOP]).flows)
    assert found == sorted(set(found))
