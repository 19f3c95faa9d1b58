"""Prepare the content of the HTML page of plans: the template decides nothing but the layout."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any

from kplan.diagnostics import codes
from kplan.kinds.nouns import count_kind
from kplan.render import text
from kplan.render.blocks import fold_blocks
from kplan.render.excerpt import Excerpt, Stretch, make_excerpts, split_steps
from kplan.render.facts import describe_snapshot, format_age
from kplan.render.flow import Drawing, draw
from kplan.render.folding import Fold, find_failing
from kplan.render.forecast import describe_forecast, describe_storage
from kplan.render.growth import describe_growth
from kplan.render.links import add_urls, find_url
from kplan.render.rehearsal import describe_rehearsal
from kplan.render.steps import (
    Row,
    describe_unchanged,
    format_attribute,
    list_rows,
    name_action,
    place,
    shows_differences,
    summarize_resource,
    summarize_step,
)
from kplan.render.wording import format_bytes
from kplan.text import count, format_ranges
from kplan.values import dataclass

MAX_OPEN_STEPS = 40  # plans of more steps begin with their steps closed
MAX_CARDS = 25  # dangers shown in full at the top; the others have one line each
MAX_WAVES = 40
MAX_NAMES = 50  # groups or connectors that a fact names
LEVELS = ("danger", "caution", "note")
ACCEPTED = {"stack": "accepted in the stack", "flag": "accepted for this run"}
CHECKS = {"validate_only": "Kafka", "config/validate": "Connect"}
TAGS = {"danger": "danger", "caution": "caution", "note": "note", "final": "cannot be undone", "none": "no risk"}

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RiskView:
    """Show a risk. `facts` are pairs of name and words that the summary does not have."""

    code: str
    level: str
    summary: str
    accepted: str
    facts: Sequence[tuple[str, str]]

    @property
    def is_open(self) -> bool:
        return self.level == "danger" and not self.accepted

    @property
    def acceptance(self) -> str:
        """Return whether a danger is accepted, and where."""
        if self.level != "danger":
            return ""
        return f"{self.accepted.capitalize()}." if self.accepted else "Not accepted."


@dataclass(frozen=True, slots=True)
class MemberView:
    """Show one of folded steps in a line."""

    id: str
    number: int
    address: str
    brief: str
    place: str
    link: str


@dataclass(frozen=True, slots=True)
class StepView:
    """Show one step, or several that are folded: `members` are these, and `numbers` names them.

    It has `rows` for what differs, or `attributes` of what it creates or deletes. `tags` are the risks that the page
    filters by, `remedies` what to do about dangers, with the words to write.
    """

    id: str
    number: int
    mark: str
    verb: str
    action: str
    kind: str
    address: str
    place: str
    link: str
    brief: str
    final: bool
    tags: str
    notes: Sequence[str]
    rows: Sequence[Row]
    attributes: tuple[tuple[str, str], ...]
    rest: str
    effects: Sequence[str]
    risks: Sequence[RiskView]
    undo: str
    check: str
    remedies: Sequence[tuple[str, str]]
    badges: Sequence[tuple[str, str]]
    stack: str
    numbers: str = ""
    members: Sequence[MemberView] = ()
    url: str = ""  # of the resource in a user interface

    @property
    def total(self) -> int:
        """Return how many steps it stands for."""
        return len(self.members) or 1

    @property
    def has_changed_values(self) -> bool:
        """Return whether an attribute has a value now and one after."""
        return any(row.shape == "change" for row in self.rows)


@dataclass(frozen=True, slots=True)
class VerdictView:
    """Show a verdict. `state`: errored, blocked, ready or same."""

    state: str
    headline: str
    advice: str = ""
    command: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class WaveView:
    number: int
    first: str
    steps: str
    plural: str
    summary: str
    final: bool


@dataclass(frozen=True, slots=True)
class StackView:
    """Show one document. `above` and `below` are the steps before and after the line where undo ends."""

    id: str
    title: str
    warning: str
    where: str
    verdict: VerdictView
    counts: str
    partial: str
    above: Sequence[StepView | Stretch]
    below: Sequence[StepView | Stretch]
    diagnostics: Sequence[tuple[Json, str]]
    more_diagnostics: int
    drift: Sequence[tuple[str, str, str, str]]
    more_drift: int
    drawing: Drawing | None
    waves: Sequence[WaveView]
    more_waves: str
    facts: Sequence[tuple[str, str]]
    stamp: Sequence[tuple[str, str]]

    @property
    def steps(self) -> Sequence[StepView]:
        return [step for step in (*self.above, *self.below) if isinstance(step, StepView)]

    @property
    def is_unchanged(self) -> bool:
        """Return whether the stack has no changes, problems or drift."""
        return self.verdict.state == "same" and not self.diagnostics and not self.drift


@dataclass(frozen=True, slots=True)
class PageView:
    """Show all documents. `dangers` and `cautions` are pairs of step and risk; `filters` are groups of (value, label,
    n).

    Of a very large plan the page has only `detailed_total` of the `total` steps, with their dangers and cautions alone;
    each code of a caution has the number of all.
    """

    title: str
    stacks: Sequence[StackView]
    verdict: VerdictView
    notes: Sequence[str]
    log_url: str
    dangers: Sequence[tuple[StepView, RiskView]]
    cautions: Sequence[tuple[str, Sequence[tuple[StepView, RiskView]], int]]
    filters: Sequence[tuple[str, str, Sequence[tuple[str, str, int]]]]
    total: int
    detailed_total: int
    danger_total: int
    saved: str
    cards: int = MAX_CARDS

    @property
    def starts_open(self) -> bool:
        return self.total <= MAX_OPEN_STEPS

    @property
    def has_errors(self) -> bool:
        return any(stack.verdict.state == "errored" for stack in self.stacks)

    @property
    def problem_total(self) -> int:
        return sum(len(stack.diagnostics) + stack.more_diagnostics for stack in self.stacks)

    @property
    def drift_total(self) -> int:
        return sum(len(stack.drift) + stack.more_drift for stack in self.stacks)

    @property
    def caution_total(self) -> int:
        return sum(total for _, _, total in self.cautions)

    @property
    def full_command(self) -> str:
        """Return the command that shows what is left out."""
        return f"kplan show {self.saved or 'plan.json'} --verbose"


def make_page(documents: Sequence[Json], context: text.Context) -> PageView:
    """Return the page, of one document a stack."""
    documents = [add_urls(document, context) for document in documents]
    pairs = zip(documents, make_excerpts(documents), strict=True)
    stacks = [_make_stack(f"s{i}", document, excerpt, context) for i, (document, excerpt) in enumerate(pairs, 1)]
    steps = [step for stack in stacks for step in stack.steps]
    risks = [(step, risk) for step in steps for risk in step.risks]
    dangers = sorted(((s, r) for s, r in risks if r.level == "danger"), key=lambda pair: not pair[1].is_open)
    cautions = Counter(_list_codes(documents, "caution"))
    return PageView(
        title=_make_title(documents, stacks),
        stacks=stacks,
        verdict=stacks[0].verdict if len(stacks) == 1 else _combine_verdicts(stacks),
        notes=context.notes,
        log_url=context.log_url if re.match("https?://", context.log_url) else "",
        dangers=dangers,
        cautions=[(code, [(s, r) for s, r in risks if (r.level, r.code) == ("caution", code)], cautions[code])
                  for code in sorted(cautions)],
        filters=_make_filters(stacks, steps),
        total=sum(len(document["changes"]) for document in documents),
        detailed_total=sum(step.total for step in steps),
        danger_total=sum(1 for _ in _list_codes(documents, "danger")),
        saved=context.saved,
    )  # fmt: skip


def _list_codes(documents: Sequence[Json], level: str) -> Iterator[str]:
    """Yield the code of each risk of this level."""
    for document in documents:
        for change in document["changes"]:
            yield from (risk["code"] for risk in change["risks"] if risk["level"] == level)


def _make_title(documents: Sequence[Json], stacks: Sequence[StackView]) -> str:
    destroys = "destroy " if any(document["mode"] == "destroy" for document in documents) else ""
    if len(stacks) == 1:
        return destroys + stacks[0].title
    envs = dict.fromkeys(document["stack"]["env"] for document in documents)
    return f"{destroys}{len(stacks)} stacks → {', '.join(envs)}"


def _make_filters(
    stacks: Sequence[StackView], steps: Sequence[StepView]
) -> list[tuple[str, str, Sequence[tuple[str, str, int]]]]:
    """Return what the page's steps can be narrowed to: groups with (value, label, how many), those of one value left
    out."""
    tags = _count_steps((tag, step) for step in steps for tag in step.tags.split())
    marks = {step.verb: step.mark.rstrip("!") for step in steps}
    groups = [
        ("risk", "Risk", [(tag, label, tags[tag]) for tag, label in TAGS.items() if tags[tag]]),
        ("kind", "Kind", [(kind, kind, n) for kind, n in _count_steps((s.kind, s) for s in steps).items()]),
        ("verb", "Action", [(v, f"{marks[v]} {v}", n) for v, n in _count_steps((s.verb, s) for s in steps).items()]),
        ("stack", "Stack", [(s.id, s.title, sum(step.total for step in s.steps)) for s in stacks if s.steps]),
    ]
    return [group for group in groups if len(group[2]) > 1]


def _count_steps(pairs: Iterable[tuple[str, StepView]]) -> Counter[str]:
    """Return how many steps have each word."""
    numbers: Counter[str] = Counter()
    for word, step in pairs:
        numbers[word] += step.total
    return numbers


# -- one document -----------------------------------------------------------------------------------------------------
def _make_stack(id: str, document: Json, excerpt: Excerpt, context: text.Context) -> StackView:
    changes, line = document["changes"], document["point_of_no_return"]
    title = f"{document['stack']['name']} → {document['stack']['env']}"
    warning, where = _describe_cluster(document)
    created_at = document["created_at"]
    command_line = context.command_line or f"kplan {context.command} {' '.join(context.paths)}"
    numbers = {change["address"]: change["step"] for change in changes}
    alone = find_failing(document)
    cut = len(changes) if line is None else next((i for i, c in enumerate(changes) if c["step"] >= line), len(changes))
    above, below = (
        [
            item if isinstance(item, Stretch) else _make_step(id, title, item, numbers, command_line, created_at)
            for item in _fold_parts(split_steps(id, part, excerpt.chosen), alone)
        ]
        for part in (changes[:cut], changes[cut:])
    )
    waves = list(_group_waves([*above, *below], changes))
    errors_first = sorted(document["diagnostics"], key=lambda item: item["severity"] != "error")
    problems = document["diagnostics"] if excerpt.problems == len(errors_first) else errors_first[: excerpt.problems]
    return StackView(
        id=id,
        title=title,
        warning=warning,
        where=where,
        verdict=_make_verdict(document, context),
        counts=text.format_counts(document) if changes else "",
        partial=_describe_hidden(document),
        above=above,
        below=below,
        diagnostics=[(item, place(item)) for item in problems],
        more_diagnostics=len(document["diagnostics"]) - len(problems),
        drift=[_format_drift(item) for item in document["drift"][: excerpt.drift]],
        more_drift=len(document["drift"]) - excerpt.drift,
        drawing=draw(document),
        waves=waves[:MAX_WAVES],
        more_waves=f"and {count(len(waves) - MAX_WAVES, 'more wave')}" if len(waves) > MAX_WAVES else "",
        facts=list(_list_facts(document, context)),
        stamp=list(_make_stamp(document, context)),
    )


def _describe_cluster(document: Json) -> tuple[str, str]:
    """Return a warning, if the cluster is not one that was just read, and which cluster it is."""
    target, read = document["target"], document["read"]
    topics, connectors = count(read["topics"], "topic"), count(read["connectors"], "connector")
    if target.get("snapshot"):
        cluster = (
            f"simulated cluster {target['simulated']}" if target["simulated"] else f"cluster {target['cluster_id']}"
        )
        return "SNAPSHOT", f"of {cluster}, {describe_snapshot(document)}: {topics}, {connectors} as they were then"
    if target["simulated"]:
        return "SIMULATED", f"cluster {target['simulated']}, no server is touched"
    connect = f" · Connect {target['connect_url']}, {connectors}" if target["connect_url"] else ""
    return "", f"Kafka {target['bootstrap']}, cluster {target['cluster_id']}, {topics} read{connect}"


def _describe_hidden(document: Json) -> str:
    if document["complete"]:
        return ""
    return f"Partial: --target or --exclude hides {count(document['summary']['hidden'], 'change')}."


def _list_facts(document: Json, context: text.Context) -> Iterator[tuple[str, str]]:
    """Yield the other facts of a plan: which, when, of what, and for which cluster."""
    stack, target = document["stack"], document["target"]
    yield "Stack", f"{stack['name']}, environment {stack['env']}"
    if target["simulated"]:
        yield "Cluster", f"simulated, {target['simulated']}"
    else:
        yield "Kafka", f"{target['bootstrap']}, {count(target['brokers'], 'broker')}"
        if target["connect_url"]:
            yield "Connect", f"{target['connect_url']}, version {target['connect_version']}"
        for other in target.get("connects", ()):
            yield f"Connect {other['alias']}", f"{other['url']}, version {other['version']}"
    yield "Cluster id", target["cluster_id"]
    yield "Made", _format_time(document["created_at"])
    yield "Commit", stack["commit"] or "not known"
    if context.author:
        yield "Made for", context.author
    yield "Digest", document["digest"]
    yield "Checked", text.describe_checks(document).strip().removeprefix("Checked by the servers: ")
    if growth := describe_growth(document):
        yield "Size", growth
    if stored := describe_forecast(document):
        yield "Storage", stored
    if rehearsed := describe_rehearsal(document):
        yield "Rehearsal", rehearsed
    yield "Files", ", ".join(file["path"] for file in stack["files"])
    if document["used_env"]:
        yield "Defaults from", ", ".join(document["used_env"])
    yield "Made by", f"kplan {document['kplan_version']}, format {document['format_version']}"


def _make_stamp(document: Json, context: text.Context) -> Iterator[tuple[str, str]]:
    """Yield which plan it is, in short."""
    yield "digest", document["digest"].removeprefix("sha256:")[:8]
    if document["stack"]["commit"]:
        yield "commit", document["stack"]["commit"][:7]
    yield "made", _format_time(document["created_at"])
    if context.author:
        yield "for", context.author
    if rehearsed := describe_rehearsal(document):
        yield "", rehearsed


def _make_verdict(document: Json, context: text.Context) -> VerdictView:
    if document["errored"]:
        errors = count(sum(d["severity"] == "error" for d in document["diagnostics"]), "error")
        return VerdictView("errored", f"Not possible: {errors}", "Nothing can be applied until that is corrected.")
    if document["blocked"]:
        return _make_blocked_verdict(document, context)
    if not document["changes"]:
        return VerdictView("same", text.describe_no_changes(document, context))
    accepted = sum(r["level"] == "danger" for change in document["changes"] for r in change["risks"])
    headline = f"Ready to apply, {count(accepted, 'danger')} accepted" if accepted else "Ready to apply"
    if context.saved:
        return VerdictView("ready", headline, "To apply exactly this plan:", f"kplan apply {context.saved}")
    hint = "Not saved. To apply exactly this plan later, use --out plan.json, then `kplan apply plan.json`."
    return VerdictView("ready", headline, hint=hint if context.command == "plan" else "")


def _make_blocked_verdict(document: Json, context: text.Context) -> VerdictView:
    dangers = sum(len(text.list_open_dangers(change)) for change in document["changes"])
    denied = len(text.list_denied(document))
    problems = [f"{count(dangers, 'danger')} {'is' if dangers == 1 else 'are'} not accepted"] if dangers else []
    problems += [f"{text.count_denied(denied)} (K470)"] if denied else []
    if codes.K419.number not in document["blocked"]:
        hint = "Nothing can be applied until each is accepted or left out."
        if denied:
            hint = (
                "Nothing can be applied until that is corrected or left out; no --accept allows what a policy denies."
            )
        return VerdictView("blocked", f"Blocked: {' and '.join(problems)}", hint)
    limit = "more changes than the guard `max_changes` allows in one run (K419)"
    command_line = context.command_line or f"kplan {context.command} {' '.join(context.paths)}"
    return VerdictView(
        "blocked",
        "Blocked: " + " and ".join([*problems, limit]),
        "To allow that many changes once:",
        f"{command_line} --accept max_changes",
    )


def _combine_verdicts(stacks: Sequence[StackView]) -> VerdictView:
    """Return the worst of the stacks' verdicts, and how many have it."""
    states = Counter(stack.verdict.state for stack in stacks)
    state = next(candidate for candidate in ("errored", "blocked", "ready", "same") if states[candidate])
    words = {"errored": "not possible", "blocked": "blocked", "ready": "ready to apply", "same": "without changes"}
    parts = [f"{states[candidate]} {words[candidate]}" for candidate in words if states[candidate]]
    return VerdictView(state, f"{count(len(stacks), 'stack')}: {', '.join(parts)}")


def _format_drift(difference: Json) -> tuple[str, str, str, str]:
    key = text.name_attribute(difference)
    return (
        difference["address"],
        key,
        format_attribute(key, difference["applied"]),
        format_attribute(key, difference["live"]),
    )


def _group_waves(parts: Sequence[StepView | Stretch], changes: Sequence[Json]) -> Iterator[WaveView]:
    """Yield the steps that are sent together; those of one wave do the same to the same kind."""
    starts = [part.number for part in parts]
    for number, group in groupby(changes, key=lambda change: change["wave"]):
        steps = list(group)
        kinds = Counter((name_action(c), c["kind"]) for c in steps)
        summary = ", ".join(f"{action} {count_kind(n, kind)}" for (action, kind), n in kinds.items())
        numbers = [c["step"] for c in steps]
        final = any(not c["undo"]["complete"] for c in steps)
        first = parts[bisect_right(starts, numbers[0]) - 1].id
        yield WaveView(number, first, format_ranges(numbers), "s" if len(numbers) > 1 else "", summary, final)


# -- one step ---------------------------------------------------------------------------------------------------------
def _fold_parts(items: Iterable[Json | Stretch], alone: Collection[str]) -> Iterator[Fold | Json | Stretch]:
    """Yield stretches as they are, and the steps between them folded."""
    for is_stretch, group in groupby(items, lambda item: isinstance(item, Stretch)):
        if is_stretch:
            yield from group
        else:
            yield from fold_blocks([item for item in group if not isinstance(item, Stretch)], alone)


def _make_step(
    id: str, stack: str, item: Fold | Json, numbers: Mapping[str, int], command_line: str, created_at: str
) -> StepView:
    """Return the view of a step, or of folded steps, which is that of the first with the words for all."""
    if not isinstance(item, Fold):
        return _make_single_step(id, stack, item, numbers, command_line, created_at)
    members = [
        MemberView(
            f"{id}-{step['step']}" if n else "",  # the first one's is that of the row
            step["step"],
            step["address"],
            summarize_resource(step),
            place(step.get("source")),
            find_url(step.get("source")),
        )
        for n, step in enumerate(item.steps)
    ]
    notes = [note for note in (text.REASONS.get(item.first["reason"]),) if note]
    first = _make_single_step(id, stack, item.first, numbers, command_line, created_at)
    return replace(
        first,
        address=item.title,
        place=item.place,
        brief=item.summary,
        notes=notes,
        rows=first.rows if item.is_alike else (),
        attributes=first.attributes if item.is_alike else (),
        effects=(),
        risks=[_make_risk(risk, created_at) for risk in item.notes],
        undo=f"{text.describe_undo(item.first)}, for each",
        numbers=item.numbers,
        members=members,
    )


def _make_single_step(
    id: str, stack: str, change: Json, numbers: Mapping[str, int], command_line: str, created_at: str
) -> StepView:
    final = not change["undo"]["complete"]
    risks = [_make_risk(risk, created_at) for risk in change["risks"]]
    levels = [level for level in LEVELS if any(risk.level == level for risk in risks)] if risks else []
    tags = [*levels, "final"] if final else levels
    return StepView(
        id=f"{id}-{change['step']}",
        number=change["step"],
        mark=text.format_sign(change) + ("!" if final else ""),
        verb=name_action(change),
        action="replace" if len(change["actions"]) > 1 else change["actions"][0],
        kind=change["kind"],
        address=change["address"],
        place=place(change.get("source")),
        link=find_url(change.get("source")),
        brief=summarize_step(change),
        final=final,
        tags=" ".join(tags) or "none",
        notes=list(text.list_notes(change)),
        rows=list_rows(change) if shows_differences(change) else (),
        attributes=() if shows_differences(change) else tuple((row.key, row.after) for row in list_rows(change)),
        rest=describe_unchanged(change),
        effects=[*change.get("effects", ()), *_list_storage(change)],
        risks=risks,
        undo=text.describe_undo(change),
        check=_describe_order_and_check(change, numbers),
        remedies=list(text.list_remedies(change, command_line)) if text.list_open_dangers(change) else (),
        badges=[_make_badge(tag, risks) for tag in tags],
        stack=stack,
        url=change.get("url", ""),
    )


def _list_storage(change: Json) -> Iterator[str]:
    if "storage" in change:
        yield f"storage: {describe_storage(change['storage'])}"


def _make_badge(tag: str, risks: Sequence[RiskView]) -> tuple[str, str]:
    """Return the badge's CSS classes and its text."""
    if tag == "danger" and not any(risk.is_open for risk in risks):
        return "danger accepted", "danger accepted"
    return tag, "no undo" if tag == "final" else tag


def _describe_order_and_check(change: Json, numbers: Mapping[str, int]) -> str:
    needs = [numbers[address] for address in change["depends_on"] if address in numbers]
    parts = [f"after {'step' if len(needs) == 1 else 'steps'} {format_ranges(needs)}"] if needs else []
    if change["verified"]:
        method = change["verified"]["by"]
        parts.append(f"checked by {CHECKS.get(method, 'the server')} ({method})")
    return ", ".join([f"Wave {change['wave']}", *parts])


# -- risks ------------------------------------------------------------------------------------------------------------
def _make_risk(risk: Json, created_at: str) -> RiskView:
    accepted = ACCEPTED.get(risk["accepted"] or "", "")
    facts = list(_list_topic_facts(risk["facts"] or {}, risk["summary"], created_at))
    return RiskView(risk["code"], risk["level"], risk["summary"], accepted, facts)


def _list_topic_facts(facts: Json, summary: str, created_at: str) -> Iterator[tuple[str, str]]:
    """Yield what is known of the topic beyond the summary."""
    if facts.get("records") is not None and f"{facts['records']:,} record" not in summary:
        yield "Records", f"up to {facts['records']:,}" if facts["records"] else "none"
    if facts.get("bytes") is not None:
        yield "Stored", format_bytes(facts["bytes"])
    if facts.get("first_write") is not None:
        yield "Oldest record", format_age(facts["first_write"], created_at)
    if facts.get("last_write") is not None:
        yield "Last write", format_age(facts["last_write"], created_at)
    readers = [_format_reader(reader) for reader in facts.get("readers", ())]
    if any(reader not in summary for reader in readers):
        yield count(len(readers), "reading group"), _list_first_names(readers)
    if sinks := facts.get("sinks"):
        yield "Sink connectors", _list_first_names(sinks)
    for name, reason in (facts.get("unknown") or {}).items():
        yield f"{name.replace('_', ' ').capitalize()} not known", reason


def _format_reader(reader: Json) -> str:
    return f"{reader['group']} (lag {reader['lag']:,}{'' if reader['active'] else ', no members now'})"


def _list_first_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def _format_time(timestamp: str) -> str:
    try:
        time = datetime.fromisoformat(timestamp)
    except ValueError:
        return timestamp
    return f"{time:%Y-%m-%d %H:%M} UTC"
