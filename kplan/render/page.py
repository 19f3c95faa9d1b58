"""What the HTML page of plans says, ready to be laid out: the template decides nothing but its looks."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from kplan.diagnostics import codes
from kplan.render import text
from kplan.render.excerpt import Excerpt, Stretch, make_excerpts, split_steps
from kplan.render.facts import ago, snapshot
from kplan.render.flow import Drawing, draw, ranges
from kplan.render.steps import Row, briefly, compares, place, rest, rows, shown, verb
from kplan.text import count

OPEN = 40  # plans of more steps begin with their steps closed
CARDS = 25  # so many dangers are told in full at the top; of more, the rest in one line each
WAVES = 40
NAMED = 50  # so many groups or connectors are named
LEVELS = ("danger", "caution", "note")
ACCEPTED = {"stack": "accepted in the stack", "flag": "accepted for this run"}
CHECKS = {"validate_only": "Kafka", "config/validate": "Connect"}
TAGS = {"danger": "danger", "caution": "caution", "note": "note", "final": "cannot be undone", "none": "no risk"}

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Risk:
    """`facts` are pairs of name and words: those that the summary does not say."""

    code: str
    level: str
    summary: str
    accepted: str
    facts: Sequence[tuple[str, str]]

    @property
    def open(self) -> bool:
        return self.level == "danger" and not self.accepted

    @property
    def said(self) -> str:
        """What became of a danger."""
        if self.level != "danger":
            return ""
        return f"{self.accepted.capitalize()}." if self.accepted else "Not accepted."


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    It has `rows` for what differs, or `attributes` of what it makes or deletes. `tags` are the risks that the page
    filters by, `ways` what to do about dangers, with the words to write.
    """

    id: str
    number: int
    mark: str
    verb: str
    action: str
    kind: str
    address: str
    place: str
    brief: str
    final: bool
    tags: str
    notes: Sequence[str]
    rows: Sequence[Row]
    attributes: tuple[tuple[str, str], ...]
    rest: str
    effects: Sequence[str]
    risks: Sequence[Risk]
    undo: str
    check: str
    ways: Sequence[tuple[str, str]]
    badges: Sequence[tuple[str, str]]
    stack: str

    @property
    def changes(self) -> bool:
        """Whether an attribute has a value now and one after."""
        return any(row.shape == "change" for row in self.rows)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`state`: errored, blocked, ready or same."""

    state: str
    said: str
    why: str = ""
    command: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Wave:
    number: int
    first: str
    steps: str
    plural: str
    what: str
    final: bool


@dataclass(frozen=True, slots=True)
class Stack:
    """One document. `above` and `below` are the steps before and after the line where undo ends."""

    id: str
    title: str
    loud: str
    where: str
    verdict: Verdict
    counts: str
    partial: str
    above: Sequence[Step | Stretch]
    below: Sequence[Step | Stretch]
    diagnostics: Sequence[tuple[Json, str]]
    more_diagnostics: int
    drift: Sequence[tuple[str, str, str, str]]
    more_drift: int
    drawing: Drawing | None
    waves: Sequence[Wave]
    more_waves: str
    facts: Sequence[tuple[str, str]]
    stamp: Sequence[tuple[str, str]]

    @property
    def steps(self) -> Sequence[Step]:
        return [step for step in (*self.above, *self.below) if isinstance(step, Step)]

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to be said of it."""
        return self.verdict.state == "same" and not self.diagnostics and not self.drift


@dataclass(frozen=True, slots=True)
class Page:
    """All documents. `dangers` and `cautions` are pairs of step and risk; `filters` are groups of (value, label, n).

    Of a very large plan only `listed` of the `total` steps are there, and those dangers and cautions alone that are
    theirs; each code of a caution has the number of all.
    """

    title: str
    stacks: Sequence[Stack]
    verdict: Verdict
    notes: Sequence[str]
    log: str
    dangers: Sequence[tuple[Step, Risk]]
    cautions: Sequence[tuple[str, Sequence[tuple[Step, Risk]], int]]
    filters: Sequence[tuple[str, str, Sequence[tuple[str, str, int]]]]
    total: int
    listed: int
    danger_total: int
    saved: str
    cards: int = CARDS

    @property
    def opened(self) -> bool:
        return self.total <= OPEN

    @property
    def errored(self) -> bool:
        return any(stack.verdict.state == "errored" for stack in self.stacks)

    @property
    def problems(self) -> int:
        return sum(len(stack.diagnostics) + stack.more_diagnostics for stack in self.stacks)

    @property
    def drifted(self) -> int:
        return sum(len(stack.drift) + stack.more_drift for stack in self.stacks)

    @property
    def cautioned(self) -> int:
        return sum(total for _, _, total in self.cautions)

    @property
    def every_step(self) -> str:
        """The command that shows what is left out."""
        return f"kplan show {self.saved or 'plan.json'} --verbose"


def page(documents: Sequence[Json], context: text.Context) -> Page:
    """The page, of one document a stack."""
    both = zip(documents, make_excerpts(documents), strict=True)
    stacks = [_stack(f"s{i}", document, excerpt, context) for i, (document, excerpt) in enumerate(both, 1)]
    steps = [step for stack in stacks for step in stack.steps]
    risks = [(step, risk) for step in steps for risk in step.risks]
    dangers = sorted(((s, r) for s, r in risks if r.level == "danger"), key=lambda pair: not pair[1].open)
    cautions = Counter(_codes(documents, "caution"))
    return Page(
        title=_title(documents, stacks),
        stacks=stacks,
        verdict=stacks[0].verdict if len(stacks) == 1 else _overall(stacks),
        notes=context.notes,
        log=context.log if re.match("https?://", context.log) else "",
        dangers=dangers,
        cautions=[(code, [(s, r) for s, r in risks if (r.level, r.code) == ("caution", code)], cautions[code])
                  for code in sorted(cautions)],
        filters=_filters(stacks, steps),
        total=sum(len(document["changes"]) for document in documents),
        listed=len(steps),
        danger_total=sum(1 for _ in _codes(documents, "danger")),
        saved=context.saved,
    )  # fmt: skip


def _codes(documents: Sequence[Json], level: str) -> Iterator[str]:
    """Yield the code of each risk of this level."""
    for document in documents:
        for change in document["changes"]:
            yield from (risk["code"] for risk in change["risks"] if risk["level"] == level)


def _title(documents: Sequence[Json], stacks: Sequence[Stack]) -> str:
    destroys = "destroy " if any(document["mode"] == "destroy" for document in documents) else ""
    if len(stacks) == 1:
        return destroys + stacks[0].title
    envs = dict.fromkeys(document["stack"]["env"] for document in documents)
    return f"{destroys}{len(stacks)} stacks → {', '.join(envs)}"


def _filters(stacks: Sequence[Stack], steps: Sequence[Step]) -> list[tuple[str, str, Sequence[tuple[str, str, int]]]]:
    """What the page's steps can be narrowed to: groups with (value, label, how many), those of one value left out."""
    tags = Counter(tag for step in steps for tag in step.tags.split())
    marks = {step.verb: step.mark.rstrip("!") for step in steps}
    groups = [
        ("risk", "Risk", [(tag, label, tags[tag]) for tag, label in TAGS.items() if tags[tag]]),
        ("kind", "Kind", [(kind, kind, n) for kind, n in Counter(step.kind for step in steps).items()]),
        ("verb", "Action", [(v, f"{marks[v]} {v}", n) for v, n in Counter(step.verb for step in steps).items()]),
        ("stack", "Stack", [(s.id, s.title, len(s.steps)) for s in stacks if s.steps]),
    ]
    return [group for group in groups if len(group[2]) > 1]


# -- one document -----------------------------------------------------------------------------------------------------
def _stack(id: str, document: Json, excerpt: Excerpt, context: text.Context) -> Stack:
    changes, line = document["changes"], document["point_of_no_return"]
    title = f"{document['stack']['name']} → {document['stack']['env']}"
    loud, where = _where(document)
    made = document["created_at"]
    again = context.again or f"kplan {context.command} {' '.join(context.paths)}"
    numbers = {change["address"]: change["step"] for change in changes}
    cut = len(changes) if line is None else next((i for i, c in enumerate(changes) if c["step"] >= line), len(changes))
    above, below = (
        [
            each if isinstance(each, Stretch) else _step(id, title, each, numbers, again, made)
            for each in split_steps(id, part, excerpt.chosen)
        ]
        for part in (changes[:cut], changes[cut:])
    )
    waves = list(_waves([*above, *below], changes))
    errors_first = sorted(document["diagnostics"], key=lambda each: each["severity"] != "error")
    problems = document["diagnostics"] if excerpt.problems == len(errors_first) else errors_first[: excerpt.problems]
    return Stack(
        id=id,
        title=title,
        loud=loud,
        where=where,
        verdict=_verdict(document, context),
        counts=text.counts(document) if changes else "",
        partial=_partial(document),
        above=above,
        below=below,
        diagnostics=[(each, place(each)) for each in problems],
        more_diagnostics=len(document["diagnostics"]) - len(problems),
        drift=[_drifted(each) for each in document["drift"][: excerpt.drift]],
        more_drift=len(document["drift"]) - excerpt.drift,
        drawing=draw(document),
        waves=waves[:WAVES],
        more_waves=f"and {count(len(waves) - WAVES, 'more wave')}" if len(waves) > WAVES else "",
        facts=list(_facts_of(document)),
        stamp=list(_stamp(document)),
    )


def _where(document: Json) -> tuple[str, str]:
    """Which cluster it is; before that the word that must not be missed where it is not one that was just read."""
    target, read = document["target"], document["read"]
    topics, connectors = count(read["topics"], "topic"), count(read["connectors"], "connector")
    if target.get("snapshot"):
        which = f"simulated cluster {target['simulated']}" if target["simulated"] else f"cluster {target['cluster_id']}"
        return "SNAPSHOT", f"of {which}, {snapshot(document)}: {topics}, {connectors} as they were then"
    if target["simulated"]:
        return "SIMULATED", f"cluster {target['simulated']}, no server is touched"
    connect = f" · Connect {target['connect_url']}, {connectors}" if target["connect_url"] else ""
    return "", f"Kafka {target['bootstrap']}, cluster {target['cluster_id']}, {topics} read{connect}"


def _partial(document: Json) -> str:
    if document["complete"]:
        return ""
    return f"Partial: --target or --exclude hides {count(document['summary']['hidden'], 'change')}."


def _facts_of(document: Json) -> Iterator[tuple[str, str]]:
    """What else there is to know about a plan: which, when, of what, and for which cluster."""
    stack, target = document["stack"], document["target"]
    yield "Stack", f"{stack['name']}, environment {stack['env']}"
    if target["simulated"]:
        yield "Cluster", f"simulated, {target['simulated']}"
    else:
        yield "Kafka", f"{target['bootstrap']}, {count(target['brokers'], 'broker')}"
        if target["connect_url"]:
            yield "Connect", f"{target['connect_url']}, version {target['connect_version']}"
    yield "Cluster id", target["cluster_id"]
    yield "Made", _time(document["created_at"])
    yield "Commit", stack["commit"] or "not known"
    yield "Digest", document["digest"]
    yield "Checked", text.checked(document).strip().removeprefix("Checked by the servers: ")
    yield "Files", ", ".join(file["path"] for file in stack["files"])
    if document["used_env"]:
        yield "Defaults from", ", ".join(document["used_env"])
    yield "Made by", f"kplan {document['kplan_version']}, format {document['format_version']}"


def _stamp(document: Json) -> Iterator[tuple[str, str]]:
    """Which plan it is, in short."""
    yield "digest", document["digest"].removeprefix("sha256:")[:8]
    if document["stack"]["commit"]:
        yield "commit", document["stack"]["commit"][:7]
    yield "made", _time(document["created_at"])


def _verdict(document: Json, context: text.Context) -> Verdict:
    if document["errored"]:
        errors = count(sum(d["severity"] == "error" for d in document["diagnostics"]), "error")
        return Verdict("errored", f"Not possible: {errors}", "Nothing can be applied until that is corrected.")
    if document["blocked"]:
        return _blocked(document, context)
    if not document["changes"]:
        return Verdict("same", text.nothing(document, context))
    accepted = sum(r["level"] == "danger" for change in document["changes"] for r in change["risks"])
    said = f"Ready to apply, {count(accepted, 'danger')} accepted" if accepted else "Ready to apply"
    if context.saved:
        return Verdict("ready", said, "To do exactly this:", f"kplan apply {context.saved}")
    hint = "This plan was not saved: with --out plan.json, `kplan apply plan.json` does exactly this."
    return Verdict("ready", said, hint=hint if context.command == "plan" else "")


def _blocked(document: Json, context: text.Context) -> Verdict:
    dangers = sum(len(text.open_dangers(change)) for change in document["changes"])
    said = f"{count(dangers, 'danger')} {'is' if dangers == 1 else 'are'} not accepted" if dangers else ""
    if codes.K419.number not in document["blocked"]:
        return Verdict("blocked", f"Blocked: {said}", "Nothing can be applied until each is accepted or left out.")
    guard = "more changes than the guard `max_changes` allows in one run (K419)"
    again = context.again or f"kplan {context.command} {' '.join(context.paths)}"
    return Verdict(
        "blocked",
        "Blocked: " + " and ".join(filter(None, [said, guard])),
        "To allow that many changes once:",
        f"{again} --accept max_changes",
    )


def _overall(stacks: Sequence[Stack]) -> Verdict:
    """The worst of the stacks' verdicts, and how many have it."""
    states = Counter(stack.verdict.state for stack in stacks)
    state = next(each for each in ("errored", "blocked", "ready", "same") if states[each])
    said = {"errored": "not possible", "blocked": "blocked", "ready": "ready to apply", "same": "without changes"}
    parts = [f"{states[each]} {said[each]}" for each in said if states[each]]
    return Verdict(state, f"{count(len(stacks), 'stack')}: {', '.join(parts)}")


def _drifted(each: Json) -> tuple[str, str, str, str]:
    key = text.attribute(each)
    return each["address"], key, shown(key, each["applied"]), shown(key, each["live"])


def _waves(shown: Sequence[Step | Stretch], changes: Sequence[Json]) -> Iterator[Wave]:
    """Steps that are sent together; those of one wave do the same to the same kind."""
    starts = [each.number for each in shown]
    for number, group in groupby(changes, key=lambda change: change["wave"]):
        steps = list(group)
        kinds = Counter((verb(c), c["kind"]) for c in steps)
        what = ", ".join(f"{does} {count(n, kind)}" for (does, kind), n in kinds.items())
        numbers = [c["step"] for c in steps]
        final = any(not c["undo"]["complete"] for c in steps)
        first = shown[bisect_right(starts, numbers[0]) - 1].id
        yield Wave(number, first, ranges(numbers), "s" if len(numbers) > 1 else "", what, final)


# -- one step ---------------------------------------------------------------------------------------------------------
def _step(id: str, stack: str, change: Json, numbers: Mapping[str, int], again: str, made: str) -> Step:
    final = not change["undo"]["complete"]
    risks = [_risk(risk, made) for risk in change["risks"]]
    levels = [level for level in LEVELS if any(risk.level == level for risk in risks)] if risks else []
    tags = [*levels, "final"] if final else levels
    return Step(
        id=f"{id}-{change['step']}",
        number=change["step"],
        mark=text.sign(change) + ("!" if final else ""),
        verb=verb(change),
        action="replace" if len(change["actions"]) > 1 else change["actions"][0],
        kind=change["kind"],
        address=change["address"],
        place=place(change.get("source")),
        brief=briefly(change),
        final=final,
        tags=" ".join(tags) or "none",
        notes=list(text.notes(change)),
        rows=rows(change) if compares(change) else (),
        attributes=() if compares(change) else tuple((row.key, row.after) for row in rows(change)),
        rest=rest(change),
        effects=change.get("effects", ()),
        risks=risks,
        undo=text.undo(change),
        check=_order_and_check(change, numbers),
        ways=list(text.ways_out(change, again)) if text.open_dangers(change) else (),
        badges=[_badge(tag, risks) for tag in tags],
        stack=stack,
    )


def _badge(tag: str, risks: Sequence[Risk]) -> tuple[str, str]:
    """Its classes and its text."""
    if tag == "danger" and not any(risk.open for risk in risks):
        return "danger accepted", "danger accepted"
    return tag, "no undo" if tag == "final" else tag


def _order_and_check(change: Json, numbers: Mapping[str, int]) -> str:
    needs = [numbers[address] for address in change["depends_on"] if address in numbers]
    said = [f"after {'step' if len(needs) == 1 else 'steps'} {ranges(needs)}"] if needs else []
    if change["verified"]:
        by = change["verified"]["by"]
        said.append(f"checked by {CHECKS.get(by, 'the server')} ({by})")
    return ", ".join([f"Wave {change['wave']}", *said])


# -- risks ------------------------------------------------------------------------------------------------------------
def _risk(risk: Json, made: str) -> Risk:
    accepted = ACCEPTED.get(risk["accepted"] or "", "")
    facts = list(_facts(risk["facts"] or {}, risk["summary"], made))
    return Risk(risk["code"], risk["level"], risk["summary"], accepted, facts)


def _facts(facts: Json, summary: str, made: str) -> Iterator[tuple[str, str]]:
    """What is known of the topic beyond the summary."""
    if facts.get("records") is not None and f"{facts['records']:,} record" not in summary:
        yield "Records", f"up to {facts['records']:,}" if facts["records"] else "none"
    if facts.get("bytes") is not None:
        yield "Stored", size(facts["bytes"])
    if facts.get("first_write") is not None:
        yield "Oldest record", ago(facts["first_write"], made)
    if facts.get("last_write") is not None:
        yield "Last write", ago(facts["last_write"], made)
    readers = [_reader(each) for each in facts.get("readers", ())]
    if any(each not in summary for each in readers):
        yield count(len(readers), "reading group"), _first(readers)
    if sinks := facts.get("sinks"):
        yield "Sink connectors", _first(sinks)
    for name, why in (facts.get("unknown") or {}).items():
        yield f"{name.replace('_', ' ').capitalize()} not known", why


def _reader(reader: Json) -> str:
    return f"{reader['group']} (lag {reader['lag']:,}{'' if reader['active'] else ', no members now'})"


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def size(number: float) -> str:
    """Bytes in the largest unit that leaves a whole one: `1.5 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"


def _time(written: str) -> str:
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        return written
    return f"{found:%Y-%m-%d %H:%M} UTC"
