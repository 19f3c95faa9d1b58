"""What a change of a subject brings with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from kplan.diagnostics import Diagnostic, codes, warning
from kplan.kinds.base import Consequences
from kplan.kinds.phases import Phase
from kplan.kinds.risks import RiskContext, make_risk
from kplan.kinds.subject.comparison import (
    LEVEL,
    REFERENCES,
    SCHEMA,
    VERSIONS,
    describe_references,
    is_registered,
    is_same_schema,
    name_schema,
)
from kplan.kinds.subject.options import SubjectOptions, is_hard
from kplan.kinds.subject.subject import NONE, Subject, is_looser, name_subject
from kplan.model import (
    Action,
    Address,
    AttrDiff,
    Change,
    ChangeOptions,
    Connector,
    Live,
    Owned,
    Removal,
    Resource,
    Risk,
    Stack,
    Target,
    Undo,
)

OTHER_VERSION = "the registry gives the schema another version number, and the same id"
STRATEGIES = ("-value", "-key")  # of the subjects that converters and serializers name after a topic


class SubjectConsequences(Consequences[Subject]):
    def choose_removal_options(self, entry: Removal) -> ChangeOptions:
        return SubjectOptions(hard=entry.hard)

    def decide_undo(self, change: Change, target: Target) -> Undo:
        if change.action is Action.CREATE:
            return Undo("delete", True)
        if change.action is not Action.DELETE:
            return Undo("restore", True)
        if is_hard(change):
            return Undo("none", False, "what a registry deletes permanently is gone")
        before = change.before
        return Undo("recreate", True, "" if isinstance(before, Subject) and before.is_level_only else OTHER_VERSION)

    def phase(self, change: Change) -> Phase:
        if change.action is Action.DELETE:
            return Phase.SUBJECTS_DELETED
        has_schema = isinstance(change.after, Subject) and not change.after.is_level_only
        return Phase.SCHEMAS_REGISTERED if has_schema else Phase.LEVELS_SET

    def find_follow_ups(
        self,
        stack: Stack,
        live: Live,
        ledger: Mapping[Address, Owned],
        acting: Collection[Address],
        wrong: Collection[Address],
    ) -> Iterator[Change]:
        """Yield an update of each subject whose reference without a version is to a schema that gets a new version."""
        subjects = {a: each for a, each in stack.resources.items() if isinstance(each, Subject)}
        renewed = {a for a, each in subjects.items() if a in acting and _gets_new_version(each, live)}
        waiting = {a: each for a, each in subjects.items() if each.references and a not in acting and a not in wrong}
        while found := [(a, each) for a, each in waiting.items() if _follows(each, renewed)]:
            for address, subject in found:
                del waiting[address]
                renewed.add(address)
                if (change := _register_again(subject, live, ledger)) is not None:
                    yield change

    def warn_of_live_state(self, subject: Subject, live: Live) -> Iterator[Diagnostic]:
        """Warn of a schema that is registered, and is not the latest: no registry makes an old version the latest."""
        now = live.resources.get(subject.address)
        if not isinstance(now, Subject) or subject.is_level_only or is_same_schema(subject, now):
            return
        version = now.earlier.get(subject.fingerprint)
        if version is not None and now.version not in subject.unwanted:
            yield warning(
                codes.K462,
                "the declared schema is not the latest one",
                f"{subject.subject_name}: declared is version {version}, the latest is {now.version}",
                help="declare the latest schema, or list the later versions under `removed:`, with `versions: […]`",
                span=subject.origin.at(SCHEMA),
                address=subject.address,
            )

    def waits_for_updates(self, change: Change) -> bool:
        """Return True: what a schema refers to gets its new version first."""
        return True

    def find_errors(self, change: Change, context: RiskContext) -> Iterable[Diagnostic]:
        """Return what kplan's own rules of Avro refuse, where a snapshot stands for the registry."""
        after, before = change.after, change.before
        if not context.world.live.target.snapshot or not any(diff.path == SCHEMA for diff in change.diffs):
            return []
        if not isinstance(after, Subject) or not isinstance(before, Subject) or not before.text:
            return []
        from kplan.kinds.subject.judging import explain, list_reasons

        level = (after.level if is_looser(after.level, before.level) else before.level) or NONE
        return [explain(after, level, reason) for reason in list_reasons(level, after, [before.text]) or ()]

    def wants_facts(self, change: Change) -> bool:
        return change.action is Action.DELETE and not change.is_ledger_only

    def find_topics_in_question(self, change: Change, names: Collection[str]) -> Collection[str]:
        topic = _find_topic(change)
        return [topic] if self.wants_facts(change) and topic in names else []

    def find_risks(self, change: Change, context: RiskContext) -> Iterator[Risk]:
        if change.is_ledger_only:
            return
        before, after = change.before, change.after
        if change.action is Action.DELETE and is_hard(change):
            yield make_risk(codes.K460, "records that were written with its schemas cannot be read any more")
        elif change.action is Action.DELETE and isinstance(before, Subject) and not before.is_level_only:
            facts = context.world.facts.get(Address("topic", _find_topic(change)))
            if facts is not None and facts.records != 0:
                yield make_risk(codes.K464, f"topic {_find_topic(change)} has records, whose schema it is.", facts)
        elif any(diff.path == VERSIONS for diff in change.diffs):
            topic = _find_topic(change)
            yield make_risk(codes.K464, f"records of {topic or 'its users'} may have been written with these versions.")
        if why := _find_unverified(change, context):
            yield make_risk(codes.K461, why)
        if isinstance(after, Subject) and any(diff.path == LEVEL for diff in change.diffs):
            old = before.level if isinstance(before, Subject) else None
            writers = _find_writers(change, context)
            if writers and (after.level == NONE or is_looser(after.level, old)):
                yield make_risk(codes.K463, f"{writers} writes with schemas that were refused until now")


def _gets_new_version(subject: Subject, live: Live) -> bool:
    """Whether a schema that is registered already changes."""
    now = live.resources.get(subject.address)
    return isinstance(now, Subject) and not subject.is_level_only and not is_registered(subject, now)


def _follows(subject: Subject, renewed: Collection[Address]) -> bool:
    return any(
        each.version is None and Address(Subject.kind, name_subject(each.subject)) in renewed
        for each in subject.references
    )


def _register_again(subject: Subject, live: Live, ledger: Mapping[Address, Owned]) -> Change | None:
    """Return the change that registers the unchanged text with the new version of what it refers to."""
    now, owned, declared = live.resources.get(subject.address), ledger.get(subject.address), subject.references
    if not isinstance(now, Subject):
        return None
    return Change(
        subject.address,
        Action.UPDATE,
        now,
        subject,
        (
            AttrDiff(SCHEMA, name_schema(now), name_schema(subject)),
            AttrDiff(REFERENCES, describe_references(now.references), f"{describe_references(declared)} (new)"),
        ),
        "reference_changes",
        span=subject.origin.span,
        owner=owned,
        created=bool(owned and owned.created),
    )


def _find_unverified(change: Change, context: RiskContext) -> str:
    """Say why no registry judged the schema; empty where one did, or where nothing is to be judged."""
    after, live = change.after, context.world.live
    if not isinstance(after, Subject) or not any(diff.path == SCHEMA for diff in change.diffs):
        return ""
    uses = (Address(Subject.kind, name_subject(each.subject)) for each in after.references)
    new = next((a for a in uses if context.world.after.get(a) is not live.resources.get(a)), None)
    if new is not None:
        return f"it refers to {new}, which gets a new version in this plan"
    if (
        after.schema_type != "avro"
        and isinstance(change.before, Subject)
        and is_looser(after.level, change.before.level)
    ):
        return "the level changes with it, and kplan has no rules of its own for this type"
    if live.target.snapshot:
        return "the registry was not asked: kplan compared it with the latest version in the snapshot, as Avro does"
    return ""


def _find_topic(change: Change) -> str:
    """Return the topic that the subject is named after; empty where it is named after none."""
    resource: Resource | None = change.after or change.before
    name = resource.subject_name if isinstance(resource, Subject) else ""
    return next((name.removesuffix(suffix) for suffix in STRATEGIES if name.endswith(suffix)), "")


def _find_writers(change: Change, context: RiskContext) -> str:
    """Say who writes the subject's topic, by the prefix of its topics; empty where no live connector does."""
    topic, live = _find_topic(change), context.world.live.resources
    prefixes = {a: r.config.get("topic.prefix") for a, r in live.items() if isinstance(r, Connector)}
    return next((str(a) for a, prefix in sorted(prefixes.items()) if prefix and topic.startswith(f"{prefix}.")), "")
