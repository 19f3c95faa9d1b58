"""What a reviewer has to know of a plan, as one list in Markdown: what is wrong, lost, final, or to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import partial
from typing import Any

from kplan.diagnostics import codes
from kplan.render import text
from kplan.render.facts import sentence
from kplan.render.gfm import code, lines, plain, prose
from kplan.render.room import Item, Part
from kplan.render.steps import beginning, briefly, place, verb
from kplan.text import count, truncate

ALIKE = 3  # more steps that are alike are told as one
NAMED = 10  # so many of these are named
TOLD = 2_000  # characters of a sentence that others wrote
TOO_MANY = "BLOCKED"
WORDS = 600  # characters of what is to be written down: an address, and what goes with it

Json = Mapping[str, Any]


class Told(IntEnum):
    """Whole (a step that cannot be undone: by its row), in one line each, or by its address in groups."""

    WHOLE = 0
    SHORT = 1
    NAMED = 2


@dataclass(frozen=True, slots=True)
class Form:
    """How errors and dangers are told, and how other steps that cannot be undone; `all`: none may be left out."""

    said: str = ""
    dangers: Told = Told.WHOLE
    final: Told = Told.WHOLE
    all: bool = True


FORMS = (
    Form(),
    Form("what cannot be undone and is no danger is named, without its rows", Told.WHOLE, Told.NAMED),
    Form("each error and each danger is told in one line", Told.SHORT),
    Form("each error and each danger is told in one line, what else cannot be undone is named", Told.SHORT, Told.NAMED),
    Form("errors, dangers and what cannot be undone are named", Told.NAMED, Told.NAMED),
    Form(
        "errors, dangers and what cannot be undone are counted, and named as far as they fit",
        Told.NAMED,
        Told.NAMED,
        False,
    ),
)


class Rank(IntEnum):
    """What stays longest, to what is dropped first."""

    ALWAYS = 0
    DANGER = auto()
    ERROR = auto()
    ACCEPTED = auto()
    IRREVERSIBLE = auto()
    STATUS = auto()
    CAUTION = auto()
    STACK = auto()
    CHANGE = auto()
    WARNING = auto()
    LEDGER = auto()
    CREATE = auto()
    NOTE = auto()
    DRIFT = auto()
    OTHER_DIFF = auto()
    UPDATE_DIFF = auto()
    CREATE_DIFF = auto()
    ORDER = auto()


@dataclass(frozen=True, slots=True)
class Plans:
    """The documents, the words that begin each command, and whether steps must say which stack they are of."""

    documents: Sequence[Json]
    again: str

    def of(self, document: Json) -> str:
        return f"{code(document['stack']['name'], 63)}: " if len(self.documents) > 1 else ""


@dataclass(frozen=True, slots=True)
class Finding:
    """An error or a danger, told whole or in one line; those with one title are told together by their addresses."""

    rank: Rank
    title: str
    address: str
    whole: Callable[[], str]
    short: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Alike:
    """Steps of which the same is to be said."""

    rank: Rank
    title: str
    steps: list[tuple[Json, Json]]  # with the documents they are of


@dataclass(frozen=True, slots=True)
class Review:
    """Errors and dangers, those first that keep the plan from being applied; and the steps without a danger of which
    something is to be said: what cannot be undone, cautions, notes."""

    plans: Plans
    found: Sequence[Finding]
    others: Sequence[Alike]


def review(documents: Sequence[Json], again: str) -> Review:
    plans = Plans(documents, again)
    return Review(plans, [*_errors(plans), *sorted(_dangers(plans), key=lambda each: each.rank)], _others(plans))


def told(review: Review, form: Form) -> Iterator[Part]:
    """The list in this form, with what to write to allow the dangers."""
    named = form.final is Told.NAMED
    yield Part([Item(Rank.ALWAYS, lambda: "\n")] if review.found or review.others else [])
    if form.dangers is Told.NAMED:
        yield from _named(review.found, form)
    else:
        yield _bullets([Item(Rank.ALWAYS, each.short if form.dangers else each.whole) for each in review.found])
    if any(document["blocked"] for document in review.plans.documents):
        yield _bullets([Item(Rank.ALWAYS, partial(_to_accept if form.dangers else _to_type, review.plans))])
    if named:
        yield from _named(_final(review.others), form)
    rest = [alike for alike in review.others if not (named and alike.rank is Rank.IRREVERSIBLE)]
    yield _bullets([item for alike in rest for item in _told(review.plans, alike)])


def is_error(each: Json) -> bool:
    """Whether nothing can be applied because of it; `max_changes` (K419) is no error but can be accepted."""
    return bool(each["severity"] == "error" and each["code"] != codes.K419.number)


def diagnostic(each: Json, title: str, of: str = "") -> str:
    """A problem with its place, its cause and the way out."""
    help = "" if title == TOO_MANY else each["help"]
    said = [_problem(each, title, of, TOLD)]
    said += [lines(truncate(each["detail"], TOLD))] if each["detail"] else []
    said += [f"Help: {lines(truncate(help, TOLD))}"] if help else []
    said += ["To allow it for one run: `--accept max_changes`"] if title == TOO_MANY else []
    return "<br>".join(said)


def _problem(each: Json, title: str, of: str, most: int) -> str:
    places = [code(words, WORDS) for words in (place(each), each["address"]) if words]
    return " ".join(
        [f"**{title} {plain(truncate(each['code'], 10))}** {of}{prose(truncate(each['summary'], most))}", *places]
    )


def _bullets(items: Iterable[Item]) -> Part:
    return Part([Item(item.rank, partial(_bullet, item.text), item.noun) for item in items])


def _bullet(said: Callable[[], str]) -> str:
    return f"> - {said()}\n"


# -- errors and dangers -----------------------------------------------------------------------------------------------
def _errors(plans: Plans) -> Iterator[Finding]:
    for document in plans.documents:
        for each in document["diagnostics"]:
            if each["severity"] == "error":
                title, of = "ERROR" if is_error(each) else TOO_MANY, plans.of(document)
                yield Finding(
                    Rank.ERROR,
                    f"{title} {plain(truncate(each['code'], 10))} {prose(truncate(each['summary'], 80))}",
                    place(each) or each["address"] or document["stack"]["name"],
                    partial(diagnostic, each, title, of),
                    partial(_problem, each, title, of, 80),
                )


def _dangers(plans: Plans) -> Iterator[Finding]:
    for document in plans.documents:
        for change in document["changes"]:
            dangers = [risk for risk in change["risks"] if risk["level"] == "danger"]
            if dangers:
                refused = bool(text.open_dangers(change))
                codes = "/".join(plain(truncate(risk["code"], 10)) for risk in dangers[:8])
                title = f"DANGER {codes}, {'not ' if refused else ''}accepted"
                yield Finding(
                    Rank.DANGER if refused else Rank.ACCEPTED,
                    f"{title}: {verb(change)}",
                    change["address"],
                    partial(_danger, plans, document, change),
                    partial(_danger_in_short, plans, document, change, title),
                )


def _danger(plans: Plans, document: Json, change: Json) -> str:
    """What is lost, whether it can be undone, and what to write to allow it."""
    refused = text.open_dangers(change)
    said = [f"**DANGER, {'not ' if refused else ''}accepted:** {_step(plans, document, change)}"]
    said += _risks(document, change)
    said += [_undo(change)]
    said += [", ".join(_ways(change))] if refused else []
    return "<br>".join(said)


def _danger_in_short(plans: Plans, document: Json, change: Json, title: str) -> str:
    summary = next(risk["summary"] for risk in change["risks"] if risk["level"] == "danger")
    where = f" {code(at, WORDS)}" if (at := place(change.get("source"))) else ""
    what = f"{plans.of(document)}{verb(change)} {code(change['address'], WORDS)}{where}"
    return f"**{title}:** {what}{'' if change['undo']['complete'] else ', no undo'}: {prose(truncate(summary, 80))}"


def _step(plans: Plans, document: Json, change: Json) -> str:
    """`delete topic/x, at stacks/shop.yaml:19`"""
    brief = f" ({prose(truncate(briefly(change), 200))})" if verb(change) == "change" else ""
    where = f", at {code(at, WORDS)}" if (at := place(change.get("source"))) else ""
    return f"{plans.of(document)}{verb(change)} {code(change['address'], WORDS)}{brief}{where}"


ACCEPTED = {"stack": " *(accepted in the stack)*", "flag": " *(accepted for this run)*"}


def _risks(document: Json, change: Json) -> Iterator[str]:
    """What the step may lose or cut off, a sentence each, the dangers first."""
    for risk in sorted(change["risks"], key=lambda risk: risk["level"] != "danger"):
        level = "" if risk["level"] == "danger" else f"{risk['level']} "
        said = prose(truncate(sentence(risk, document["created_at"]), TOLD))
        yield f"{level}**{plain(truncate(risk['code'], 10))}** {said}{ACCEPTED.get(risk['accepted'] or '', '')}"


def _undo(change: Json) -> str:
    return f"Undo: {prose(truncate(text.undo(change), TOLD))}"


def _ways(change: Json) -> Iterator[str]:
    """What to do about the step's dangers, with the words to write."""
    for said, words in text.ways_out(change, ""):
        yield f"{prose(said)} {code(words.strip(), WORDS)}" if words else prose(said.rstrip("."))


def _to_type(plans: Plans) -> str:
    return f"Words that begin with `--` are added to {code(plans.again, WORDS)}."


def _to_accept(plans: Plans) -> str:
    """What to write to allow a danger, where there are too many to say it for each."""
    changes = [change for document in plans.documents for change in document["changes"]]
    refused = [risk for change in changes for risk in text.open_dangers(change)]
    kinds = {risk["kind"]: risk["code"] for risk in refused if risk["kind"] not in ("protect", "orphan")}
    names = [f"{code(kind, 20)} for {plain(truncate(number, 10))}" for kind, number in list(kinds.items())[:10]]
    said = [f"To accept a danger, write `accept: [KIND]` at its place; KIND is {', '.join(names)}."] if names else []
    if any(risk["kind"] == "orphan" for risk in refused):
        said.append("What left the stack is listed under `removed`.")
    if any(risk["kind"] == "protect" for risk in refused):
        said.append("What is protected needs `protect: false`, applied first.")
    if any(codes.K419.number in document["blocked"] for document in plans.documents):
        said.append("So many changes at once: `--accept max_changes`.")
    if example := next((risk["accept"] for risk in refused if risk["accept"]), ""):
        said.append(f"For one run: {code(plans.again, WORDS)} with {code(f'--accept {example}', WORDS)}, and so on.")
    return " ".join(said)


# -- what cannot be undone, cautions, notes ---------------------------------------------------------------------------
def _others(plans: Plans) -> list[Alike]:
    """The steps without a danger of which something is to be said, those that are alike together."""
    groups: dict[tuple[object, ...], Alike] = {}
    for document in plans.documents:
        for change in document["changes"]:
            if kind := _kind(change):
                codes = tuple(risk["code"] for risk in change["risks"])
                key = (*kind, verb(change), change["kind"], codes, change["undo"].get("why") or "")
                groups.setdefault(key, Alike(*kind, [])).steps.append((document, change))
    return sorted(groups.values(), key=lambda alike: alike.rank)


def _kind(change: Json) -> tuple[Rank, str] | None:
    levels = {risk["level"] for risk in change["risks"]}
    if "danger" in levels:
        return None
    if not change["undo"]["complete"]:
        return Rank.IRREVERSIBLE, "Cannot be undone"
    if "caution" in levels:
        return Rank.CAUTION, "Caution"
    return (Rank.NOTE, "Note") if levels else None


def _told(plans: Plans, alike: Alike) -> Iterator[Item]:
    noun = alike.title.split()[0].lower() if alike.rank is not Rank.IRREVERSIBLE else "remark"
    if len(alike.steps) > ALIKE:
        yield Item(alike.rank, partial(_together, alike), noun)
    else:
        yield from (Item(alike.rank, partial(_alone, plans, alike, *step), noun) for step in alike.steps)


def _alone(plans: Plans, alike: Alike, document: Json, change: Json) -> str:
    said = [f"**{alike.title}:** {_step(plans, document, change)}", *_risks(document, change)]
    return "<br>".join([*said, _undo(change)] if alike.rank is Rank.IRREVERSIBLE else said)


def _together(alike: Alike) -> str:
    """What is alike, with the first names, and what all of their sentences begin with."""
    first = alike.steps[0][1]
    names = [code(change["address"], WORDS) for _, change in alike.steps[:NAMED]]
    more = len(alike.steps) - len(names)
    said = [
        f"**{alike.title}:** {verb(first)} {count(len(alike.steps), first['kind'])}: {', '.join(names)}"
        + (f" and {more} more" if more > 0 else "")
    ]
    for n, risk in enumerate(first["risks"]):
        said.append(
            f"**{plain(truncate(risk['code'], 10))}** {_common(change['risks'][n] for _, change in alike.steps)}"
        )
    why = first["undo"].get("why")
    return "<br>".join(
        [*said, *([f"Undo: none, {prose(truncate(why, TOLD))}"] if why and alike.rank is Rank.IRREVERSIBLE else [])]
    )


def _common(risks: Iterable[Json]) -> str:
    """The sentences that all of them begin with; without such, the first one's."""
    summaries = [risk["summary"] for risk in risks]
    first, last = min(summaries), max(summaries)
    if first == last:
        return prose(truncate(first, TOLD))
    same = beginning(first, last).rpartition(". ")[0]
    return prose(truncate(f"{same}. …" if same else f"{summaries[0]} (the first; likewise the others)", TOLD))


# -- names alone ------------------------------------------------------------------------------------------------------
def _final(others: Iterable[Alike]) -> Iterator[Finding]:
    for alike in others:
        if alike.rank is Rank.IRREVERSIBLE:
            for _, change in alike.steps:
                yield Finding(alike.rank, f"{alike.title}: {verb(change)}", change["address"], str, str)


def _named(found: Iterable[Finding], form: Form) -> Iterator[Part]:
    """Everything by its address, in groups that are counted."""
    groups: dict[tuple[Rank, str], list[str]] = {}
    for each in found:
        groups.setdefault((each.rank, each.title), []).append(each.address)
    for (rank, title), addresses in groups.items():
        items = [Item(Rank.ALWAYS if form.all else rank, partial(_name, address), "name") for address in addresses]
        head = f"> - **{title}** ({len(addresses):,}): "
        yield Part(items, head=head, tail="\n", rest=lambda left: f"and {left.total():,} more")


def _name(address: str) -> str:
    return f"{code(address, WORDS)} "
