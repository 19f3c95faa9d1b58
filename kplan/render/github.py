"""GitHub's annotations: workflow commands, which its runner reads from the log and shows at the line in a pull request.

How they are written and escaped: docs.github.com, "Workflow commands for GitHub Actions", and the runner's
ActionCommand.cs (%25, %0D, %0A in the message; %3A and %2C in a property too).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kplan.diagnostics import Diagnostic, Severity
from kplan.render.diagnostics import escape_controls, format_line, join_details
from kplan.render.findings import collect_findings
from kplan.render.text import Context
from kplan.text import count, truncate

MAX_SHOWN = 10  # a step shows so many of a level and drops the others (actions/toolkit, docs/problem-matchers.md)
MAX_MESSAGE_LENGTH = (
    60_000  # characters; an annotation's message has at most 64 KB (docs.github.com, REST API, check runs)
)
COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def render(documents: Sequence[Mapping[str, Any]], context: Context) -> str:
    """Return the plans' dangers and problems, dangers first."""
    return format_commands(finding.diagnostic for finding in collect_findings(documents, context))


def format_commands(problems: Iterable[Diagnostic]) -> str:
    """Return a command for each problem, as many as GitHub shows; the last of a level lists all that are left."""
    listed = list(problems)
    by_level = ([problem for problem in listed if problem.severity is severity] for severity in Severity)
    return "".join(f"{command}\n" for of_level in by_level for command in _format_level(of_level))


def _format_level(problems: Sequence[Diagnostic]) -> Iterator[str]:
    """Yield the commands of problems of one level."""
    shown = len(problems) if len(problems) <= MAX_SHOWN else MAX_SHOWN - 1
    for problem in problems[:shown]:
        yield _format_command(problem)
    if rest := problems[shown:]:
        title = f"kplan ({count(len(rest), f'more {rest[0].severity.value}')})"
        yield f"::{COMMANDS[rest[0].severity]} title={_escape_property(title)}::{_escape_data(_format_list(rest))}"


def _format_list(problems: Sequence[Diagnostic]) -> str:
    """Return a line for each problem; if they are too long together, each is cut to its place, code and beginning."""
    lines = [format_line(problem) for problem in problems]
    line_length = max(40, MAX_MESSAGE_LENGTH // len(lines) - 1)
    shortened = (
        lines
        if sum(map(len, lines)) + len(lines) <= MAX_MESSAGE_LENGTH
        else [truncate(problem, line_length) for problem in lines]
    )
    return "\n".join(shortened)


def _format_command(problem: Diagnostic) -> str:
    properties = {"title": f"kplan ({problem.code})"}
    if problem.span:
        properties["file"] = problem.span.path
        if problem.span.line:
            properties |= {"line": str(problem.span.line), "col": str(problem.span.column)}
    attributes = ",".join(f"{key}={_escape_property(value)}" for key, value in properties.items())
    help = f"help: {problem.help}" if problem.help else ""
    lines = "\n".join(
        filter(None, (problem.summary, "" if problem.addresses else problem.address, join_details(problem), help))
    )
    return f"::{COMMANDS[problem.severity]} {attributes}::{_escape_data(lines)}"


def _escape_data(text: str) -> str:
    """Escape text for GitHub's runner: it reads %, CR and LF as escapes; other control characters are made visible."""
    return "%0A".join(escape_controls(line).replace("%", "%25") for line in text.splitlines())


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
