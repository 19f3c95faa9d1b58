"""GitHub's annotations: workflow commands, which its runner reads from the log and shows at the line in a pull request.

How they are written and escaped: docs.github.com, "Workflow commands for GitHub Actions", and the runner's
ActionCommand.cs (%25, %0D, %0A in the message; %3A and %2C in a property too).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kplan.diagnostics import Diagnostic, Severity
from kplan.render.diagnostics import line, visible, words
from kplan.render.findings import findings
from kplan.render.text import Context
from kplan.text import count, truncate

MOST = 10  # a step shows so many of a level and says nothing of the others (actions/toolkit, docs/problem-matchers.md)
LONGEST = 60_000  # characters; an annotation's message has at most 64 KB (docs.github.com, REST API, check runs)
COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def render(documents: Sequence[Mapping[str, Any]], context: Context) -> str:
    """The plans' dangers and problems, dangers first."""
    return commands(finding.diagnostic for finding in findings(documents, context))


def commands(problems: Iterable[Diagnostic]) -> str:
    """A command each, as many as GitHub shows; the last of a level then lists all that are left."""
    known = list(problems)
    by_level = ([each for each in known if each.severity is severity] for severity in Severity)
    return "".join(f"{command}\n" for same in by_level for command in _commands(same))


def _commands(same: Sequence[Diagnostic]) -> Iterator[str]:
    """For problems of one level."""
    shown = len(same) if len(same) <= MOST else MOST - 1
    for each in same[:shown]:
        yield _command(each)
    if rest := same[shown:]:
        title = f"kplan ({count(len(rest), f'more {rest[0].severity.value}')})"
        yield f"::{COMMANDS[rest[0].severity]} title={_property(title)}::{_data(_listed(rest))}"


def _listed(problems: Sequence[Diagnostic]) -> str:
    """A line each; where they are too long together, each is cut to its place, code and beginning."""
    lines = [line(each) for each in problems]
    room = max(40, LONGEST // len(lines) - 1)
    short = lines if sum(map(len, lines)) + len(lines) <= LONGEST else [truncate(each, room) for each in lines]
    return "\n".join(short)


def _command(each: Diagnostic) -> str:
    properties = {"title": f"kplan ({each.code})"}
    if each.span:
        properties["file"] = each.span.path
        if each.span.line:
            properties |= {"line": str(each.span.line), "col": str(each.span.column)}
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    help = f"help: {each.help}" if each.help else ""
    lines = "\n".join(filter(None, (each.summary, "" if each.addresses else each.address, words(each), help)))
    return f"::{COMMANDS[each.severity]} {listed}::{_data(lines)}"


def _data(text: str) -> str:
    """Text for GitHub's runner: it reads %, CR and LF as escapes; other control characters are made visible."""
    return "%0A".join(visible(each).replace("%", "%25") for each in text.splitlines())


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
