"""Subjects of a schema registry: read, compared, registered, deleted, and put back."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from kplan.diagnostics import Diagnostic, KplanError, Rejected, Timeout, codes, error
from kplan.kinds.parts import decode_part
from kplan.kinds.subject.comparison import LEVEL, SCHEMA, VERSIONS, SubjectComparison
from kplan.kinds.subject.compatibility import Incompatibility
from kplan.kinds.subject.judging import explain, list_reasons, select_reasons
from kplan.kinds.subject.options import is_hard
from kplan.kinds.subject.proposals import Proposal, Ruling
from kplan.kinds.subject.subject import NONE, Subject, is_looser, is_transitive, name_subject
from kplan.model import Action, Address, Change, Resource, Target
from kplan.servers.base import REGISTRY, BackendState, Outcome, Progress
from kplan.servers.plain import PlainBackend
from kplan.servers.registry.api import NotFound, RegisteredSchema, Registry
from kplan.servers.registry.judging import judge
from kplan.servers.registry.restoring import Restoring, compute_fingerprint, is_level_only, set_level

PARALLEL: Final = 16  # requests at a time
POLL_S: Final = 0.1
WRITABLE: Final = ("", "READWRITE")
SUBJECT_POLL_S: Final = 0.5  # between two looks for the first record of a topic
STAYS: Final = f"{codes.K347.number}: stays, schemas that were deleted softly refer to it"
WAITS: Final = "waits: this registry sets no level of a subject that does not exist"
V = TypeVar("V")
T = TypeVar("T")


class RegistrySubjects(PlainBackend):
    """The subjects of a registry. What a registry can say of a schema is asked of it, not decided by its text."""

    kind = Subject.kind
    server = REGISTRY
    check_name = "compatibility"

    def __init__(self, registry: Registry, settle_timeout: float = 120, parallel: int = PARALLEL) -> None:
        self._registry = registry
        self._settle_timeout = settle_timeout
        self._parallel = parallel
        self._comparison = SubjectComparison()
        self._deferred: set[Address] = set()  # whose levels are refused until their subjects are there

    @property
    def registry(self) -> Registry:
        """Return the client of the registry."""
        return self._registry

    @property
    def retries(self) -> int:  # type: ignore[override]
        return self._registry.retries

    def identify(self) -> Target:
        """Return nothing: a registry does not say of which cluster it is."""
        return Target()

    def close(self) -> None:
        self._registry.close()

    # -- reading --------------------------------------------------------------------------------------------------
    def read(self, names: Collection[str] | None) -> BackendState:
        return self.read_compared(names, ())

    def read_compared(self, names: Collection[str] | None, states: Collection[Resource]) -> BackendState:
        """Read subjects, and find which of `states` they have; one whose states are levels alone is its level alone."""
        listed = {name_subject(subject) for subject in self._registry.list_subjects()}
        by_name: dict[str, list[Subject]] = {}
        for state in states:
            if isinstance(state, Subject):
                by_name.setdefault(state.name, []).append(state)
        wanted = sorted(listed if names is None else names)
        read = partial(self._read_one, listed=listed, states=by_name)
        found = {subject.address: subject for subject in self._map(read, wanted) if subject is not None}
        return BackendState(dict(found), frozenset(listed))

    def _read_one(self, name: str, listed: Collection[str], states: Mapping[str, Sequence[Subject]]) -> Subject | None:
        own = states.get(name, ())
        if name not in listed and any(not state.is_level_only for state in own):
            return None
        level = self._read_level(decode_part(name), own)
        if name not in listed or (own and all(state.is_level_only for state in own)):
            return None if level is None else Subject(name, level=level)
        latest = self._registry.read_version(decode_part(name))
        if latest is None:
            return None  # deleted since it was listed
        live = Subject(
            name,
            latest.schema_type,
            compute_fingerprint(latest.schema_type, latest.text),
            latest.references,
            level,
            text=latest.text,
            version=latest.version,
        )
        if unwanted := {version for state in own for version in state.unwanted}:
            there = self._registry.list_versions(live.subject_name)
            live = replace(live, unwanted=tuple(sorted(unwanted.intersection(there))))
        return self._compare(live, own)

    def _read_level(self, subject: str, states: Sequence[Subject]) -> str | None:
        """Return the level; a registry that cannot keep NONE has it where nothing is stricter."""
        level = self._registry.read_level(subject)
        if level is None and not self._registry.keeps_none and any(state.level == NONE for state in states):
            return NONE if self._registry.read_global_level() == NONE else None
        return level

    def _compare(self, live: Subject, states: Sequence[Subject]) -> Subject:
        """Return the live subject with what the registry says of the states whose text is another one."""
        equals: set[str] = set()
        earlier: dict[str, int] = {}
        for state in states:
            if state.fingerprint in {live.fingerprint, *equals, *earlier} or not state.text:
                continue
            found = self._registry.find(live.subject_name, self._resolve(state))
            if found is not None and found.version == live.version:
                equals.add(state.fingerprint)
            elif found is not None:
                earlier[state.fingerprint] = found.version
        return replace(live, equals=frozenset(equals), earlier=earlier) if equals or earlier else live

    def _resolve(self, subject: Subject) -> RegisteredSchema:
        """Return the schema with the versions of its references: those that are given, otherwise the latest."""
        references = []
        for reference in subject.references:
            latest = None if reference.version else self._registry.read_version(reference.subject)
            references.append(replace(reference, version=latest.version) if latest is not None else reference)
        return RegisteredSchema(subject.schema_type, subject.text, tuple(references))

    # -- checking -------------------------------------------------------------------------------------------------
    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """Return why the registry would refuse new schemas; left out is what it cannot judge yet."""
        made = {
            change.address for change in changes if not change.is_ledger_only and change.action is not Action.DELETE
        }
        asked = [change for change in changes if _registers(change) and not _uses(change) & made]
        return {
            change.address: problems
            for change, problems in zip(asked, self._map(self._check_one, asked), strict=True)
            if problems is not None
        }

    def _check_one(self, change: Change) -> Sequence[Diagnostic] | None:
        subject = change.after
        assert isinstance(subject, Subject)
        name = subject.subject_name
        mode = self._registry.read_mode(name)
        if mode not in WRITABLE:
            help = "set its mode to READWRITE in the registry"
            return [error(codes.K346, "the subject cannot be changed", f"{name} is in mode {mode}", help=help)]
        before = change.before if isinstance(change.before, Subject) else None
        level = self._find_judging_level(subject, before)
        if before is not None and is_looser(subject.level, before.level):
            reasons = self._list_reasons(subject, level)
            return None if reasons is None else _explain(subject, level, reasons)
        verdict = self._registry.check(name, self._resolve(subject), all_versions=is_transitive(level))
        if verdict.is_compatible:
            return ()
        said: Sequence[Incompatibility | str] = select_reasons(verdict.messages)
        said = said or self._list_reasons(subject, level) or ()
        return _explain(subject, level, said or ["the registry gives no reason"])

    def _find_judging_level(self, subject: Subject, before: Subject | None) -> str:
        """Return the level that a new schema is judged by: a looser one comes before it, a stricter one after it."""
        own = before.level if before is not None else None
        return (subject.level if is_looser(subject.level, own) else own) or self._registry.read_global_level()

    def _list_reasons(self, subject: Subject, level: str) -> Sequence[Incompatibility] | None:
        """Return what the level refuses by kplan's own rules; None where its type has none."""
        versions = self._read_versions(subject.subject_name, level)
        texts = dict.fromkeys(t for s in (*versions, self._resolve(subject)) for t in self._read_reference_texts(s))
        return list_reasons(level, subject, [each.text for each in versions], list(texts))

    def _read_reference_texts(self, schema: RegisteredSchema) -> Iterator[str]:
        """Yield the texts of what a schema refers to, those that they refer to first."""
        for reference in schema.references:
            found = self._registry.read_version(reference.subject, reference.version)
            if found is not None:
                yield from self._read_reference_texts(found)
                yield found.text

    def _read_versions(self, subject: str, level: str) -> list[RegisteredSchema]:
        """Return the versions that the level is about, the newest last."""
        numbers = self._registry.list_versions(subject)
        read = partial(self._registry.read_version, subject)
        found = (read(number) for number in (numbers if is_transitive(level) else numbers[-1:]))
        return [version for version in found if version is not None]

    def judge(self, proposals: Sequence[Proposal]) -> Mapping[str, Ruling]:
        """Return what the registry will say of schemas that connectors are going to register, by subject."""
        return judge(self._registry, proposals, self._read_versions, self._map)

    # -- changing -------------------------------------------------------------------------------------------------
    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """Return the versions and the level of each subject; of one that goes, the ids of its schemas."""
        acting = [change for change in changes if not change.is_ledger_only]
        return {change.address: kept for change, kept in zip(acting, self._map(self._capture, acting), strict=True)}

    def _capture(self, change: Change) -> Mapping[str, Any]:
        subject = decode_part(change.address.name)
        versions = self._registry.list_versions(subject)
        kept: dict[str, Any] = {"versions": list(versions), "level": self._registry.read_level(subject)}
        if change.action is Action.DELETE and not is_level_only(change):
            schemas = (self._registry.read_version(subject, number) for number in versions)
            kept["schemas"] = [schema.id for schema in schemas if schema is not None]
        elif unwanted := _find_unwanted(change):
            schemas = (self._registry.read_version(subject, number) for number in unwanted)
            kept["deleted"] = [schema.id for schema in schemas if schema is not None]
        return kept

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Make the changes side by side, each with its own outcome."""

        def make(change: Change) -> Outcome:
            try:
                return self._make(change, captured.get(change.address, {}))
            except KplanError as failure:
                return Outcome(failure)

        return {change.address: outcome for change, outcome in zip(changes, self._map(make, changes), strict=True)}

    def _make(self, change: Change, captured: Mapping[str, Any]) -> Outcome:
        subject = decode_part(change.address.name)
        if change.reason == "undo":
            return Restoring(self._registry, self._resolve).undo(subject, change, captured)
        if change.action is Action.DELETE:
            return self._delete(subject, change)
        after, before = change.after, change.before
        assert isinstance(after, Subject)
        old = before.level if isinstance(before, Subject) else None
        sets_level = after.level != old if change.action is Action.CREATE else _has_diff(change, LEVEL)
        is_first = sets_level and (not _registers(change) or is_looser(after.level, old))
        if is_first:
            try:
                set_level(self._registry, subject, after.level)
            except NotFound:
                if not after.is_level_only:
                    raise
                self._deferred.add(change.address)
                return Outcome(note=WAITS, waits=True)
        if _registers(change):
            if not after.text:
                raise Rejected("its text is not in the journal", help="roll the run back, and apply again")
            self._registry.register(subject, self._resolve(after))
        for version in _find_unwanted(change):
            self._registry.delete_version(subject, version)
        if sets_level and not is_first:
            set_level(self._registry, subject, after.level)
        return Outcome()

    def _delete(self, subject: str, change: Change) -> Outcome:
        """Delete a subject, or its level; one that only deleted schemas refer to may have to stay."""
        before = change.before
        if not is_level_only(change):
            try:
                self._registry.delete_subject(subject)
            except Rejected as refusal:
                if refusal.code != codes.K347.number or self._is_used(subject):
                    raise
                self._deferred.add(change.address)
                return Outcome(note=STAYS, waits=True)
            if is_hard(change):
                self._registry.delete_subject(subject, permanent=True)
        if isinstance(before, Subject) and before.level is not None:
            self._registry.delete_level(subject)
        return Outcome()

    def _is_used(self, subject: str) -> bool:
        """Whether the latest schema of another subject refers to one of this subject."""
        latest = self._map(self._registry.read_version, self._registry.list_subjects())
        return any(reference.subject == subject for each in latest if each is not None for reference in each.references)

    # -- settling -------------------------------------------------------------------------------------------------
    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Wait until the registry shows every change, or time is up: its followers lag behind its leader."""
        deadline = time.monotonic() + self._settle_timeout
        waiting = list(changes)
        while True:
            names = [change.address.name for change in waiting]
            states = [state for change in waiting for state in (change.after, change.before) if state is not None]
            live = self.read_compared(names, states).resources
            waiting = [change for change in waiting if not self._is_shown(change, live.get(change.address))]
            if not waiting or time.monotonic() > deadline:
                break
            for change in waiting:
                progress(change.address, "accepted, not visible yet")
            time.sleep(POLL_S)
        late = Timeout(f"it is not as declared after {self._settle_timeout:g} s")
        missed = {change.address for change in waiting}
        return {
            change.address: Outcome(late, accepted=True) if change.address in missed else Outcome()
            for change in changes
        }

    def complete(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Set levels that the registry refused before their subjects were there, as soon as these are registered."""
        deadline = time.monotonic() + self._settle_timeout
        waiting = {change.address: change for change in changes}
        outcomes: dict[Address, Outcome] = {}
        while True:
            there = {name_subject(subject) for subject in self._registry.list_subjects()}
            for address in [address for address in waiting if address.name in there]:
                outcomes[address] = self._make(waiting.pop(address), {})
            if not waiting or time.monotonic() > deadline:
                break
            for address in waiting:
                progress(address, WAITS)
            time.sleep(SUBJECT_POLL_S)
        note = f"{codes.K348.number}: waits for the first record"
        return outcomes | {address: Outcome(note=note, waits=True) for address in waiting}

    def _is_shown(self, change: Change, live: Resource | None) -> bool:
        if change.address in self._deferred:
            return True
        if change.after is None or live is None:
            return (change.after is None) == (live is None)
        assert isinstance(change.after, Subject) and isinstance(live, Subject)
        return not self._comparison.find_differing(change.after, live)

    def _map(self, work: Callable[[T], V], items: Collection[T]) -> list[V]:
        """Do the work for each item, many at a time; the first failure is raised."""
        if len(items) < 2 or self._parallel < 2:
            return [work(item) for item in items]
        with ThreadPoolExecutor(min(self._parallel, len(items))) as pool:
            return list(pool.map(work, items))


def _registers(change: Change) -> bool:
    """Whether the change registers a schema."""
    if change.is_ledger_only or not isinstance(change.after, Subject) or change.after.is_level_only:
        return False
    return change.action is Action.CREATE or _has_diff(change, SCHEMA)


def _find_unwanted(change: Change) -> tuple[int, ...]:
    """Return the versions that an update deletes."""
    now = change.before
    return now.unwanted if isinstance(now, Subject) and _has_diff(change, VERSIONS) else ()


def _has_diff(change: Change, path: str) -> bool:
    return any(diff.path == path for diff in change.diffs)


def _uses(change: Change) -> frozenset[Address]:
    assert isinstance(change.after, Subject)
    return SubjectComparison().uses(change.after)


def _explain(subject: Subject, level: str, reasons: Sequence[Incompatibility | str]) -> list[Diagnostic]:
    """Return an error for each reason, at its line of the schema file."""
    return [explain(subject, level, reason) for reason in reasons]
