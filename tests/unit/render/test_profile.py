"""A profile as text, page and trace: each span at its place, and no markup from a name."""

from __future__ import annotations

import json

from kplan.phases import IMPORT, PHASE, REQUEST, Recorder, TimeSpan
from kplan.render.profile import MAX_ROWS, WIDTH, render_lines, render_page, render_trace

RECORDER = Recorder(
    10.0,
    [
        TimeSpan("plan", PHASE, 11.0, 14.0, "MainThread"),
        TimeSpan("import x", IMPORT, 10.0, 11.0, "MainThread"),
        TimeSpan("list <topics> (3)", REQUEST, 12.0, 13.0, "reader"),
    ],
)


def test_bars_are_where_the_time_was() -> None:
    whole, first, second, third = render_lines(RECORDER, 14.0)
    assert whole.strip() == "4.000 s in all"
    quarter = WIDTH // 4
    assert f"|{'█' * quarter}{' ' * 3 * quarter}| import x" in first
    assert f"|{' ' * quarter}{'█' * 3 * quarter}| plan" in second
    assert f"|{' ' * 2 * quarter}{'█' * quarter}{' ' * quarter}| list" in third


def test_a_name_cannot_become_markup_and_the_longest_stay() -> None:
    page = render_page(RECORDER, 14.0, "kplan <plan>")
    assert "list &lt;topics&gt; (3)" in page and "<topics>" not in page and "kplan &lt;plan&gt;" in page
    assert 'class="request" x="50.00" width="25.00"' in page
    short = [TimeSpan(f"r{i}", REQUEST, 10.0, 10.001, "t") for i in range(MAX_ROWS)]
    page = render_page(Recorder(10.0, [*RECORDER.spans, *short]), 14.0, "x")
    assert "3 shorter ones are left out" in page and ">plan<" in page


def test_a_trace_has_its_times_in_microseconds_by_thread() -> None:
    events = json.loads(render_trace(RECORDER))["traceEvents"]
    assert [event["args"]["name"] for event in events if event["ph"] == "M"] == ["MainThread", "reader"]
    [request] = [event for event in events if event.get("cat") == REQUEST]
    assert (request["ts"], request["dur"], request["tid"]) == (2_000_000, 1_000_000, 2)
