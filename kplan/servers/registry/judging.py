"""Asks a registry whether it will take schemas that somebody else is going to register."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from kplan.kinds.subject.compatibility import Incompatibility
from kplan.kinds.subject.judging import list_reasons, select_reasons
from kplan.kinds.subject.proposals import Proposal, Ruling, decide_level
from kplan.kinds.subject.subject import Subject, is_transitive
from kplan.servers.registry.api import RegisteredSchema, Registry

ReadVersions = Callable[[str, str], Sequence[RegisteredSchema]]  # of a subject, as far as its level is about them


def judge(
    registry: Registry,
    proposals: Sequence[Proposal],
    read_versions: ReadVersions,
    map_all: Callable[[Callable[[Proposal], Ruling | None], Sequence[Proposal]], Iterable[Ruling | None]],
) -> dict[str, Ruling]:
    """Return the rulings on the proposals whose subjects are registered, and Avro.

    The registry decides by the level that it has; where that will be a looser one by then, Avro's rules decide.
    """
    listed = frozenset(registry.list_subjects())
    usual_level = lru_cache(registry.read_global_level)

    def judge_one(proposal: Proposal) -> Ruling | None:
        latest = registry.read_version(proposal.subject)
        if latest is None or latest.schema_type != "avro":
            return None
        text = proposal.make_text(latest.text)
        level, is_looser = decide_level(proposal, registry.read_level(proposal.subject), usual_level)
        if text is None or text == latest.text:
            return Ruling(level, text)
        schema = RegisteredSchema("avro", text, latest.references)
        verdict = None
        if not is_looser:
            verdict = registry.check(proposal.subject, schema, all_versions=is_transitive(level))
            if verdict.is_compatible:
                return Ruling(level, text)
        versions = [version.text for version in read_versions(proposal.subject, level)]
        reasons: Sequence[Incompatibility | str] = list_reasons(level, Subject("", "avro", text=text), versions) or ()
        if verdict is not None and not reasons:
            reasons = select_reasons(verdict.messages) or ["the registry gives no reason"]
        return Ruling(level, text, tuple(reasons))

    wanted = [proposal for proposal in proposals if proposal.subject in listed]
    found = zip(wanted, map_all(judge_one, wanted), strict=True)
    return {proposal.subject: ruling for proposal, ruling in found if ruling is not None}
