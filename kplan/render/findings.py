"""What a plan has found, one finding each, the worst first: risks and problems as views for machines want them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kplan.diagnostics import Diagnostic, Severity, Span
from kplan.diagnostics.codes.table import CODES
from kplan.planning.document import diagnostic_from_json
from kplan.render.facts import sentence
from kplan.render.text import ACCEPTED, Context, open_dangers, ways_out

RANKS = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
LEVELS = {"danger": Severity.ERROR, "caution": Severity.WARNING, "note": Severity.NOTE}


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, or a risk of a step. `kind` is what `accept:` names, of a danger; `accepted` says where it is."""

    diagnostic: Diagnostic
    stack: str
    env: str
    level: str = ""  # of a risk: danger | caution | note
    kind: str = ""
    accepted: str = ""  # stack | flag

    @property
    def blocks(self) -> bool:
        return self.level == "danger" and not self.accepted


def findings(documents: Sequence[Mapping[str, Any]], context: Context) -> list[Finding]:
    """All of them: dangers that block, errors, accepted dangers, cautions and warnings, notes. Places start at the root
    of the repository, as far as `context` knows it."""
    found = [finding for document in documents for finding in _of(document, context)]
    return sorted(found, key=_rank)


def _rank(finding: Finding) -> tuple[int, int]:
    return RANKS[finding.diagnostic.severity], 0 if finding.level == "danger" else 1


def _of(document: Mapping[str, Any], context: Context) -> Iterator[Finding]:
    stack, env = document["stack"]["name"], document["stack"]["env"]
    again = f"kplan {context.command} {' '.join(context.paths)}"
    for data in document["diagnostics"]:
        yield Finding(_rooted(diagnostic_from_json(data), context.base), stack, env)
    for change in document["changes"]:
        help = ", ".join(f"{said.rstrip('.')} {words}".strip() for said, words in _ways(change, again))
        for risk in change["risks"]:
            problem = _rooted(_diagnostic(change, risk, sentence(risk, document["created_at"]), help), context.base)
            yield Finding(problem, stack, env, risk["level"], risk["kind"], risk.get("accepted") or "")


def _ways(change: Mapping[str, Any], again: str) -> Iterator[tuple[str, str]]:
    return ways_out(change, again) if open_dangers(change) else iter(())


def _diagnostic(change: Mapping[str, Any], risk: Mapping[str, Any], said: str, help: str) -> Diagnostic:
    """The risk as a problem at the line where the stack says what is to be done."""
    by = ACCEPTED.get(risk.get("accepted") or "")
    danger = risk["level"] == "danger"
    return Diagnostic(
        risk["code"],
        Severity.WARNING if by else LEVELS.get(risk["level"], Severity.WARNING),
        CODES[risk["code"]].title if risk["code"] in CODES else risk["kind"],
        f"{'DANGER: ' if danger else ''}{said}" + (f" ({by})" if by else ""),
        help if danger and not by else "",
        _span(change["source"]),
        change["address"],
    )


def _span(source: Mapping[str, Any] | None) -> Span | None:
    if not source or not source.get("path"):
        return None
    end = source.get("end_line", 0), source.get("end_column", 0)
    return Span(source["path"], source["line"], source["column"], *end)


def _rooted(problem: Diagnostic, base: str) -> Diagnostic:
    return replace(problem, span=rooted(problem.span, base)) if problem.span and base else problem


def rooted(span: Span, base: str) -> Span:
    """The place with its path from the repository's root; one that leads elsewhere stays as it is."""
    if not base or span.path.startswith("/"):
        return span
    parts, rest = base.split("/"), span.path.split("/")
    while parts and rest[0] == "..":
        parts.pop()
        rest.pop(0)
    return replace(span, path="/".join([*parts, *rest]))
