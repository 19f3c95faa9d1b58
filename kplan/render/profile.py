"""Render where the time of one call went: as text, as a page with a waterfall, and as a trace for a browser's tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Final

from kplan.phases import Recorder, TimeSpan
from kplan.text import truncate

WIDTH: Final = 40  # columns of the bars
NAME_WIDTH: Final = 48
MAX_ROWS: Final = 2000  # of a page; the longest stay
STYLE: Final = (
    ":root{color-scheme:light dark}body{font:14px/1.5 system-ui,sans-serif;margin:1.5rem;max-width:90rem}"
    "table{border-collapse:collapse;width:100%}td{padding:.1rem .5rem;white-space:nowrap;vertical-align:middle}"
    "td.name{font:12px ui-monospace,Menlo,Consolas,monospace;max-width:30rem;overflow:hidden;text-overflow:ellipsis}"
    "td.time{text-align:right;font-variant-numeric:tabular-nums}td.bar{width:60%}svg{display:block;width:100%;height:14px}"
    ".phase{fill:#7d8792}.request{fill:#0b57a4}.import{fill:#b07a1e}"
)


def render_lines(recorder: Recorder, ended: float) -> list[str]:
    """Return the waterfall as lines of text: start, length and bar of each span, in the order of their starts."""
    whole = max(ended - recorder.began, 1e-6)
    lines = [f"{whole:8.3f} s in all"]
    for span in _sort(recorder.spans):
        before = min(int((span.started - recorder.began) / whole * WIDTH), WIDTH - 1)
        length = max(1, min(round(span.seconds / whole * WIDTH), WIDTH - before))
        bar = f"{' ' * before}{'█' * length}".ljust(WIDTH)
        start = span.started - recorder.began
        lines.append(f"{start:8.3f} +{span.seconds:7.3f} s |{bar}| {truncate(span.name, NAME_WIDTH)}")
    return lines


def render_page(recorder: Recorder, ended: float, title: str) -> str:
    """Return the waterfall as a page that needs nothing else; the longest spans stay where there are very many."""
    whole = max(ended - recorder.began, 1e-6)
    longest = sorted(recorder.spans, key=lambda span: -span.seconds)[:MAX_ROWS]
    rows = []
    for span in _sort(longest):
        left, width = (100 * (span.started - recorder.began) / whole, max(100 * span.seconds / whole, 0.15))
        start = span.started - recorder.began
        rows.append(
            f'<tr><td class="name" title="{escape(span.name)}">{escape(span.name)}</td>'
            f'<td class="time">{start:.3f} s</td><td class="time">{span.seconds * 1000:,.0f} ms</td>'
            f'<td class="bar"><svg viewBox="0 0 100 14" preserveAspectRatio="none">'
            f'<rect class="{span.kind}" x="{left:.2f}" width="{width:.2f}" y="2" height="10"/></svg></td></tr>'
        )
    more = (
        f"<p>{len(recorder.spans) - MAX_ROWS:,} shorter ones are left out.</p>"
        if len(recorder.spans) > MAX_ROWS
        else ""
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{STYLE}</style></head><body>'
        f"<h1>{escape(title)}</h1><p>{whole:.3f} s in all: phases are grey, requests blue, imports brown. "
        f"Times are from the start of the process.</p><table>{''.join(rows)}</table>{more}</body></html>\n"
    )


def render_trace(recorder: Recorder) -> str:
    """Return the spans as trace events, which Chromium's chrome://tracing and other viewers open.

    Source: "Trace Event Format", complete events (`ph: X`), times in microseconds.
    """
    threads = {name: number for number, name in enumerate(dict.fromkeys(span.thread for span in recorder.spans), 1)}
    names = [{"name": "thread_name", "ph": "M", "pid": 1, "tid": number, "args": {"name": name}}
             for name, number in threads.items()]  # fmt: skip
    events = [
        {
            "name": span.name,
            "cat": span.kind,
            "ph": "X",
            "ts": round((span.started - recorder.began) * 1e6),
            "dur": round(span.seconds * 1e6),
            "pid": 1,
            "tid": threads[span.thread],
        }
        for span in _sort(recorder.spans)
    ]
    return json.dumps({"traceEvents": [*names, *events]}) + "\n"


def _sort(spans: Sequence[TimeSpan]) -> list[TimeSpan]:
    return sorted(spans, key=lambda span: (span.started, -span.seconds))
