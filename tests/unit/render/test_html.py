"""The HTML page of a plan: one file that loads nothing, holds everything, and shows hostile text as text."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from kplan.render import html
from kplan.render.flow import draw, format_ranges
from kplan.render.text import Context
from kplan.render.wording import format_bytes
from tests import plans

CONTEXT = Context(("stack.yaml",), command_line="kplan plan stack.yaml")
EVIL = "</script></style></title><!--]]><img src=x onerror=hit()>\"' onfocus=hit() &amp; {{ 7*7 }}"
VOID = {"meta", "link", "input", "br", "img", "path", "rect"}
OPEN_LISTS = {"actions", "kind", "level", "created_at", "snapshot"}  # what the document's schema lists, and times

Json = dict[str, Any]


@dataclass
class Element:
    name: str
    attributes: dict[str, str]
    parts: list[Element | str] = field(default_factory=list)

    def all(self, name: str = "", **attributes: str) -> list[Element]:
        """The elements below of that name, with those attributes; `class_` is one of several."""
        found = []
        for child in self.children:
            if name in ("", child.name) and all(child.has(*each) for each in attributes.items()):
                found.append(child)
            found += child.all(name, **attributes)
        return found

    def one(self, name: str = "", **attributes: str) -> Element:
        (found,) = self.all(name, **attributes)
        return found

    def has(self, name: str, value: str) -> bool:
        if name == "class_":
            return value in self.attributes.get("class", "").split()
        return self.attributes.get(name.replace("_", "-")) == value

    @property
    def children(self) -> list[Element]:
        return [part for part in self.parts if isinstance(part, Element)]

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    @property
    def said(self) -> str:
        return " ".join(self.text.split())


class Page(HTMLParser):
    """The tree of a page. Raises AssertionError where a tag is not closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Element("", {})
        self.stack = [self.root]
        self.feed(text)
        self.close()
        assert self.stack == [self.root], [each.name for each in self.stack]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in {self.get_starttag_text()}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.stack[-1].parts.append(element)
        if tag not in VOID:
            self.stack.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("path", "rect"), tag
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack[-1].name == tag, f"</{tag}> at {self.getpos()} ends <{self.stack[-1].name}>"
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        self.stack[-1].parts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


@pytest.fixture(scope="module")
def blocked(tmp_path_factory: pytest.TempPathFactory) -> Json:
    return plans.small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def document(blocked: Json) -> Json:
    return copy.deepcopy(blocked)


def page(*documents: Json, context: Context = CONTEXT) -> Element:
    return Page(html.render(documents, context)).root


def repeated(document: Json, number: int) -> Json:
    """The document with `number` steps: the last one over and over, each for another topic."""
    last = document["changes"][-1]
    for step in range(last["step"] + 1, number + 1):
        name = f"more.{step}"
        source = {**last["source"], "line": step}
        document["changes"].append({**last, "step": step, "name": name, "address": f"topic/{name}", "source": source})
    return document


def without_changes(document: Json) -> Json:
    summary = {**dict.fromkeys(document["summary"], 0), "unchanged": 3}
    return {**document, "changes": [], "blocked": [], "drift": [], "diagnostics": [], "applyable": True,
            "point_of_no_return": None, "summary": summary}  # fmt: skip


def accepted(document: Json) -> Json:
    for change in document["changes"]:
        for risk in change["risks"]:
            risk["accepted"] = "flag" if risk["level"] == "danger" else None
    return {**document, "blocked": [], "applyable": True}


# -- one page that loads nothing --------------------------------------------------------------------------------------
def test_nothing_is_loaded_from_anywhere(document: Json) -> None:
    text = html.render([document], replace(CONTEXT, log_url="https://ci.example/run/7"))
    root = Page(text).root
    assert not [e.name for e in root.all() if e.attributes.keys() & {"src", "srcset", "action", "style", "background"}]
    links = [(e.name, e.attributes["href"]) for e in root.all() if "href" in e.attributes]
    assert {href for name, href in links if name != "a"} == {"data:,"}
    assert [href for name, href in links if name == "a" and not href.startswith("#")] == ["https://ci.example/run/7"]
    style, script = root.one("style").text, root.one("script").text
    assert not re.search(r"url\(|@import|@font-face", style)
    assert not re.search(r"fetch|XMLHttp|import\b|sendBeacon|eval|innerHTML|Worker", script)


def test_only_the_web_address_of_a_run_becomes_a_link(document: Json) -> None:
    assert "javascript:" not in html.render([document], replace(CONTEXT, log_url="javascript:hit()"))


def test_the_policy_allows_this_style_and_this_script_alone(document: Json) -> None:
    root = page(document)
    policy = root.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))

    def digest(name: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(root.one(name).text.encode()).digest()).decode()}'"

    assert directives == {
        "default-src": "'none'", "style-src": digest("style"), "script-src": digest("script"), "img-src": "data:",
        "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip


# -- hostile text -----------------------------------------------------------------------------------------------------
def poisoned(value: Any, key: str = "") -> Any:
    """The same with hostile text at the end of every text and name."""
    if isinstance(value, Mapping):
        plain = key in ("config", "before", "after")
        return {f"{name}{EVIL}" if key == "config" else name: poisoned(each, "" if plain and key != "config" else name)
                for name, each in value.items()}  # fmt: skip
    if isinstance(value, list):
        return [poisoned(each, key) for each in value]
    return f"{value}{EVIL}" if isinstance(value, str) and key not in OPEN_LISTS else value


def test_hostile_text_is_text_everywhere(document: Json) -> None:
    context = replace(CONTEXT, paths=(EVIL,), command_line=EVIL, saved=EVIL, notes=(EVIL,), command=EVIL, log_url=EVIL)
    plain = page(document, context=context)
    for evil in (poisoned(document), accepted(poisoned(document)), without_changes(poisoned(document))):
        text = html.render([evil, evil], context)
        root = Page(text).root
        assert {e.name for e in root.all()} <= {e.name for e in plain.all()} | {
            "td",
            "table",
            "thead",
            "tbody",
            "br",
            "h3",
        }
        assert not [name for e in root.all() for name in e.attributes if name.startswith("on") or name == "src"]
        quoted = sum(value.count("onfocus=hit()") for e in root.all() for value in e.attributes.values())
        assert root.text.count("onfocus=hit()") + quoted == text.count("onfocus=hit()"), "it ends no tag"
        assert root.text.count(EVIL) > 5


def test_every_text_of_the_document_that_a_person_wrote_is_shown(document: Json) -> None:
    said = page(poisoned(document)).text
    for change in document["changes"]:
        assert change["address"] + EVIL in said
        for diff in change["diff"]:
            assert diff["path"].removeprefix("/config/").removeprefix("/").replace("replication_factor", "") in said


def test_control_characters_and_broken_ones_are_replaced(document: Json) -> None:
    document["changes"][0]["address"] = "topic/a\x1b[31m\u202eb\ud800c\x00"
    text = html.render([document], CONTEXT)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\ud800]", text)
    assert "topic/a�[31m�b�c�" in text
    text.encode()


# -- everything is there ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [10, 60, pytest.param(700, marks=pytest.mark.slow)])
def test_every_step_is_there_in_its_order(document: Json, number: int) -> None:
    steps = page(repeated(document, number)).all("li", class_="step")
    assert [step.attributes["id"] for step in steps] == [f"s1-{n}" for n in range(1, number + 1)]
    for step, change in zip(steps, document["changes"], strict=True):
        head = step.one("summary")
        assert head.one(class_="n").said == str(change["step"])
        assert head.one(class_="address").said == change["address"]
        assert head.one(class_="place").said == f"stack.yaml:{change['source']['line']}"
        assert step.one(class_="undo").said.startswith("Undo: ")
        for risk in change["risks"]:
            assert risk["code"] in step.said and risk["summary"] in step.said
        assert step.attributes["data-kind"] == change["kind"]


@pytest.mark.parametrize("number", [10, pytest.param(700, marks=pytest.mark.slow)])
def test_every_danger_stands_at_the_top_with_what_allows_it(document: Json, number: int) -> None:
    last = document["changes"][-1]
    last["risks"] = [
        r for c in document["changes"] for r in c["risks"] if r["level"] == "danger" and not r["accepted"]
    ][:1]
    root = page(repeated(document, number))
    dangers = [(c, r) for c in document["changes"] for r in c["risks"] if r["level"] == "danger"]
    section = root.one("section", aria_labelledby="dangers")
    entries = section.all("li")
    assert len(entries) == len(dangers)
    assert {e.one("a").attributes["href"] for e in entries} == {f"#s1-{c['step']}" for c, _ in dangers}
    for entry in entries:
        assert ("Not accepted." in entry.said) != ("Accepted in the stack." in entry.said)
    words = [code.said for step in root.all("li", class_="step") for code in step.all("code", class_="words")]
    for change, risk in dangers:
        if not risk["accepted"]:
            assert f"kplan plan stack.yaml --accept {risk['accept']}" in words
            assert f"kplan plan stack.yaml --exclude {change['address']}" in words
    assert "accept: [data-loss]" in section.said


def test_the_line_stands_before_the_first_step_without_undo(document: Json) -> None:
    above, below = page(document).all("ol", class_="steps")
    first = document["point_of_no_return"]
    assert len(above.all("li", class_="step")) == first - 1
    assert below.all("li", class_="step")[0].attributes["id"] == f"s1-{first}"
    assert page(document).one(class_="rule").said == "Nothing below this line can be undone"
    assert not page({**document, "point_of_no_return": None}).all(class_="rule")


def test_what_the_plan_is_and_of_what(document: Json) -> None:
    document["stack"]["commit"] = "3f2c91a4b5c6d7e8"
    document["created_at"] = "2026-08-22T10:15:02Z"
    root = page(document)
    about = root.one("footer").said
    for said in (document["digest"], "3f2c91a4b5c6d7e8", "2026-08-22 10:15 UTC", document["target"]["cluster_id"],
                 "stack.yaml, kplan.yaml"):  # fmt: skip
        assert said in about
    stamp = root.one(class_="stamp").said
    assert document["digest"][7:15] in stamp and "3f2c91a" in stamp
    assert root.one(class_="loud").said == "SIMULATED cluster .kplan/local.db, no server is touched"


def test_drift_and_problems(document: Json) -> None:
    root = page(document)
    (row,) = root.one("table", class_="drift").one("tbody").all("tr")
    said = [cell.said for cell in row.children]
    assert said == ["topic/shop.public.customers", "retention.ms", "604800000 (7d)", "86400000 (1d)"]
    problem = root.one("section", aria_labelledby="problems")
    assert document["diagnostics"][0]["summary"] in problem.said
    assert f"stack.yaml:{document['diagnostics'][0]['line']}" in problem.said


def test_no_secret(document: Json) -> None:
    change = next(c for c in document["changes"] if c["address"] == "connector/shop")
    secret = {"sensitive": True, "ref": "{{ var.db_password }}", "fingerprint": "hmac:00"}
    change["diff"].append({"path": "/config/database.password", "op": "change", "before": secret, "after": secret,
                           "cause": "stack"})  # fmt: skip
    text = html.render([document], CONTEXT)
    assert plans.SECRET not in text
    assert "(sensitive, changed)" in text
    assert "hmac:00" not in text


# -- very large plans -------------------------------------------------------------------------------------------------
def large(document: Json, number: int) -> Json:
    """The document with creations of topics alike after its own steps, which keep their dangers."""
    create = next(change for change in document["changes"] if change["address"] == "topic/shop.public.shipments")
    start = document["changes"][-1]["step"] + 1
    for step in range(start, number + 1):
        name = f"more.{step}"
        source = {**create["source"], "line": step}
        document["changes"].append({**create, "step": step, "name": name, "address": f"topic/{name}", "source": source})
    return document


def counted(root: Element) -> list[int]:
    """How many steps each stretch without detail counts."""
    stretches = [e for part in root.all("ol", class_="steps") for e in part.children if e.has("class_", "card")]
    totals = [re.match(r"([\d,]+) steps? not in detail", e.said) for e in stretches]
    return [int(total[1].replace(",", "")) for total in totals if total]


def test_a_very_large_plan_makes_a_small_page(document: Json) -> None:
    own = len(document["changes"])
    text = html.render([large(document, 20_000)], replace(CONTEXT, saved="plan.json"))
    root = Page(text).root
    steps = root.all("li", class_="step")
    assert len(text) < 1_000_000
    assert [e.attributes["id"] for e in steps[:own]] == [f"s1-{n}" for n in range(1, own + 1)], "dangers in full"
    assert len(steps) + sum(counted(root)) == 20_000
    section = root.one("section", aria_labelledby="steps").said
    assert f"This plan has 20,000 steps. {len(steps)} are shown in detail" in section
    assert "kplan show plan.json --verbose" in section and "--out plan.json" not in section
    assert f"{20_000 - len(steps):,} × + create topic: " in section
    assert "--out plan.json" in page(document).one("section", aria_labelledby="steps").said


@pytest.mark.slow
def test_a_page_of_5000_steps_shows_each_and_one_more_is_a_large_plan(document: Json) -> None:
    assert len(page(large(document, 5_000)).all("li", class_="step")) == 5_000
    assert 0 < len(page(large(document, 5_001)).all("li", class_="step")) < 5_000


@pytest.mark.slow
def test_very_many_dangers_are_bounded_and_counted(document: Json) -> None:
    danger = next(r for c in document["changes"] for r in c["risks"] if r["level"] == "danger" and not r["accepted"])
    last = document["changes"][-1]
    last["undo"], last["risks"] = {"kind": "none", "complete": False}, [danger]
    total = sum(r["level"] == "danger" for c in document["changes"] for r in c["risks"]) + 6_000 - last["step"]
    text = html.render([repeated(document, 6_000)], CONTEXT)
    root = Page(text).root
    listed = root.one("section", aria_labelledby="dangers").all("li")
    assert len(text) < 5_000_000
    assert len(listed) >= 1_000
    assert f"{total - len(listed):,} more dangers are not listed here" in root.said
    assert f"Dangers {total:,}" in root.one("nav").said
    assert len(root.all("li", class_="step")) + sum(counted(root)) == 6_000
    (*_, last_stretch) = [e for e in root.all("li", class_="card") if "steps not in detail" in e.said]
    assert re.search(r"([\d,]+) with a danger, \1 of them not accepted; \1 without a complete undo", last_stretch.said)


def test_the_page_of_a_very_large_plan_has_no_link_to_nowhere(document: Json) -> None:
    second = large(copy.deepcopy(document), 4_000)
    for change in second["changes"]:
        change["wave"] = 1 + change["step"] // 150
    root = page(large(document, 2_500), second)
    ids = [e.attributes["id"] for e in root.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    links = {e.attributes["href"][1:] for e in root.all("a") if e.attributes["href"].startswith("#")}
    assert links <= set(ids)
    assert len(root.all("li", class_="step")) + sum(counted(root)) == 6_500


@pytest.mark.slow
def test_very_many_problems_and_drifted_attributes_are_bounded_and_counted(document: Json) -> None:
    problem, drift = document["diagnostics"][0], document["drift"][0]
    document["diagnostics"] = [problem] * 20_000 + [{**problem, "severity": "error", "summary": "the only error"}]
    document["drift"] = [drift] * 50_000
    text = html.render([document], CONTEXT)
    root = Page(text).root
    assert len(text) < 2_000_000
    problems = root.one("section", aria_labelledby="problems").said
    assert "the only error" in problems
    assert "18,001 more problems are not listed here" in problems
    assert "48,000 more attributes" in root.one("table", class_="drift").said
    assert "Drift 50,000" in root.one("nav").said


# -- the verdict ------------------------------------------------------------------------------------------------------
VERDICTS: list[tuple[str, Callable[[Json], Json], Context, str, str]] = [
    ("blocked", lambda d: d, CONTEXT, "blocked", "Blocked: 2 dangers are not accepted"),
    ("accepted", accepted, replace(CONTEXT, saved="plan.json"), "ready", "Ready to apply, 3 dangers accepted"),
    ("nothing", without_changes, CONTEXT, "same", "No changes. 3 resources match stack.yaml."),
    ("errors", lambda d: {**d, "errored": True}, CONTEXT, "errored", "Not possible: 0 errors"),
    ("guard", lambda d: {**accepted(d), "blocked": ["K419"]}, CONTEXT, "blocked",
     "Blocked: more changes than the guard `max_changes` allows in one run (K419)"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "context", "state", "said"), [v[1:] for v in VERDICTS], ids=[v[0] for v in VERDICTS])
def test_verdict(document: Json, make: Callable[[Json], Json], context: Context, state: str, said: str) -> None:
    root = page(make(document), context=context)
    box = root.one("section", class_="verdict")
    assert box.has("class_", state)
    assert box.one(class_="said").said == said
    assert root.one("head").one("title").said.startswith(said)


def test_what_to_do_next(document: Json) -> None:
    saved = page(accepted(document), context=replace(CONTEXT, saved="plan.json"))
    assert saved.one("section", class_="verdict").one("code").said == "kplan apply plan.json"
    unsaved = page(accepted(document)).one("section", class_="verdict").said
    assert "Not saved" in unsaved
    assert "Not saved" not in page(document).said


def test_a_part_of_a_plan_says_so(document: Json) -> None:
    document["complete"], document["summary"]["hidden"] = False, 12
    assert "Partial: --target or --exclude hides 12 changes." in page(document).one("section", class_="verdict").said


def test_a_destroy_says_so(document: Json) -> None:
    assert page({**document, "mode": "destroy"}).one("h1").said == "destroy shop → local"


def test_a_snapshot_says_so(document: Json) -> None:
    document["target"]["snapshot"] = document["created_at"]
    assert page(document).one(class_="loud").said.startswith("SNAPSHOT of ")


def test_a_real_cluster_is_named(document: Json) -> None:
    document["target"] |= {
        "simulated": "",
        "bootstrap": "kafka:9092",
        "cluster_id": "5L6g",
        "connect_url": "http://c:8083",
    }
    where = page(document).one("p", class_="where").said
    assert where.startswith("Kafka kafka:9092, cluster 5L6g, ")
    assert "Connect http://c:8083" in where


# -- several stacks ---------------------------------------------------------------------------------------------------
def test_several_stacks_in_one_page(document: Json) -> None:
    other, third = accepted(copy.deepcopy(document)), without_changes(copy.deepcopy(document))
    other["stack"]["name"], third["stack"]["name"] = "billing", "search"
    root = page(document, other, third)
    assert root.one("h1").said == "3 stacks → local"
    assert root.one(class_="said").said == "3 stacks: 1 blocked, 1 ready to apply, 1 without changes"
    tables = root.all("table", class_="stacks")
    rows, same = (table.one("tbody").all("tr") for table in tables)
    assert [row.one("th").said for row in rows] == ["shop → local", "billing → local"]
    assert [row.one("th").said for row in same] == ["search → local"]
    assert any("1 stack unchanged" in each.said for each in root.all("details"))
    assert "Blocked: 2 dangers are not accepted" in rows[0].said
    assert len(root.all("li", class_="step")) == 20
    ids = [e.attributes["id"] for e in root.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    assert [box.attributes["value"] for box in root.all("input", name_="stack")] == []
    assert [box.attributes["value"] for box in root.all("input") if box.attributes.get("name") == "stack"] == [
        "s1",
        "s2",
    ]


# -- structure --------------------------------------------------------------------------------------------------------
def variants(document: Json) -> Iterator[Element]:
    yield page(document)
    yield page(document, without_changes(document))
    yield page(without_changes(document))
    yield page(repeated(copy.deepcopy(document), 60))
    yield page({**document, "errored": True})


def test_headings_labels_and_references(document: Json) -> None:
    for root in variants(document):
        levels = [int(e.name[1]) for e in root.all() if re.fullmatch("h[1-6]", e.name)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        ids = {e.attributes["id"] for e in root.all() if "id" in e.attributes}
        for element in root.all():
            for name in ("aria-labelledby", "for"):
                assert set(element.attributes.get(name, "").split()) <= ids, element
            if element.attributes.get("href", "").startswith("#"):
                assert element.attributes["href"][1:] in ids, element
        assert len(root.all("main")) == len(root.all("header")) == len(root.all("footer")) == len(root.all("nav")) == 1
        labels = {label.attributes.get("for") for label in root.all("label")}
        for search in root.all("input", type="search"):
            assert search.attributes["id"] in labels
        for group in root.all("fieldset"):
            assert group.one("legend").said
            assert all(label.said for label in group.all("label"))
        assert root.one("html").attributes["lang"] == "en"


def test_filters_count_what_they_would_show(document: Json) -> None:
    root = page(document)
    steps = root.all("li", class_="step")
    options = [e for e in root.one("form").all("label") if e.all("input")]
    assert {e.one("input").attributes["name"] for e in options} == {"risk", "kind", "verb"}
    for option in options:
        box = option.one("input").attributes
        count = sum(box["value"] in step.attributes[f"data-{box['name']}"].split() for step in steps)
        assert option.one("b").said == str(count) != "0"


def test_steps_are_open_while_they_are_few(document: Json) -> None:
    assert all("open" in e.attributes for step in page(document).all("li", class_="step") for e in step.all("details"))
    many = page(repeated(document, 60)).all("li", class_="step")
    assert not [e for step in many for e in step.all("details") if "open" in e.attributes]


def test_facts_that_the_summary_does_not_say(document: Json) -> None:
    change = next(c for c in document["changes"] if c["address"] == "topic/shop.public.products")
    readers = [{"group": f"g{n}", "lag": n, "active": n > 0} for n in range(70)]
    now = 1_800_000_000_000
    document["created_at"] = "2027-01-15T08:03:00Z"
    change["risks"][0]["facts"] |= {
        "bytes": 5 * 2**30,
        "last_write": now,
        "first_write": now - 7 * 86_400_000,
        "readers": readers,
        "sinks": ["dwh"],
        "unknown": {"bytes": "no answer"},
    }
    said = page(document).one("li", id="s1-8").one("dl", class_="facts").said
    for part in (
        "Stored5.0 GiB",
        "Oldest record7 d ago",
        "Last write3 min ago",
        "70 reading groupsg0 (lag 0, no members now), g1 (lag 1)",
        "and 20 more",
        "Sink connectorsdwh",
        "Bytes not knownno answer",
    ):
        assert part in said


@pytest.mark.parametrize(("number", "said"), [(0, "0 B"), (1023, "1,023 B"), (1536, "1.5 KiB"), (2**50, "1,024.0 TiB")])
def test_size(number: int, said: str) -> None:
    assert format_bytes(number) == said


# -- what feeds what --------------------------------------------------------------------------------------------------
def connector(step: int, name: str, feeds: tuple[str, ...] = (), reads: tuple[str, ...] = (), **more: Any) -> Json:
    after = {"class": "X", "state": "running", "config": {}, "feeds": list(feeds), "reads": list(reads)}
    return {"step": step, "wave": 1, "address": f"connector/{name}", "kind": "connector", "name": name,
            "actions": ["create"], "before": None, "after": after, "undo": {"kind": "delete", "complete": True},
            "risks": [], **more}  # fmt: skip


def topic(step: int, name: str, *levels: str) -> Json:
    return {"step": step, "wave": 1, "address": f"topic/{name}", "kind": "topic", "name": name, "actions": ["create"],
            "before": None, "after": {}, "undo": {"kind": "none", "complete": True},
            "risks": [{"level": level} for level in levels]}  # fmt: skip


def test_records_flow_from_left_to_right() -> None:
    changes = [topic(1, "a"), connector(2, "source", ("a",)), connector(3, "sink", ("dead",), ("a",))]
    drawing = draw({"changes": changes})
    assert drawing is not None
    at = {box.key: box.x for box in drawing.boxes}
    assert at["connector/source"] < at["topic/a"] < at["connector/sink"] < at["topic/dead"]
    assert drawing.sentences == [
        "connector/source (+ 2) feeds topic/a (+ 1) from now on",
        "connector/sink (+ 3) feeds topic/dead from now on",
        "connector/sink (+ 3) reads topic/a (+ 1) from now on",
    ]
    assert all(0 <= box.x <= box.x + box.width <= drawing.width for box in drawing.boxes)
    assert all(0 <= box.y <= drawing.height for box in drawing.boxes)


def test_boxes_do_not_overlap() -> None:
    changes = [connector(n, f"c{n}", (f"t{n}", f"t{n + 1}"), (f"t{n + 2}",)) for n in range(12)]
    drawing = draw({"changes": changes})
    assert drawing is not None
    for n, a in enumerate(drawing.boxes):
        for b in drawing.boxes[:n]:
            assert a.x + a.width <= b.x or b.x + b.width <= a.x or abs(a.y - b.y) >= 30


def test_a_circle_is_drawn_as_well() -> None:
    drawing = draw(
        {
            "changes": [
                connector(1, "a", ("x",), ("y",)),
                connector(2, "b", ("y",), ("x", "b")),
                connector(3, "c", ("z",), ("z",)),
            ]
        }
    )
    assert drawing is not None
    assert len(drawing.boxes) == 7
    assert len(drawing.lines) == 7


def test_topics_that_are_alike_are_one_box() -> None:
    names = tuple(f"t{n}" for n in range(1, 1001))
    changes = [*(topic(n, name) for n, name in enumerate(names, 1)), connector(1001, "c", names)]
    changes[500]["risks"] = [{"level": "danger"}]
    drawing = draw({"changes": changes})
    assert drawing is not None
    assert [(box.title, box.number) for box in drawing.boxes] == [
        ("connector/c", "1001"), ("999 topics, t1 …", "1–500 and 499 more"), ("topic/t501", "danger 501"),
    ]  # fmt: skip


def test_tables_stand_before_their_connector_and_are_folded_when_alike() -> None:
    names = [f"public.t{n}" for n in range(5)]
    config = {"database.hostname": "db", "table.include.list": ",".join(name.replace(".", r"\.") for name in names)}
    changes = [connector(1, "c", ("c.a",)), topic(2, "c.a")]
    changes[0]["after"]["config"] = config
    drawing = draw({"changes": changes})
    assert drawing is not None
    at = {box.kind: box for box in drawing.boxes}
    assert at["table"].title == "5 tables, public.t0 … of db"
    assert at["table"].x < at["connector"].x < at["topic"].x
    changes[0]["after"]["config"] = {**config, "table.include.list": "public.a"}
    drawing = draw({"changes": changes})
    assert drawing is not None
    assert drawing.sentences[1] == "connector/c (+ 1) reads public.a of db from now on"


def test_a_large_drawing_is_bounded_and_keeps_the_dangerous() -> None:
    changes = [
        each for n in range(100) for each in (connector(2 * n + 1, f"c{n:02}", (f"t{n}",)), topic(2 * n + 2, f"t{n}"))
    ]
    changes[-1]["risks"] = [{"level": "danger"}]
    changes += [topic(201, "alone")]
    drawing = draw({"changes": changes})
    assert drawing is not None
    assert len(drawing.boxes) == 60
    assert "connector/c99" in [box.key for box in drawing.boxes]
    assert drawing.left_out == (
        "Left out to keep the drawing readable: 70 connectors and 70 boxes of topics. The list of steps has all. "
        "1 topic that no connector of this plan feeds or reads is not drawn."
    )


def test_one_connector_of_many_different_topics_is_bounded_too() -> None:
    sinks = [connector(n, f"s{n:03}", (), (f"t{n}",)) for n in range(2, 202)]
    drawing = draw({"changes": [connector(1, "all", tuple(f"t{n}" for n in range(2, 202))), *sinks]})
    assert drawing is not None
    assert len(drawing.boxes) <= 60


def test_lines_that_were_and_that_will_be(document: Json) -> None:
    drawing = draw(document)
    assert drawing is not None
    assert {(line.start, line.end, line.state) for line in drawing.lines} == {
        ("table/db:5432/shop public.shipments", "connector/shop", "new"),
        ("table/db:5432/shop public.customers", "connector/shop", "same"),
        ("table/db:5432/shop public.orders", "connector/shop", "same"),
        ("table/db:5432/shop public.products", "connector/shop", "gone"),
        ("connector/shop", "topic/shop.public.shipments", "new"),
        ("connector/shop", "topic/shop.public.customers", "same"),
        ("connector/shop", "topic/shop.public.orders", "same"),
        ("connector/shop", "topic/shop.public.products", "gone"),
        ("connector/shop", "topic/__debezium-heartbeat.shop", "same"),
        ("topic/shop.public.shipments", "connector/search", "new"),
        ("topic/shop.public.customers", "connector/search", "same"),
        ("topic/shop.public.orders", "connector/search", "same"),
        ("topic/shop.public.products", "group/stock-api", "gone"),
    }
    assert drawing.left_out.startswith("4 topics that no connector")


def test_who_reads_a_topic_that_goes_is_drawn(document: Json) -> None:
    drawing = draw(document)
    assert drawing is not None
    assert "group/stock-api" in [box.label for box in drawing.boxes]
    assert ("topic/shop.public.products", "group/stock-api", "gone") in [
        (line.start, line.end, line.state) for line in drawing.lines
    ]
    assert any("group/stock-api reads topic/shop.public.products" in said for said in drawing.sentences)


def test_readers_of_topics_alone_are_drawn_and_many_are_one_box(document: Json) -> None:
    readers = [{"group": f"reader-{n}", "lag": 0, "active": True} for n in range(12)]
    topics = [
        {**change, "risks": [{**change["risks"][0], "facts": {"readers": readers, "sinks": ["elsewhere"]}}]}
        for change in document["changes"]
        if change["address"] == "topic/shop.public.products"
    ]
    drawing = draw({**document, "changes": topics})
    assert drawing is not None
    labels = [box.label for box in drawing.boxes]
    assert len(labels) == 3 and "connector/elsewhere" in labels
    assert any(label.startswith("12 groups, reader-") for label in labels)


def test_topics_alone_are_not_drawn() -> None:
    assert draw({"changes": [topic(1, "a"), topic(2, "b")]}) is None


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([], ""),
        ([3], "3"),
        ([1, 2, 3, 7], "1–3, 7"),
        ([4, 2], "2, 4"),
        (list(range(1, 40, 2)), "1, 3, 5, 7, 9, 11 and 14 more"),
    ],
)
def test_ranges(numbers: list[int], said: str) -> None:
    assert format_ranges(numbers) == said
