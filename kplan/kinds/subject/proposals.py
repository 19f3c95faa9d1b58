"""Schemas that somebody else will register, judged before they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kplan.kinds.subject.compatibility import Incompatibility
from kplan.kinds.subject.judging import list_reasons
from kplan.kinds.subject.subject import NONE, Subject, is_looser, name_subject
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the next version of a subject will be, made of the text of its latest one: None where that cannot be told.

    `level` is the one that the subject will have by then; None where it keeps its own.
    """

    subject: str
    make_text: Callable[[str], str | None]
    level: str | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the level refuses of a proposal's `text`; None where the registered schema is none to make one of."""

    level: str
    text: str | None
    reasons: tuple[Incompatibility | str, ...] = ()


def judge_by_rules(
    proposals: Sequence[Proposal], live: Mapping[str, Subject], usual_level: str = "BACKWARD"
) -> dict[str, Ruling]:
    """Return the rulings on proposals without a registry, by Avro's rules; `live` is by names of addresses."""
    rulings: dict[str, Ruling] = {}
    for proposal in proposals:
        now = live.get(name_subject(proposal.subject))
        if now is None or not now.text or now.schema_type != "avro":
            continue
        text = proposal.make_text(now.text)
        level = proposal.level or now.level or usual_level
        reasons = list_reasons(level, Subject(now.name, "avro", text=text), [now.text]) if text else None
        rulings[proposal.subject] = Ruling(level, text, tuple(reasons or ()))
    return rulings


def decide_level(proposal: Proposal, own: str | None, usual: Callable[[], str]) -> tuple[str, bool]:
    """Return the level that judges a proposal, and whether it is looser than the one that the subject has now."""
    level = proposal.level or own or usual()
    return level, is_looser(level, own or usual()) or level == NONE
