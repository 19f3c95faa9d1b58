"""Collect the findings of a plan, the worst first: risks and problems as views for machines need them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kplan.diagnostics import Diagnostic, Severity, Span
from kplan.diagnostics.codes.table import CODES
from kplan.planning.document import diagnostic_from_json
from kplan.render.facts import format_sentence
from kplan.render.text import ACCEPTED, Context, list_open_dangers, list_remedies
from kplan.values import dataclass

RANKS = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
LEVELS = {"danger": Severity.ERROR, "caution": Severity.WARNING, "note": Severity.NOTE}


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold a problem, or a risk of a step. `kind` is a danger's word for `accept:`; `accepted` is where it was
    accepted."""

    diagnostic: Diagnostic
    stack: str
    env: str
    level: str = ""  # of a risk: danger | caution | note
    kind: str = ""
    accepted: str = ""  # stack | flag

    @property
    def blocks(self) -> bool:
        return self.level == "danger" and not self.accepted


def collect_findings(documents: Sequence[Mapping[str, Any]], context: Context) -> list[Finding]:
    """Return dangers that block, errors, accepted dangers, cautions and warnings, then notes. Places start at the root
    of the repository, as far as `context` knows it."""
    collected = [finding for document in documents for finding in _collect_of_document(document, context)]
    return sorted(collected, key=_rank)


def _rank(finding: Finding) -> tuple[int, int]:
    return RANKS[finding.diagnostic.severity], 0 if finding.level == "danger" else 1


def _collect_of_document(document: Mapping[str, Any], context: Context) -> Iterator[Finding]:
    stack, env = document["stack"]["name"], document["stack"]["env"]
    command_line = f"kplan {context.command} {' '.join(context.paths)}"
    for data in document["diagnostics"]:
        yield Finding(_move_to_root(diagnostic_from_json(data), context.base), stack, env)
    for change in document["changes"]:
        help = ", ".join(
            f"{remedy.rstrip('.')} {words}".strip() for remedy, words in _list_remedies_of_dangers(change, command_line)
        )
        for risk in change["risks"]:
            problem = _move_to_root(
                _make_diagnostic(change, risk, format_sentence(risk, document["created_at"]), help), context.base
            )
            yield Finding(problem, stack, env, risk["level"], risk["kind"], risk.get("accepted") or "")


def _list_remedies_of_dangers(change: Mapping[str, Any], command_line: str) -> Iterator[tuple[str, str]]:
    return list_remedies(change, command_line) if list_open_dangers(change) else iter(())


def _make_diagnostic(change: Mapping[str, Any], risk: Mapping[str, Any], message: str, help: str) -> Diagnostic:
    """Return the risk as a problem at the line where the stack declares the change."""
    acceptance = ACCEPTED.get(risk.get("accepted") or "")
    danger = risk["level"] == "danger"
    return Diagnostic(
        risk["code"],
        Severity.WARNING if acceptance else LEVELS.get(risk["level"], Severity.WARNING),
        CODES[risk["code"]].title if risk["code"] in CODES else risk["kind"],
        f"{'DANGER: ' if danger else ''}{message}" + (f" ({acceptance})" if acceptance else ""),
        help if danger and not acceptance else "",
        _read_span(change["source"]),
        change["address"],
    )


def _read_span(source: Mapping[str, Any] | None) -> Span | None:
    if not source or not source.get("path"):
        return None
    end = source.get("end_line", 0), source.get("end_column", 0)
    return Span(source["path"], source["line"], source["column"], *end)


def _move_to_root(problem: Diagnostic, base: str) -> Diagnostic:
    return replace(problem, span=move_to_root(problem.span, base)) if problem.span and base else problem


def move_to_root(span: Span, base: str) -> Span:
    """Return the place with its path from the repository's root; a path outside stays as it is."""
    if not base or span.path.startswith("/"):
        return span
    parts, rest = base.split("/"), span.path.split("/")
    while parts and rest[0] == "..":
        parts.pop()
        rest.pop(0)
    return replace(span, path="/".join([*parts, *rest]))
