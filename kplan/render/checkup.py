"""Render what `kplan doctor` found out as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kplan.model.checkup import CheckResult, ServerCheck

MARKS = {
    CheckResult.OK: "ok",
    CheckResult.ABSENT: "-",
    CheckResult.UNKNOWN: "?",
    CheckResult.LACKING: "LACKING",
    CheckResult.FAILED: "FAILED",
}
MARK_WIDTH, SUBJECT_WIDTH = 7, 14
INDENT = " " * (2 + MARK_WIDTH + 2)


def render_checks(checks: Sequence[ServerCheck]) -> Iterator[tuple[CheckResult, str]]:
    """Yield the lines, each with the result that it shows: the servers, their checks, and what to do."""
    server = ""
    for check in checks:
        if check.server != server:
            server = check.server
            yield CheckResult.ABSENT, server
        yield check.result, f"  {MARKS[check.result]:<{MARK_WIDTH}}  {check.subject:<{SUBJECT_WIDTH}}  {check.text}"
        if check.help:
            code = f" ({check.code})" if check.code else ""
            yield CheckResult.ABSENT, f"{INDENT}{check.help}{code}"
