"""The comment on a pull or merge request, read as GitHub and GitLab read it: by a parser of CommonMark with tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from kplan.render import gfm
from kplan.render.diagnostics import escape_controls
from kplan.render.graph import MAX_GRAPH_CHARACTERS, draw_graph
from kplan.render.markdown import MAX_CHARACTERS, format_marker, render
from kplan.render.patch import write_patch
from kplan.render.room import PageItem, Part, fit_page
from kplan.render.text import Context
from tests.examples import examples

Json = dict[str, Any]
READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OURS = re.compile(
    r"<!-- kplan:v1 [^<>]*-->\n?|<details><summary>[\w :.]*</summary>\n?|</details>\n?|</?(?:br|span|code)>"
)
MADE = "2026-01-01T10:00:00Z"
CONTEXT = Context(("stacks",), command_line="kplan plan stacks", saved="plan.json", log_url="https://ci.example/run/1")


# -- documents --------------------------------------------------------------------------------------------------------
def risk(code: str = "K401", level: str = "danger", kind: str = "data-loss", accepted: str | None = None) -> Json:
    summary = {"K401": "data loss. Up to 7 records.", "K411": "keys move. Readers: billing."}.get(code, "see there")
    return {"code": code, "level": level, "kind": kind, "summary": summary, "accept": "", "accepted": accepted,
            "facts": None}  # fmt: skip


def change(number: int, name: str, action: str = "create", *risks: Json, final: bool = False, **more: Any) -> Json:
    topic = {"partitions": 1, "replication_factor": 3, "config": {}}
    address = f"topic/{name}"
    differing = [{"path": "/config/retention.ms", "before": "1", "after": "2", "op": "change", "cause": "stack"}]
    return {
        "step": number, "wave": number, "address": address, "kind": "topic", "name": name, "actions": [action],
        "reason": "missing", "source": {"path": "a.yaml", "line": number, "column": 3}, "depends_on": [],
        "before": None if action == "create" else topic, "after": None if action == "delete" else topic,
        "diff": differing if action == "update" else [], "unchanged": 0, "verified": None,
        "undo": {"kind": "none", "complete": False, "why": "gone"} if final else {"kind": "restore", "complete": True},
        "risks": [{**each, "accept": f"{action}:{address}"} for each in risks], **more,
    }  # fmt: skip


def deleted(number: int, name: str, accepted: str | None = None) -> Json:
    return change(number, name, "delete", risk(accepted=accepted), final=True)


def problem(severity: str = "error", code: str = "K302", line: int = 3) -> Json:
    return {"code": code, "severity": severity, "summary": "refused", "detail": "because", "help": "do that",
            "address": "topic/x", "attribute": "", "path": "a.yaml", "line": line, "column": 1}  # fmt: skip


def document(*changes: Json, name: str = "shop", problems: Sequence[Json] = (), **more: Any) -> Json:
    count = {key: sum(each["actions"] == [key] for each in changes) for key in ("create", "update", "delete")}
    refused = [f"{r['code']} {c['address']}" for c in changes for r in c["risks"]
               if r["level"] == "danger" and not r["accepted"]]  # fmt: skip
    errored = any(each["severity"] == "error" for each in problems)
    final = [each["step"] for each in changes if not each["undo"]["complete"]]
    return {
        "format_version": "1.0", "kplan_version": "0.1.0", "created_at": MADE, "digest": "sha256:" + "0" * 64,
        "stack": {"name": name, "env": "prod", "files": [], "commit": "3f2c91a0b"},
        "target": {"cluster_id": "c", "bootstrap": "kafka:9092", "brokers": 3, "connect_url": "", "connect_version": "",
                   "simulated": ""},
        "mode": "apply", "checked": True, "applyable": not (errored or refused), "complete": True, "errored": errored,
        "blocked": refused,
        "summary": {"add": count["create"], "change": count["update"], "delete": count["delete"], "replace": 0,
                    "move": 0, "adopt": 0, "release": 0, "unchanged": 2, "hidden": 0, "irreversible": len(final)},
        "point_of_no_return": min(final, default=None), "changes": list(changes), "drift": [],
        "diagnostics": list(problems), "read": {"topics": 5, "connectors": 0}, "used_env": [], **more,
    }  # fmt: skip


def shown(*documents: Json, limit: int = MAX_CHARACTERS) -> str:
    return render(documents, CONTEXT, limit)


# -- what a host makes of it ------------------------------------------------------------------------------------------
def tokens(text: str) -> Iterator[Token]:
    for token in READER.parse(text):
        yield token
        yield from token.children or ()


def assert_sound(text: str) -> None:
    """Only our own markup is there: no link but to the run, no other element, whole tables, closed fences."""
    found = list(tokens(text))
    markup = "".join(token.content for token in found if token.type in ("html_block", "html_inline"))
    assert not OURS.sub("", markup), markup
    assert re.findall("</?details>", markup) == ["<details>", "</details>"] * markup.count("<details>")
    assert all(token.attrs["href"] == CONTEXT.log_url for token in found if token.type == "link_open")
    assert not {token.type for token in found} & {"image", "code_block", "hr", "s_open"}
    assert not [said for said in loose(found) if re.search(r"[@#]\w|://|\$|:[a-z_+-]+:", said)]
    fences = [line for line in text.splitlines() if line.startswith("```")]
    assert fences == [line for token in found if token.type == "fence" for line in (f"```{token.info}", "```")]
    assert {token.info for token in found if token.type == "fence"} <= {"diff", "mermaid"}
    assert not any(line.startswith(("/", "\t", "    /")) for line in text.splitlines()), "GitLab would obey it"
    assert all(line == escape_controls(line) for line in text.split("\n")), "an invisible character is in it"


def loose(found: Sequence[Token]) -> Iterator[str]:
    """The text in which hosts look for references, addresses and formulas: all but code, and a dollar on its own."""
    return (token.content for token in found if token.type == "text" and token.content != "$")


def tables(text: str) -> list[list[list[str]]]:
    """Each table's rows with the text of their cells, without the head."""
    found: list[list[list[str]]] = []
    for token in READER.parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 4:
            found[-1][-1].append(plain(token))
    return [table[1:] for table in found]


def plain(token: Token) -> str:
    words = {"text": str, "code_inline": str, "html_inline": lambda tag: "\n" if tag == "<br>" else ""}
    return "".join(words[t.type](t.content) for t in token.children or () if t.type in words).replace("\u200b", "")


def bare(text: str) -> str:
    """The text without blanks and backticks, which prose may change."""
    return escape_controls("".join(text.split())).replace("`", "")


# -- text of others ---------------------------------------------------------------------------------------------------
HOSTILE = [
    "|", "`", "```", "\n", "-->", "<!--", "</details>", "<script>", "@me", "#12", "!3", "~bug", "[a](http://b)",
    "![i](x)", "**", "__", "\\", "$x$", "~~", "https://x.y", "www.x.y", ":tada:", "&amp;", "\u202e", "\u200b", "\ud800",
    "\x1b[31m", "\r", "\u2028", "| a | b |", "\n/close\n", "\n# h", "GH-1", "a@b.cd", "{{", "日本", "😀",
]  # fmt: skip
TEXT = st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=6)), max_size=5).map("".join)


@examples(200)
@given(TEXT)
def test_prose_reads_as_it_was_written(text: str) -> None:
    inline = READER.parse(f"> - a {gfm.format_prose(text)} b")
    [token] = [token for token in inline if token.type == "inline"]
    want = re.sub(r"`([^`]+)`", lambda found: escape_controls(found[1]), " ".join(text.split()))
    assert plain(token).split() == f"a {escape_controls(want)} b".replace("\u200b", "").split()
    assert_sound(f"> - a {gfm.format_prose(text)} b\n")
    assert "$" not in gfm.escape_text(text), "GitLab reads it in the source"


@examples(200)
@given(TEXT, TEXT)
def test_a_cell_stays_a_cell(one: str, other: str) -> None:
    text = f"| a | b |\n|---|---|\n{gfm.format_row([gfm.format_code(one), gfm.format_prose(other)])}"
    assert_sound(text)
    [[cells]] = tables(text)
    assert len(cells) == 2
    assert cells[0].strip() == escape_controls(one).strip()


@pytest.mark.parametrize("text", ["at a.yaml:19: here", "host:9092", "15:30:00"])
def test_places_and_ports_can_be_copied(text: str) -> None:
    assert gfm.format_prose(text) == text


@pytest.mark.parametrize("address", ["javascript:alert(1)", "https://a b", "ftp://x", "https://x\n", ""])
def test_what_is_no_web_address_is_no_link(address: str) -> None:
    assert gfm.format_link("run log", address) == ""


def test_the_marker_is_a_comment_whatever_the_names() -> None:
    hostile = document(name="a-->b <!-- \n x")
    assert format_marker([hostile], CONTEXT) == "<!-- kplan:v1 stack=a--%3Eb%20%3C%21--%20%0A%20x env=prod -->"
    assert (
        format_marker([document(name="b"), document(name="a")], CONTEXT) == "<!-- kplan:v1 stacks=stacks env=prod -->"
    )
    assert format_marker([document(name="b"), document(name="a")], Context()) == "<!-- kplan:v1 stacks=b,a env=prod -->"


# -- any document -----------------------------------------------------------------------------------------------------
VALUE = st.one_of(st.none(), TEXT, st.integers(0, 10**12), st.just({"sensitive": True}))


@st.composite
def changes(draw: st.DrawFn, number: int) -> Json:
    action = draw(st.sampled_from(["create", "update", "delete"]))
    final = draw(st.booleans())
    made = change(number, draw(TEXT), action, final=final)
    levels = st.sampled_from(["danger", "caution", "note"])
    for level in draw(st.lists(levels, max_size=3)):
        kind = draw(st.sampled_from(["data-loss", "readers", "orphan", "protect"])) if level == "danger" else ""
        accepted = draw(st.sampled_from([None, "stack", "flag"])) if level == "danger" else None
        made["risks"].append({**risk(draw(st.sampled_from(["K401", "K411", "K404"])), level, kind, accepted),
                              "summary": draw(TEXT), "accept": f"{action}:{made['address']}"})  # fmt: skip
    if action == "update":
        paths = st.sampled_from(["/config/topics", "/config/a|b", "/partitions", "/config/table.include.list"])
        made["diff"] = [{"path": draw(paths), "before": draw(VALUE), "after": draw(VALUE), "op": "change",
                         "cause": draw(st.sampled_from(["stack", "drift", "both"]))}
                        for _ in range(draw(st.integers(0, 3)))]  # fmt: skip
    made["effects"] = draw(st.lists(TEXT, max_size=1))
    made["unmanaged"] = draw(st.lists(TEXT, max_size=2))
    made["undo"]["why"] = draw(TEXT)
    made["source"] = draw(st.sampled_from([None, made["source"], {**made["source"], "path": draw(TEXT)}]))
    made["reason"] = draw(st.sampled_from(["missing", "orphan", "removed", "destroy", "protect_changed"]))
    return made


@st.composite
def documents(draw: st.DrawFn) -> Json:
    steps = [draw(changes(number)) for number in range(1, draw(st.integers(0, 5)) + 1)]
    known = [each["address"] for each in steps]
    for n, each in enumerate(steps):
        each["wave"] = n // 2
        each["depends_on"] = draw(st.lists(st.sampled_from(known[:n]), max_size=2)) if n else []
    problems = [{**problem(draw(st.sampled_from(["error", "warning", "note"]))),
                 **{key: draw(TEXT) for key in ("summary", "detail", "help", "address", "path")}}
                for _ in range(draw(st.integers(0, 2)))]  # fmt: skip
    made = document(*steps, name=draw(TEXT), problems=problems)
    made["stack"]["env"], made["stack"]["commit"] = draw(TEXT), draw(TEXT)
    made["target"] |= {"simulated": draw(TEXT), "bootstrap": draw(TEXT), "connect_url": draw(TEXT)}
    made["used_env"] = draw(st.lists(TEXT, max_size=1))
    made["drift"] = [{"address": draw(TEXT), "path": "/config/x", "applied": draw(VALUE), "live": draw(VALUE)}
                     for _ in range(draw(st.integers(0, 2)))]  # fmt: skip
    return made


@pytest.mark.slow
@examples(80)
@given(st.lists(documents(), min_size=1, max_size=3), st.lists(TEXT, max_size=2))
def test_any_plans_are_a_sound_comment_that_tells_every_danger(plans: list[Json], notes: list[str]) -> None:
    text = render(plans, Context(("stacks",), command_line="kplan plan", notes=notes, log_url=CONTEXT.log_url))
    assert gfm.count_characters(text) <= MAX_CHARACTERS
    assert_sound(text)
    steps = [each for plan in plans for each in plan["changes"]]
    told = "\n".join(plain(token) for token in READER.parse(text) if token.type == "inline")
    for each in steps:
        if not each["undo"]["complete"] or any(r["level"] == "danger" for r in each["risks"]):
            assert escape_controls(each["address"]) in told
    for plan in plans:
        for each in plan["diagnostics"]:
            assert bare(each["summary"]) in bare(told)
    rows = [row for table in tables(text) for row in table if len(row) == 5]
    assert [row[0] for row in rows] == [str(each["step"]) for each in steps]


# -- how much is told -------------------------------------------------------------------------------------------------
FEATURES = [
    r"```mermaid",
    r"^\+ +1  \S+ +topic/created1\b",
    r"^! +2  \S+ +topic/changed2\b",
    r"^- +3  \S+ +topic/deleted3\b",
    r"\| `topic/created1` \|",
    r"\| `topic/changed2` \|",
]


def test_what_matters_less_goes_first() -> None:
    mixed = [change(1, "created1"), change(2, "changed2", "update"), deleted(3, "deleted3")]
    plan = document(*mixed)
    whole = len(shown(plan))
    seen = []
    for limit in range(whole + 2000, 2400, -20):
        text = shown(plan, limit=limit)
        assert gfm.count_characters(text) <= limit
        assert_sound(text)
        assert "1 danger not accepted" in text and "`--accept delete:topic/deleted3`" in text
        assert "| `topic/deleted3` | deleted | **no** |" in text
        seen.append([bool(re.search(feature, text, re.MULTILINE)) for feature in FEATURES])
    assert seen[0] == [True] * len(FEATURES)
    assert seen[-1] == [False] * len(FEATURES)
    assert all(more >= less for more, less in pairwise(sum(each) for each in seen))
    assert all(each == sorted(each) for each in seen), "something went before what matters less"


@pytest.mark.slow
def test_rows_of_creates_that_do_not_fit_are_counted() -> None:
    text = shown(document(*(change(n, f"created.{n:05}") for n in range(1, 5001))))
    assert gfm.count_characters(text) <= MAX_CHARACTERS
    [rows] = tables(text)
    assert 500 < len(rows) < 5000
    assert f"\n… + {5000 - len(rows):,} more creates\n" in text
    assert_sound(text)


def told(text: str) -> str:
    line = text.splitlines()[2]
    return line if line.startswith("**This plan is too long") else ""


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (document(*(deleted(n, f"t.{n}") for n in range(1, 101))), ""),
        (document(*(change(n, f"t.{n}", "delete", final=True) for n in range(1, 1501))), "is named, without its rows"),
        (document(*(deleted(n, f"t.{n}") for n in range(1, 301))), "in one line"),
        (document(*(deleted(n, f"t.{n}") for n in range(1, 1501))), "are named"),
        (document(problems=[problem(line=n) for n in range(1, 901)]), "in one line"),
    ],
    ids=["whole", "final-named", "short", "named", "errors"],
)
def test_nothing_that_must_be_told_is_left_out_while_its_name_fits(plan: Json, said: str) -> None:
    text = shown(plan)
    assert gfm.count_characters(text) <= MAX_CHARACTERS
    assert_sound(text)
    assert said in told(text) and bool(said) == bool(told(text))
    names = [each["name"] for each in plan["changes"]]
    assert all(f"`topic/{name}`" in text for name in names)
    assert all(f"`a.yaml:{each['line']}`" in text for each in plan["diagnostics"])
    if plan["blocked"]:
        assert f"**{len(plan['blocked'])} dangers not accepted**" in text.splitlines()[1]
        assert "--accept delete:topic/t.1" in text


@pytest.mark.slow
def test_where_not_even_names_fit_they_are_counted() -> None:
    refused = [deleted(n, f"refused.{n:05}") for n in range(1, 3001)]
    accepted = [deleted(n, f"accepted.{n:05}", "stack") for n in range(3001, 6001)]
    errors = [problem(line=n) for n in range(1, 2001)]
    text = shown(document(*refused, *accepted, problems=errors))
    assert gfm.count_characters(text) <= MAX_CHARACTERS
    assert_sound(text)
    assert "counted, and named as far as they fit" in told(text)
    assert "6,000 cannot be undone · 3000 dangers accepted · **3000 dangers not accepted**" in text.splitlines()[1]
    assert "**2000 errors, nothing can be applied**" in text.splitlines()[1]
    [line] = re.findall(r"DANGER K401, not accepted: delete\*\* \(3,000\): (.*)", text)
    names, _, more = line.partition("and ")
    assert len(names.split()) + int(more.split()[0].replace(",", "")) == 3000
    assert "accept: [KIND]" in text and "`--accept delete:topic/refused.00001`" in text


def test_plans_of_several_stacks_share_the_room_and_dangers_come_first() -> None:
    many = [document(*(change(n, f"s{s}.{n}", "update") for n in range(1, 200)), name=f"s{s}") for s in range(30)]
    last = document(deleted(1, "last"), name="last")
    text = shown(*many, last, *(document(name=f"same{n}") for n in range(20)))
    assert gfm.count_characters(text) <= MAX_CHARACTERS
    assert_sound(text)
    assert text.index("delete `topic/last`") < text.index("#### ")
    assert text.splitlines()[1].startswith("### ⛔ kplan: 51 stacks → prod · 5,970 change, 1 delete")
    assert all(f"#### ✅ s{s} · 199 change" in text for s in range(30))
    assert "\n20 stacks without changes: `same0` `same1`" in text


@pytest.mark.slow
def test_hundreds_of_stacks_fit() -> None:
    text = shown(*(document(deleted(1, f"t{n}"), name=f"stack-{n}") for n in range(800)))
    assert gfm.count_characters(text) <= MAX_CHARACTERS
    assert_sound(text)
    assert "**800 dangers not accepted**" in text


def test_characters_beyond_the_first_plane_count_twice() -> None:
    assert gfm.count_characters("a😀") == 3
    assert (
        gfm.count_characters(shown(document(*(change(n, "😀" * 60 + str(n)) for n in range(1, 2000)))))
        <= MAX_CHARACTERS
    )


# -- what is said -----------------------------------------------------------------------------------------------------
def test_a_plan_without_changes_is_one_line() -> None:
    assert shown(document()).splitlines() == [
        "<!-- kplan:v1 stack=shop env=prod -->",
        "✅ **kplan: shop → prod** · No changes. 2 resources match stacks.",
    ]


def test_what_the_plan_is_not_is_said_at_the_top() -> None:
    plan = document(change(1, "x"), complete=False)
    plan["summary"]["hidden"] = 3
    plan["target"] |= {"simulated": ".kplan/local.db", "snapshot": "2026-01-01T09:00:00Z"}
    text = render([plan], Context(notes=["someone holds this stack"]))
    head = text.partition("| #")[0]
    assert "(SIMULATED cluster)" in head and "**SIMULATED cluster, no server is touched:** `.kplan/local.db`" in head
    assert "**SNAPSHOT** of the cluster, taken 2026-01-01T09:00:00Z, 1 h ago" in head
    assert "hides 3 changes" in head
    assert "Note: someone holds this stack" in head


def test_the_end_says_which_plan_it_is_and_how_it_is_applied() -> None:
    end = shown(document(change(1, "x"))).rpartition("</details>")[2]
    assert "plan `00000000` · commit `3f2c91a` · 2026-01-01 10:00 UTC · apply: `kplan apply plan.json`" in end
    assert "[run log](<https://ci.example/run/1>)" in end
    assert "Kafka `kafka:9092`, cluster `c`, 5 topics read" in end
    assert "apply: refused" in shown(document(deleted(1, "x")))


def test_places_are_told_as_seen_from_the_repository() -> None:
    text = render([document(deleted(7, "x"), problems=[problem()])], Context(base="infra/kafka"))
    assert "`infra/kafka/a.yaml:7`" in text and "`infra/kafka/a.yaml:3`" in text


def test_too_many_changes_say_what_would_allow_them() -> None:
    plan = document(change(1, "x", "update"), problems=[problem(code="K419")])
    text = shown({**plan, "errored": False, "blocked": ["K419"]})
    assert "**too many changes at once**" in text and "error" not in text.splitlines()[1]
    assert "**BLOCKED K419**" in text and "`--accept max_changes`" in text


def test_many_steps_of_which_the_same_is_to_be_said_are_one_point() -> None:
    grown = [change(n, f"t{n}", "update", risk("K411", "caution", ""), final=True) for n in range(1, 41)]
    text = shown(document(*grown))
    [point] = [line for line in text.splitlines() if "Cannot be undone" in line]
    assert "change 40 topics: `topic/t1`, " in point and "and 30 more" in point
    assert text.count("| **no** |") == 40


# -- its pieces -------------------------------------------------------------------------------------------------------
def test_room_is_given_by_rank_then_by_place() -> None:
    def item(rank: int, text: str) -> PageItem:
        return PageItem(rank, lambda: text, "word")

    parts = [Part([item(2, "late "), item(1, "early ")], "(", ")"), Part([item(0, "must")])]
    page = fit_page(parts, 13, len)
    assert page and page.text == "(early )must" and page.left == {"word": 1}
    whole = fit_page(parts, 17, len)
    assert whole and whole.text == "(late early )must" and not whole.left
    assert fit_page(parts, 3, len) is None


def test_a_diff_has_its_sign_in_the_first_column() -> None:
    secret = {"sensitive": True, "ref": "{{ var.x }}", "fingerprint": "hmac:1f"}
    long = "a" * 500
    differing = [
        {"path": "/config/password", "before": secret, "after": {**secret, "fingerprint": "hmac:2a"}},
        {"path": "/config/topics", "before": "a, b", "after": "b, c"},
        {"path": "/config/set", "before": None, "after": "1"},
        {"path": "/config/unset", "before": "1", "after": None},
        {"path": "/config/long", "before": f"{long}x", "after": f"{long}y"},
    ]
    step = change(4, "x", "update", diff=[{**each, "op": "change", "cause": "stack"} for each in differing],
                  kind="connector")  # fmt: skip
    lines = write_patch(step, MADE).splitlines()
    assert all(line[0] in "+-!# " for line in lines)
    assert not any("hmac" in line for line in lines)
    body = [re.sub(r"  +", "  ", line) for line in lines[1:-1]]
    assert body[:6] == ["!  password  (sensitive, changed)", "  topics  b", "+  c", "-  a", "+  set  1", "-  unset  1"]
    assert body[6].endswith("ax") and body[7].endswith("ay")


def test_a_graph_draws_what_is_alike_as_one_and_stays_small() -> None:
    tables = [change(n, f"t{n}", wave=1) for n in range(1, 5000)]
    addresses = [each["address"] for each in tables]
    connector = change(5000, "c", "update", wave=2, depends_on=addresses)
    source = draw_graph(document(*tables, connector, change(5001, "g", "delete", final=True, wave=3)))
    assert len(source) <= MAX_GRAPH_CHARACTERS
    assert source.splitlines()[-4:] == [
        '  b3["5001 delete topic/g"]:::final',
        "  b1 --> b2",
        "  b2 -.-> b3",
        "  classDef final stroke:#d1242f,stroke-width:3px",
    ]


@examples(100)
@given(TEXT)
def test_a_label_of_a_graph_is_no_syntax(name: str) -> None:
    lines = draw_graph(document(change(1, name), change(2, "b"))).splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r'  b1\["1 create topic/(?:[A-Za-z0-9 ./,-]|#\d+;)*"\]', lines[1])
