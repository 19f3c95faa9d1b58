"""The plan: a document, computed once. Text, JSON and exit code are views of it, and apply executes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, field, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from kplan.diagnostics import Diagnostic, Severity, Span, Stale, codes
from kplan.diagnostics.codes.ranges import BLOCKING_ERRORS
from kplan.kinds.codec import change_from_json, change_to_json, find_contents, with_contents
from kplan.kinds.connector.options import drops_of
from kplan.kinds.registry import comparison_of, consequences_of, parse_address
from kplan.kinds.schemas import read_tolerant_schema
from kplan.language.template import references, resolve
from kplan.model import (
    Action,
    Address,
    Change,
    Drift,
    File,
    Live,
    Resource,
    Secret,
    SourceCheck,
    Target,
)
from kplan.model.codec import connects_from_json, connects_to_json, text_from_json, text_to_json
from kplan.model.fields import read_text_map
from kplan.model.forecast import Forecast
from kplan.model.rehearsal import NOT_MODELLED, Rehearsal, RehearsalProblem
from kplan.planning.comparison import compare, find_differing
from kplan.planning.forecast import decode_forecast, encode_forecast, encode_storage_of
from kplan.planning.needed import Ledger
from kplan.planning.order import Step
from kplan.planning.trust import is_another_topic
from kplan.planning.unknown_words import find_unknown_change, later_version
from kplan.state.signing import compute_signature, encode_canonically, is_same_signature, iterate_canonically
from kplan.values import dataclass
from kplan.version import __version__

FORMAT = "1.0"


@dataclass(frozen=True, slots=True)
class Summary:
    """How many steps of each kind a plan has. `hidden`: left out by --target or --exclude; `irreversible`: no undo."""

    add: int = 0
    change: int = 0
    delete: int = 0
    replace: int = 0
    move: int = 0
    adopt: int = 0
    release: int = 0
    unchanged: int = 0
    hidden: int = 0
    irreversible: int = 0


@dataclass(frozen=True)  # no slots: its digest is remembered
class Plan:
    """What one apply would do to one stack. `hidden` counts the changes that --target or --exclude left out."""

    stack: str
    env: str
    target: Target
    steps: tuple[Step, ...] = ()
    mode: str = "apply"
    files: tuple[File, ...] = ()
    commit: str = ""
    unchanged: int = 0
    hidden: int = 0
    drift: tuple[Drift, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    checked: bool = False
    topics_read: int = 0
    connectors_read: int = 0
    used_env: tuple[str, ...] = ()
    created_at: str = ""
    kplan_version: str = __version__
    sources: tuple[SourceCheck, ...] = ()  # the connectors whose databases matter
    owned: int = 0  # resources that the stack owned when the plan was made
    rehearsal: Rehearsal | None = None  # what came of it on a simulation
    forecast: Forecast | None = None  # what the topics that change will store
    links: Mapping[str, str] = field(default_factory=dict)  # patterns of a user interface's addresses, by kind

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(step.change for step in self.steps)

    @property
    def point_of_no_return(self) -> int | None:
        """Return the number of the first step that cannot be undone."""
        return next((s.number for s in self.steps if s.change.irreversible), None)

    @property
    def complete(self) -> bool:
        return self.hidden == 0

    @property
    def errored(self) -> bool:
        return any(d.is_error and d.code not in BLOCKING_ERRORS for d in self.diagnostics)

    @property
    def blocked(self) -> tuple[str, ...]:
        """Return what must be accepted or corrected first: code and address of each danger and each denied change."""
        found = [f"{r.code} {s.change.address}" for s in self.steps for r in s.change.risks if r.blocks]
        problems = [d for d in self.diagnostics if d.code in BLOCKING_ERRORS]
        found += [f"{d.code} {address}".rstrip() for d in problems for address in d.addresses or (d.address,)]
        return tuple(dict.fromkeys(found))

    @property
    def applyable(self) -> bool:
        return not self.errored and not self.blocked

    @property
    def has_changes(self) -> bool:
        """Whether there are changes; adopting and releasing touch the ledger alone and are none."""
        return any(not s.change.is_ledger_only for s in self.steps)

    @property
    def exit_code(self) -> int:
        """Return 4 with errors, 3 when blocked, else 0."""
        return 4 if self.errored else 3 if self.blocked else 0

    @property
    def summary(self) -> Summary:
        return Summary(
            add=self.count(Action.CREATE),
            change=self.count(Action.UPDATE),
            delete=self.count(Action.DELETE),
            replace=self.count(Action.REPLACE),
            move=self.count(Action.MOVE),
            adopt=self.count(Action.ADOPT),
            release=self.count(Action.RELEASE),
            unchanged=self.unchanged,
            hidden=self.hidden,
            irreversible=sum(1 for change in self.changes if change.irreversible),
        )

    @property
    def dangers(self) -> tuple[Change, ...]:
        """Return the changes that lose data or cut readers off, accepted or not."""
        return tuple(change for change in self.changes if any(risk.level == "danger" for risk in change.risks))

    def count(self, *actions: Action) -> int:
        return sum(1 for s in self.steps if s.change.action in actions)

    @cached_property
    def digest(self) -> str:
        """Return the same for two plans of the same world, whenever they were made."""
        return str(to_json(self)["digest"])


# -- the document -----------------------------------------------------------------------------------------------------
def to_json(plan: Plan) -> dict[str, Any]:
    """Return the document of `schemas/plan.v1.json`; no secret is in it."""
    document: dict[str, Any] = {
        "format_version": FORMAT,
        "kplan_version": plan.kplan_version,
        "created_at": plan.created_at,
        "stack": {"name": plan.stack, "env": plan.env, "files": [asdict(f) for f in plan.files], "commit": plan.commit},
        "target": encode_target(plan.target),
        "mode": plan.mode,
        "checked": plan.checked,
        "applyable": plan.applyable,
        "complete": plan.complete,
        "errored": plan.errored,
        "blocked": list(plan.blocked),
        "summary": asdict(plan.summary),
        "point_of_no_return": plan.point_of_no_return,
        "changes": [
            {**change_to_json(s.change, s.number, s.wave), **encode_storage_of(plan.forecast, s.change.address)}
            for s in plan.steps
        ],
        "drift": [drift_to_json(d) for d in plan.drift],
        "diagnostics": [diagnostic_to_json(d) for d in plan.diagnostics],
        "read": {
            "topics": plan.topics_read,
            "connectors": plan.connectors_read,
            **({"owned": plan.owned} if plan.owned else {}),
        },
        "used_env": list(plan.used_env),
        **({"sources": [asdict(source) for source in plan.sources]} if plan.sources else {}),
        **({"contents": contents} if (contents := find_contents(plan.changes)) else {}),
        **({"rehearsal": _encode_rehearsal(plan.rehearsal)} if plan.rehearsal else {}),
        **({"links": dict(plan.links)} if plan.links else {}),
        **({"forecast": encode_forecast(plan.forecast)} if plan.forecast and plan.forecast.replicas else {}),
    }
    document["digest"] = document_digest(document)
    return document


def drift_to_json(drift: Drift) -> dict[str, Any]:
    return {
        "address": str(drift.address),
        "path": drift.path,
        "applied": text_to_json(drift.applied),
        "live": text_to_json(drift.live),
    }


def _drift(data: Mapping[str, Any]) -> Drift:
    return Drift(
        parse_address(data["address"]), data["path"], text_from_json(data["applied"]), text_from_json(data["live"])
    )


def diagnostic_to_json(d: Diagnostic) -> dict[str, Any]:
    span = d.span or Span("")
    return {
        "code": d.code,
        "severity": str(d.severity),
        "summary": d.summary,
        "detail": d.detail,
        "help": d.help,
        "address": d.address,
        "attribute": d.path,
        "path": span.path,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
        **({"addresses": list(d.addresses)} if d.addresses else {}),
    }


def diagnostic_from_json(data: Mapping[str, Any]) -> Diagnostic:
    span = (
        Span(data["path"], data["line"], data["column"], data["end_line"], data["end_column"]) if data["path"] else None
    )
    return Diagnostic(
        data["code"],
        _severity(data["severity"]),
        data["summary"],
        data["detail"],
        data["help"],
        span,
        data["address"],
        data["attribute"],
        addresses=tuple(data.get("addresses", ())),
    )


def _severity(word: str) -> Severity:
    """Return the severity; a word of a later kplan is read as a note, for what is an error makes `errored` true."""
    return Severity(word) if word in tuple(Severity) else Severity.NOTE


def encode_target(target: Target) -> dict[str, Any]:
    """Return a target as documents hold it: without what most have not."""
    data = {key: value for key, value in asdict(target).items() if key not in ("snapshot", "connects") or value}
    if target.connects:
        data["connects"] = connects_to_json(target)
    return data


def _decode_target(data: Mapping[str, Any]) -> Target:
    return Target(**{**_known_fields(Target, data), "connects": connects_from_json(data.get("connects"))})


def _known_fields(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the fields that the dataclass has, without the keys that a later kplan added."""
    return {field.name: data[field.name] for field in fields(kind) if field.name in data}


def from_json(data: Mapping[str, Any], *, verify: bool = True) -> Plan:
    """Return the plan that a document describes. Raises Stale where it was changed by hand or is of another major
    version.
    """
    version = str(data.get("format_version", ""))
    if version.split(".")[0] != FORMAT.split(".")[0]:
        raise Stale(
            f"this plan has format {version or 'none'}, this kplan reads {FORMAT}",
            code=codes.K521,
            help="make the plan again with this kplan",
        )
    _refuse_unknown_changes(data)
    try:
        contents = read_text_map(data, "contents")
        plan = Plan(
            stack=data["stack"]["name"],
            env=data["stack"]["env"],
            target=_decode_target(data["target"]),
            steps=tuple(
                Step(c["step"], c["wave"], with_contents(change_from_json(c), contents)) for c in data["changes"]
            ),
            mode=data["mode"],
            files=tuple(File(**_known_fields(File, f)) for f in data["stack"]["files"]),
            commit=data["stack"]["commit"],
            unchanged=data["summary"]["unchanged"],
            hidden=data["summary"]["hidden"],
            drift=tuple(_drift(d) for d in data["drift"]),
            diagnostics=tuple(diagnostic_from_json(d) for d in data["diagnostics"]),
            checked=data["checked"],
            topics_read=data["read"]["topics"],
            connectors_read=data["read"]["connectors"],
            used_env=tuple(data["used_env"]),
            created_at=data["created_at"],
            kplan_version=data["kplan_version"],
            sources=tuple(SourceCheck(**_known_fields(SourceCheck, source)) for source in data.get("sources", ())),
            owned=data["read"].get("owned", 0),
            rehearsal=_decode_rehearsal(data.get("rehearsal")),
            forecast=decode_forecast(data),
            links=read_text_map(data, "links"),
        )
        document = to_json(plan)
        del document["digest"]  # a newer kplan's is of more than this one knows
        changed = verify and (document_digest(data) != data.get("digest") or not _agrees(document, data))
        fits = not verify or changed or _fits_schema(data)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as e:
        raise Stale(
            f"this is not a plan of kplan: {type(e).__name__} {e}", code=codes.K521, help="make the plan again"
        ) from e
    if changed:
        raise Stale(
            "the plan's file does not match its digest: it was changed after it was made",
            code=codes.K522,
            help="make the plan again, and apply the file as it was written",
        )
    if not fits:
        detail = "this is not a plan of kplan: it does not fit the schema of plans (`kplan schema plan`)"
        raise Stale(detail, code=codes.K521, help="make the plan again")
    return plan


def _refuse_unknown_changes(data: Mapping[str, Any]) -> None:
    """Raise Stale for a change of a kind or an action that this kplan does not know; the message names the version."""
    for name in ("changes", "drift"):
        changes = data.get(name)
        for change in changes if isinstance(changes, list) else ():
            if isinstance(change, Mapping) and (word := find_unknown_change(change)):
                raise later_version(word, data.get("kplan_version", ""))


NO_TIME = "1970-01-01T00:00:00Z"


def _fits_schema(data: Mapping[str, Any]) -> bool:
    """Return whether values have the types that every view relies on. A plan that a program made may have no time."""
    from kplan.language import schema

    timed = {**data, "created_at": NO_TIME} if data["created_at"] == "" else data
    return schema.fits(timed, read_tolerant_schema("plan.v1"))


def _agrees(made: Any, read: Any) -> bool:
    """Whether what was read says the same as what is made of it; keys that this kplan does not know may be there."""
    if isinstance(made, dict) and isinstance(read, dict):
        return all(key in read and (_agrees(value, read[key]) or _is_later_word(key, read[key]))
                   for key, value in made.items())  # fmt: skip
    if isinstance(made, list | tuple) and isinstance(read, list):
        return len(made) == len(read) and all(map(_agrees, made, read))
    return type(made) is type(read) and bool(made == read)


DERIVED_WORDS: Mapping[str, Collection[str]] = {"severity": tuple(Severity), "op": ("add", "change", "remove")}


def _is_later_word(key: str, word: Any) -> bool:
    """Return whether it is a word of a later kplan for something that this one does not keep as it was written."""
    return key in DERIVED_WORDS and isinstance(word, str) and word not in DERIVED_WORDS[key]


def _encode_rehearsal(rehearsal: Rehearsal) -> dict[str, Any]:
    problems = [asdict(problem) for problem in rehearsal.problems]
    return {"on": "simulation", **asdict(rehearsal), "problems": problems, "not_modelled": list(NOT_MODELLED)}


def _decode_rehearsal(data: Mapping[str, Any] | None) -> Rehearsal | None:
    if data is None:
        return None
    problems = tuple(RehearsalProblem(**_known_fields(RehearsalProblem, each)) for each in data["problems"])
    return replace(Rehearsal(**{**_known_fields(Rehearsal, data), "problems": ()}), problems=problems)


def document_digest(document: Mapping[str, Any]) -> str:
    """Return the digest of a document, without its time, the digest itself and the signature."""
    digest = hashlib.sha256()
    for part in iterate_canonically(document, "created_at", "digest", "signature"):
        digest.update(part)
    return f"sha256:{digest.hexdigest()}"


# -- the file ---------------------------------------------------------------------------------------------------------
def parse(text: str) -> list[dict[str, Any]] | None:
    """Return the documents of a saved file, None where it is none. Raises Stale for one that says something twice."""
    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        twice.extend([key for key, _ in pairs] if len(found) < len(pairs) else ())
        return found

    try:
        data = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or "format_version" not in data:
        return None
    if twice:  # a reader of the file may take the one and kplan the other
        detail = "the plan's file has keys twice in one object: it was changed after it was made"
        raise Stale(detail, code=codes.K522, help="make the plan again, and apply the file as it was written")
    several = data.get("plans")
    documents = several if isinstance(several, list) else [data]
    return documents if documents and all(isinstance(document, dict) for document in documents) else None


def sign_documents(documents: Sequence[Mapping[str, Any]], key: str | None) -> list[dict[str, Any]]:
    """Return the documents of one file with their signatures; without a key there are none."""
    if not key:
        return [dict(document) for document in documents]
    return [{**document, "signature": _signature(document, documents, key)} for document in documents]


def _signature(document: Mapping[str, Any], together: Sequence[Mapping[str, Any]], key: str) -> str:
    """Covers all of the document, its time too, and which others are in the file and in which order."""
    digests = "\n".join(str(each.get("digest")) for each in together)
    return compute_signature(key, b"kplan plan", digests.encode(), encode_canonically(document, "signature"))


def verify_signatures(documents: Sequence[Mapping[str, Any]], key: str | None) -> None:
    """Raises Stale where there is a key and a document is not signed with it. Without a key nothing can be said."""
    for document in documents if key else ():
        found = document.get("signature")
        name = (document.get("stack") or {}).get("name") if isinstance(document.get("stack"), Mapping) else None
        if not isinstance(found, str):
            raise Stale(
                f"the plan of stack {name} is not signed, and KPLAN_KEY is set",
                code=codes.K523,
                help="make the plan again where KPLAN_KEY is set to the same value as here",
            )
        if not is_same_signature(found, _signature(document, documents, str(key))):
            raise Stale(
                f"the signature of the plan of stack {name} is wrong: it was signed with another KPLAN_KEY, "
                "or changed after it was made",
                code=codes.K523,
                help="make the plan again with this KPLAN_KEY, and apply the file as it was written",
            )


# -- secrets of a saved plan ------------------------------------------------------------------------------------------
def secret_names(plan: Plan) -> tuple[str, ...]:
    """Return the sensitive variables whose values the plan's steps need."""
    names: dict[str, None] = {}
    for change in plan.changes:
        if change.after is not None:
            for secret in comparison_of(change.address).secrets(change.after).values():
                names.update(dict.fromkeys(references(secret.ref)))
    return tuple(names)


def with_secrets(plan: Plan, values: Mapping[str, str | None], key: str | None) -> Plan:
    """Return the plan with its secrets filled in. Raises Stale where one is not what it was when the plan was made."""
    steps = [replace(step, change=_fill_secrets(step.change, values, key)) for step in plan.steps]
    return replace(plan, steps=tuple(steps))


def _fill_secrets(change: Change, values: Mapping[str, str | None], key: str | None) -> Change:
    if change.after is None:
        return change
    comparison = comparison_of(change.address)
    secrets = comparison.secrets(change.after)
    filled = {path: _fill_secret(change.address, path, secret, values, key) for path, secret in secrets.items()}
    diffs = tuple(
        replace(diff, after=filled.get(diff.path, diff.after)) if isinstance(diff.after, Secret) else diff
        for diff in change.diffs
    )
    return replace(change, after=comparison.with_values(change.after, filled), diffs=diffs)


def _fill_secret(
    address: Address, path: str, secret: Secret, values: Mapping[str, str | None], key: str | None
) -> Secret:
    if not secret.ref:
        return secret
    filled = Secret(secret.ref, resolve(secret.ref, values)).signed(key)
    if secret.fingerprint and filled.fingerprint and secret.fingerprint != filled.fingerprint:
        raise Stale(
            f"{address} {path.removeprefix('/config/')}: {secret.ref} is not what it was when the plan was made",
            help="give the variable the same value, or make the plan again",
        )
    return Secret(filled.ref, filled.value, secret.fingerprint or filled.fingerprint)


def undo_secret_names(changes: Iterable[Change]) -> list[str]:
    """Return the variables of the secrets that undos set, and no server tells."""
    secrets = (
        secret
        for change in changes
        if change.after is not None and consequences_of(change).undo_sets_secrets
        for secret in comparison_of(change.address).secrets(change.after).values()
    )
    return list(dict.fromkeys(name for secret in secrets for name in references(secret.ref)))


def with_undo_secrets(change: Change, values: Mapping[str, str | None]) -> Change:
    """Return the change with those secrets of its undo whose variables have values."""
    if change.after is None or not consequences_of(change).undo_sets_secrets:
        return change
    comparison = comparison_of(change.address)
    known = {
        path: replace(secret, value=resolve(secret.ref, values))
        for path, secret in comparison.secrets(change.after).items()
        if secret.ref and all(values.get(name) is not None for name in references(secret.ref))
    }
    return replace(change, after=comparison.with_values(change.after, known))


# -- judging a plan by what is live now -------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Judged:
    """A step as it stands now: `done` already, or to be done; its change's `before` is what is live."""

    step: Step
    done: bool = False


def judge(
    steps: Sequence[Step], live: Live, ledger: Ledger, stack: str, answered: Mapping[int, bool] = MappingProxyType({})
) -> tuple[list[Judged], list[str]]:
    """Return each step by before, after and live; and a line for each attribute that moved since the plan was made.

    `answered` are the steps that an interrupted run sent, and whether it got an answer. One without an answer may be
    half done, and is done again from where it is.
    """
    judged, moved = [], []
    for step in steps:
        owner = ledger.get(step.change.address)
        if owner is not None and owner.stack != stack:
            moved.append(f"{step.change.address}: stack {owner.stack} owns it now")
            continue
        if is_another_topic(step.change, live) and (
            step.change.action is not Action.REPLACE or step.number not in answered
        ):
            moved.append(f"{step.change.address}: another topic has this name now")
            continue
        found, why = _judge_step(step, live, answered.get(step.number))
        moved += why
        judged += [_update_owner(found, ledger)] if found else []
    return judged, moved


def _update_owner(judged: Judged, ledger: Ledger) -> Judged:
    """Return the step with the ledger's record as it is now: that of a plan may be outdated."""
    change = judged.step.change
    owner = ledger.get(change.source or change.address)
    return replace(judged, step=replace(judged.step, change=replace(change, owner=owner)))


def _judge_step(step: Step, live: Live, answered: bool | None) -> tuple[Judged | None, list[str]]:
    change = step.change
    now, target = live.resources.get(change.source or change.address), live.resources.get(change.address)
    if change.is_ledger_only:
        return Judged(step), []
    if answered:
        why = _describe_divergence(change, change.after, target)
        return (None, why) if why else (Judged(step, done=True), [])
    if drops_of(change) and change.action is Action.DELETE and now is None:
        return Judged(step), []  # what is dropped after it may still be there; to drop it again does no harm
    from_before = _describe_divergence(change, change.before, now) + _set_since(change, now)
    if not from_before:
        return Judged(replace(step, change=_on(change, now))), []
    if _is_so(change, target, live) and (answered is None or not consequences_of(change).may_look_done(change)):
        return Judged(step, done=True), []
    if answered is None or (now is not None and comparison_of(change.address).is_anothers(change, now)):
        return None, from_before
    return Judged(replace(step, change=_resume_change(change, now, target))), []


def _is_so(change: Change, target: Resource | None, live: Live) -> bool:
    """Whether live is as planned. A replaced thing may look like the old one, so that cannot be told of it."""
    moving = change.source is not None and change.source in live.resources
    return change.action is not Action.REPLACE and not moving and not _describe_divergence(change, change.after, target)


def _resume_change(change: Change, now: Resource | None, target: Resource | None) -> Change:
    """Return what is left of a change that was cut off somewhere in its middle."""
    if change.action is Action.REPLACE and now is None:
        return replace(change, action=Action.CREATE)
    if change.action is Action.CREATE and target is not None and change.after is not None:
        diffs = compare(change.after, target, None).diffs
        return replace(change, action=Action.UPDATE, before=target, diffs=diffs)
    return _on(change, now)


def _on(change: Change, now: Resource | None) -> Change:
    """Return the change starting from what is live now, whose secrets are known, unlike those of a saved plan."""
    if now is None or change.before is None:
        return change
    read = comparison_of(now.address).read_attribute
    diffs = [replace(d, before=read(now, d.path) if d.path.startswith("/config/") else d.before) for d in change.diffs]
    return replace(change, before=now, diffs=tuple(diffs))


def _set_since(change: Change, now: Resource | None) -> list[str]:
    """Return what was not set when the plan was made and is set now, in words."""
    if now is None:
        return []
    comparison = comparison_of(now.address)
    return [
        f"{change.address} {path.removeprefix('/config/')}: planned from (unset), "
        f"now {comparison.read_attribute(now, path)}"
        for path in comparison.find_set_since(change, now)
    ]


def _describe_divergence(change: Change, then: Resource | None, now: Resource | None) -> list[str]:
    """Return what is different now from `then`, in words: `topic/x retention.ms: planned from 1, now 2`."""
    address = change.address
    if then is None or now is None:
        if then is now:
            return []
        return [f"{address}: {'is gone' if now is None else 'is there now'}"]
    return [
        f"{address} {path.removeprefix('/config/').removeprefix('/')}: planned from {_words(a)}, now {_words(b)}"
        for path, a, b in find_differing(then, now)
    ]


def _words(value: Any) -> str:
    return "(unset)" if value is None else str(value)


__all__ = [
    "FORMAT",
    "Judged",
    "Plan",
    "from_json",
    "judge",
    "parse",
    "sign_documents",
    "to_json",
    "verify_signatures",
    "with_secrets",
]
