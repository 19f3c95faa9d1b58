"""The views of diagnostics, and the code table behind them."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan import diagnostics as problems
from kplan.diagnostics import Diagnostic, Severity, Span, codes, error, warning
from kplan.diagnostics.codes.code import Code
from kplan.diagnostics.codes.ranges import FAMILIES, family_of
from kplan.diagnostics.codes.table import CODES, find_similar
from kplan.render.diagnostics import encode_diagnostics, format_summary, render_concise, render_full
from kplan.render.github import format_commands as github
from tests.examples import examples

BILLING = "a: 1\n" * 7 + "      database.hostname: pg-pord\n" + "a: 1\n" * 11 + "      retenton.ms: 604800000\n"
K1, K4 = Code("K1", "any"), Code("K4", "any")
UNKNOWN = error(
    codes.K104,
    "unknown topic config",
    help="did you mean `retention.ms`?",
    span=Span("stacks/billing.yaml", 20, 7, 20, 18),
)
REJECTED = error(
    codes.K302,
    "Connect rejected a connector setting",
    span=Span("stacks/billing.yaml", 8, 26, 8, 33),
    label='Connect: Unable to connect: unknown host "pg-pord"',
)


def show(*diagnostics: Diagnostic, text: str = BILLING, width: int = 100, color: bool = False) -> str:
    return render_full(diagnostics, lambda path: text, color, width, closing="Nothing was changed.")


def snippet(text: str, span: Span, width: int = 100, label: str = "") -> tuple[str, str]:
    """The line of the file and the line below it, without the gutter."""
    lines = show(error(K1, "x", span=span, label=label), text=text, width=width).split("\n")
    return lines[3].split("| ", 1)[1], lines[4].split("| ", 1)[1]


def test_the_full_view_is_exactly_that_of_the_design() -> None:
    assert show(UNKNOWN, REJECTED) == (
        """\
error[K104]: unknown topic config
  --> stacks/billing.yaml:20:7
   |
20 |       retenton.ms: 604800000
   |       ^^^^^^^^^^^
  help: did you mean `retention.ms`?

error[K302]: Connect rejected a connector setting
  --> stacks/billing.yaml:8:26
   |
 8 |       database.hostname: pg-pord
   |                          ^^^^^^^ Connect: Unable to connect: unknown host "pg-pord"

2 errors, 0 warnings in 1 file. Nothing was changed.
"""
    )


def test_detail_lines_and_help_keep_their_lines_under_each_other() -> None:
    text = show(
        error(
            codes.K512,
            "a connector task failed after its configuration was changed",
            'task 0 on connect-2:8083: PSQLException: ERROR: publication "inventory_pub" does not exist',
            help="`publication.autocreate.mode` is `disabled`.\nCreate it, then run the plan again.",
            span=Span("s.yaml", 9, 12, 9, 28),
        ),
        text="x\n" * 8 + "    tables: [public.shipments]\n",
    )
    assert text.split("\n\n")[0].split("\n")[1:] == [
        "  --> s.yaml:9:12",
        "   |",
        " 9 |     tables: [public.shipments]",
        "   |            ^^^^^^^^^^^^^^^^",
        '   = task 0 on connect-2:8083: PSQLException: ERROR: publication "inventory_pub" does not exist',
        "  help: `publication.autocreate.mode` is `disabled`.",
        "        Create it, then run the plan again.",
    ]


def test_long_details_are_wrapped_to_the_width() -> None:
    text = show(replace(UNKNOWN, detail="word " * 60, help="help " * 60), width=60)
    assert max(map(len, text.split("\n"))) <= 60
    assert text.count("word") == 60 and text.count("help") == 61


def test_the_gutter_grows_with_the_line_number() -> None:
    lines = show(error(K1, "x", span=Span("f", 1000, 1, 1000, 2)), text="a\n" * 1000).split("\n")
    assert lines[1:5] == ["    --> f:1000:1", "     |", "1000 | a", "     | ^"]


@pytest.mark.parametrize(
    ("text", "span", "shown", "mark"),
    [
        ("日本: x", Span("f", 1, 5, 1, 6), "日本: x", "      ^"),
        ("日本: x", Span("f", 1, 1, 1, 3), "日本: x", "^^^^"),
        ("e\u0301a: x", Span("f", 1, 5, 1, 6), "e\u0301a: x", "   ^"),
        ("\tx: y", Span("f", 1, 2, 1, 3), "    x: y", "    ^"),
        ("a: \x1b[31m", Span("f", 1, 4, 1, 9), "a: \\x1b[31m", "   ^^^^^^^^"),
        ("a: \u202ered", Span("f", 1, 5, 1, 8), "a: \\u202ered", "         ^^^"),
        ("key:", Span("f", 1, 5, 1, 5), "key:", "    ^"),
        ("short", Span("f", 1, 90, 1, 95), "short", "     ^"),
        ("  a: [1,\r", Span("f", 1, 6, 3, 2), "  a: [1,", "     ^^^"),
    ],
)
def test_the_underline_is_under_what_is_meant(text: str, span: Span, shown: str, mark: str) -> None:
    assert snippet(text + "\n", span) == (shown, mark)


@pytest.mark.parametrize("column", [1, 40, 95, 96, 97, 500, 4000, 7995])
@pytest.mark.parametrize("filler", ["x", "日", "\t", "\x07"])
def test_a_long_line_is_cut_around_the_column(column: int, filler: str) -> None:
    text = filler * (column - 1) + "HERE" + filler * (8000 - column)
    line, mark = snippet(text, Span("f", 1, column, 1, column + 4))
    columns = "".join("日~" if char == "日" else char for char in line)
    assert len(columns) <= 95
    assert columns[mark.index("^") : len(mark)] == "HERE"
    assert line.startswith("…") or column < 97
    assert line.endswith("…") or column > 7900


def test_a_span_wider_than_the_terminal_is_underlined_as_far_as_it_is_seen() -> None:
    line, mark = snippet("a: " + "x" * 500, Span("f", 1, 4, 1, 504))
    assert len(line) <= 95 and len(mark) <= len(line)
    assert mark.strip("^ ") == ""


def test_a_label_without_room_stands_below() -> None:
    text = show(replace(REJECTED, label="word " * 30))
    assert max(map(len, text.split("\n"))) <= 100
    assert "   = word word" in text
    assert text.count("word") == 30


def test_without_a_text_or_a_place_the_snippet_is_left_out() -> None:
    assert render_full([UNKNOWN], lambda path: None, False, 100).split("\n")[:3] == [
        "error[K104]: unknown topic config",
        "  --> stacks/billing.yaml:20:7",
        "  help: did you mean `retention.ms`?",
    ]
    assert "  --> kplan.yaml\n" in show(error(codes.K101, "x", span=Span("kplan.yaml")))
    assert "  --> topic/x\n" in show(error(codes.K310, "x", address="topic/x"))
    assert "-->" not in show(error(codes.K310, "x"))
    assert "   = said\n" in show(replace(REJECTED, span=None, label="said"))


@pytest.mark.parametrize(
    ("kinds", "files", "line"),
    [
        ("", 0, "0 errors, 0 warnings in 0 files."),
        ("e", 1, "1 error, 0 warnings in 1 file."),
        ("eewn", 2, "2 errors, 1 warning in 2 files."),
    ],
)
def test_the_counting_line(kinds: str, files: int, line: str) -> None:
    severities = {"e": Severity.ERROR, "w": Severity.WARNING, "n": Severity.NOTE}
    found = [Diagnostic("K1", severities[kind], "x") for kind in kinds]
    assert format_summary(found, files, "") == line
    assert format_summary(found, files, "Nothing was changed.") == f"{line} Nothing was changed."


def test_files_are_counted_by_their_places_unless_the_caller_knows() -> None:
    other = replace(UNKNOWN, span=Span("other.yaml", 1, 1))
    assert "in 2 files." in show(UNKNOWN, other, REJECTED)
    assert "in 7 files." in render_full([UNKNOWN], lambda path: None, False, 100, files=7)


def test_color_only_adds() -> None:
    plain, colored = show(UNKNOWN, REJECTED), show(UNKNOWN, REJECTED, color=True)
    assert "\x1b[" in colored and "\x1b[" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_concise_is_one_line_each() -> None:
    found = [UNKNOWN, REJECTED, warning(codes.K420, "careful", "one\ntwo", address="topic/x")]
    assert render_concise(found).split("\n") == [
        "stacks/billing.yaml:20:7: K104 unknown topic config (did you mean `retention.ms`?)",
        "stacks/billing.yaml:8:26: K302 Connect rejected a connector setting: "
        'Connect: Unable to connect: unknown host "pg-pord"',
        "topic/x: K420 warning: careful: one; two",
        "",
    ]


def test_json_has_the_published_keys_and_tells_the_file_from_the_attribute() -> None:
    (record,) = encode_diagnostics(
        [replace(UNKNOWN, detail="retenton.ms", address="topic/x", path="/config/retenton.ms")]
    )
    assert record == {
        "code": "K104",
        "severity": "error",
        "summary": "unknown topic config",
        "detail": "retenton.ms",
        "help": "did you mean `retention.ms`?",
        "address": "topic/x",
        "attribute": "/config/retenton.ms",
        "path": "stacks/billing.yaml",
        "line": 20,
        "column": 7,
        "end_line": 20,
        "end_column": 18,
    }
    assert json.loads(json.dumps(record)) == record
    assert encode_diagnostics([error(K1, "x")])[0]["path"] == ""


def test_what_a_label_says_is_in_every_view() -> None:
    for text in (
        render_concise([REJECTED]),
        github([REJECTED]),
        encode_diagnostics([REJECTED])[0]["detail"],
        show(REJECTED),
    ):
        assert "Unable to connect" in text


def test_github_gets_its_own_form() -> None:
    assert github([UNKNOWN]) == (
        "::error title=kplan (K104),file=stacks/billing.yaml,line=20,col=7::"
        "unknown topic config%0Ahelp: did you mean `retention.ms`?\n"
    )
    assert github([warning(K4, "w"), Diagnostic("K4", Severity.NOTE, "n")]).split("\n")[:2] == [
        "::warning title=kplan (K4)::w",
        "::notice title=kplan (K4)::n",
    ]


def test_github_escapes_cannot_be_broken_out_of() -> None:
    evil = error(K1, "x", "100%0A\r\n::set-output name=a::b", span=Span("a,b:c%.yaml", 1, 2))
    (line,) = github([evil]).splitlines()
    assert line.startswith("::error title=kplan (K1),file=a%2Cb%3Ac%25.yaml,line=1,col=2::")
    assert "100%250A%0A::set-output" in line


TEXTS = st.text(
    st.characters() | st.sampled_from("\x00\x07\x1b\x9b\r\u202e\u200d\u2028\ufeff\t日\u0301%:,"), max_size=40
)
SPANS = st.none() | st.builds(Span, TEXTS, *[st.integers(0, 50)] * 4)
ANY = st.builds(Diagnostic, TEXTS, st.sampled_from(Severity), TEXTS, TEXTS, TEXTS, SPANS, TEXTS, TEXTS, TEXTS)


@pytest.mark.slow
@given(ANY, TEXTS, st.integers(1, 200), st.booleans())
@examples(500)
def test_no_view_of_any_text_writes_what_steers_a_terminal(
    each: Diagnostic, text: str, width: int, color: bool
) -> None:
    shown = render_full([each], lambda path: text, color, width)
    if color:
        shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    for view in (shown, render_concise([each]), github([each])):
        assert not re.search(
            "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", view
        )
        view.encode()
    assert len(render_concise([each]).split("\n")) == 2
    assert len(github([each]).split("\n")) == 2
    json.dumps(encode_diagnostics([each]))


def test_ten_thousand_diagnostics_do_not_read_their_file_again_each_time() -> None:
    text = "key: value\n" * 50_000
    asked = []

    def source(path: str) -> str:
        asked.append(path)
        return text

    found = [error(K1, "x", span=Span("f", n * 4 + 1, 1, n * 4 + 1, 4)) for n in range(10_000)]
    started = time.process_time()
    render_full(found, source, False, 100)
    assert asked == ["f"]
    assert time.process_time() - started < 5


# The code table


def test_every_error_of_the_tree_has_its_code_in_the_table() -> None:
    classes = [problems.KplanError]
    for each in classes:
        classes += each.__subclasses__()
    numbers = {each.entry.number for each in classes if each.__module__ == "kplan.diagnostics"}
    assert len(numbers) == 16
    assert numbers <= CODES.keys()


def test_the_first_family_is_complete() -> None:
    assert {f"K1{number:02}" for number in range(12)} <= CODES.keys()


@pytest.mark.parametrize("code", CODES)
def test_a_code_explains_itself_in_two_to_eight_lines(code: str) -> None:
    each = CODES[code]
    lines = [line for line in each.text.split("\n") if line.strip()]
    assert each.number == code
    assert re.fullmatch(r"K[1-6][0-9]{2}", code) and family_of(code) == FAMILIES[code[:2]]
    assert each.title and "\n" not in each.title and not each.title.endswith(".")
    assert 2 <= len(lines) <= 8
    assert all(len(line) <= 120 for line in lines)


def test_a_code_that_is_not_there_has_a_similar_one() -> None:
    assert find_similar("k1o4") == "K104"
    assert find_similar("what") == ""


def of_topics(count: int, *places: Span, detail: str = "Tiered storage is off") -> list[Diagnostic]:
    """A refusal for each of so many topics, at the places in turn."""
    summary, place = "the cluster refuses this", lambda n: places[n % len(places)]
    return [
        error(codes.K301, summary, detail.format(f"t{n}"), span=place(n), address=f"topic/t{n}") for n in range(count)
    ]


def test_what_one_line_causes_for_many_topics_is_one_problem() -> None:
    line = Span("s.yaml", 2, 3, 2, 9)
    (one,) = problems.sort_diagnostics([*of_topics(25, line), *of_topics(25, line)])
    assert one.detail == "Tiered storage is off\n25 resources: topic/t0, topic/t1, topic/t2 and 22 more"
    assert one.addresses == tuple(f"topic/t{n}" for n in range(25))
    assert problems.sort_diagnostics([one]) == (one,)
    assert encode_diagnostics([one])[0]["addresses"] == [*one.addresses]
    assert "addresses" not in encode_diagnostics(of_topics(1, line))[0]
    (named,) = problems.sort_diagnostics(of_topics(2, line, detail="{} is refused"))
    assert named.detail == "t0 is refused\n2 resources: topic/t0, topic/t1"


def test_what_differs_in_more_than_the_resource_stays_apart() -> None:
    line, other = Span("s.yaml", 2, 3, 2, 9), Span("s.yaml", 3, 3, 3, 9)
    assert len(problems.sort_diagnostics(of_topics(6, line, other))) == 2
    assert len(problems.sort_diagnostics([*of_topics(1, line), *of_topics(2, line, detail="no such config")[1:]])) == 2
    assert len(problems.sort_diagnostics(replace(each, span=None) for each in of_topics(5, line))) == 5


def test_of_many_alike_at_places_of_their_own_the_first_is_shown() -> None:
    places = [Span("s.yaml", n, 3, n, 9) for n in range(1, 201)]
    found = of_topics(200, *places)
    text = show(*found, text="  topic:\n" * 200)
    assert text.count("error[K301]") == 1
    assert (
        "   = Tiered storage is off\n     and 199 more: topic/t1 (s.yaml:2:3), topic/t2 (s.yaml:3:3), topic/t3" in text
    )
    assert "200 errors" in text
    assert show(*found[:3], text="  topic:\n" * 200).count("error[K301]") == 3
    assert len(render_concise(found).splitlines()) == 200
