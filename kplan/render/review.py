"""List what a reviewer has to know of a plan in Markdown: what is wrong, lost, final, or to be checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum, auto
from functools import partial
from typing import Any

from kplan.diagnostics import codes
from kplan.diagnostics.codes.ranges import BLOCKING_ERRORS
from kplan.render import text
from kplan.render.facts import format_sentence
from kplan.render.gfm import escape_text, format_code, format_lines, format_link, format_prose
from kplan.render.links import find_url
from kplan.render.room import PageItem, Part
from kplan.render.steps import find_common_beginning, name_action, place, summarize_step
from kplan.text import count, truncate
from kplan.values import dataclass

MAX_SIMILAR = 3  # more similar steps are listed as one
MAX_NAMES = 10  # similar steps that are named
MAX_SENTENCE_LENGTH = 2_000  # of a sentence that others wrote
BLOCKED = "BLOCKED"
MAX_CODE_LENGTH = 600  # of code that a reader copies: an address, and what goes with it

Json = Mapping[str, Any]


class Detail(IntEnum):
    """Show whole (an irreversible step: by its row), in one line each, or by its address in groups."""

    WHOLE = 0
    SHORT = 1
    NAMED = 2


@dataclass(frozen=True, slots=True)
class Form:
    """Choose how errors and dangers are shown, and how irreversible steps; `all`: none may be left out."""

    notice: str = ""
    dangers: Detail = Detail.WHOLE
    final: Detail = Detail.WHOLE
    all: bool = True


FORMS = (
    Form(),
    Form("what cannot be undone and is not a danger is named, without its rows", Detail.WHOLE, Detail.NAMED),
    Form("each error and each danger is shown in one line", Detail.SHORT),
    Form(
        "each error and each danger is shown in one line, what else cannot be undone is named",
        Detail.SHORT,
        Detail.NAMED,
    ),
    Form("errors, dangers and what cannot be undone are named", Detail.NAMED, Detail.NAMED),
    Form(
        "errors, dangers and what cannot be undone are counted, and named as far as they fit",
        Detail.NAMED,
        Detail.NAMED,
        False,
    ),
)


class Rank(IntEnum):
    """Order the pieces from what stays longest to what is dropped first."""

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
    """Hold the documents, the beginning of each command, and whether steps must name their stack."""

    documents: Sequence[Json]
    command_line: str

    def name_stack(self, document: Json) -> str:
        return f"{format_code(document['stack']['name'], 63)}: " if len(self.documents) > 1 else ""


@dataclass(frozen=True, slots=True)
class ReviewEntry:
    """Show an error or a danger, whole or in one line; those with one title are grouped by their addresses."""

    rank: Rank
    title: str
    address: str
    whole: Callable[[], str]
    short: Callable[[], str]


@dataclass(frozen=True, slots=True)
class SimilarSteps:
    """Hold steps with the same remarks."""

    rank: Rank
    title: str
    steps: list[tuple[Json, Json]]  # with the documents they are of


@dataclass(frozen=True, slots=True)
class Review:
    """Hold errors and dangers, those first that keep the plan from being applied; and the steps without a danger that
    need a remark: what cannot be undone, cautions, notes."""

    plans: Plans
    entries: Sequence[ReviewEntry]
    others: Sequence[SimilarSteps]


def make_review(documents: Sequence[Json], command_line: str) -> Review:
    plans = Plans(documents, command_line)
    return Review(
        plans, [*_list_errors(plans), *sorted(_list_dangers(plans), key=lambda entry: entry.rank)], _group_others(plans)
    )


def render_review(review: Review, form: Form) -> Iterator[Part]:
    """Yield the list in this form, with what to write to allow the dangers."""
    is_named = form.final is Detail.NAMED
    yield Part([PageItem(Rank.ALWAYS, lambda: "\n")] if review.entries or review.others else [])
    if form.dangers is Detail.NAMED:
        yield from _group_names(review.entries, form)
    else:
        yield _make_bullets(
            [PageItem(Rank.ALWAYS, entry.short if form.dangers else entry.whole) for entry in review.entries]
        )
    if any(text.can_be_accepted(document) for document in review.plans.documents):
        yield _make_bullets(
            [PageItem(Rank.ALWAYS, partial(_explain_acceptance if form.dangers else _explain_options, review.plans))]
        )
    if is_named:
        yield from _group_names(_list_irreversible(review.others), form)
    rest = [alike for alike in review.others if not (is_named and alike.rank is Rank.IRREVERSIBLE)]
    yield _make_bullets([item for alike in rest for item in _make_items(review.plans, alike)])


def is_error(diagnostic: Json) -> bool:
    """Return whether there is no plan because of it; `max_changes` (K419) and policies (K470) block one instead."""
    return bool(diagnostic["severity"] == "error" and diagnostic["code"] not in BLOCKING_ERRORS)


def format_diagnostic(problem: Json, title: str, of: str = "") -> str:
    """Return a problem with its place, its cause and its remedy."""
    is_limit = problem["code"] == codes.K419.number and title == BLOCKED
    help = "" if is_limit else problem["help"]
    parts = [_format_problem(problem, title, of, MAX_SENTENCE_LENGTH)]
    parts += [format_lines(truncate(problem["detail"], MAX_SENTENCE_LENGTH))] if problem["detail"] else []
    parts += [f"Help: {format_lines(truncate(help, MAX_SENTENCE_LENGTH))}"] if help else []
    parts += ["To allow it for one run: `--accept max_changes`"] if is_limit else []
    return "<br>".join(parts)


def _format_place(source: Json | None) -> str:
    """Return the place of a change or a problem, as a link where it can be seen on the web."""
    words = format_code(shown, MAX_CODE_LENGTH) if (shown := place(source)) else ""
    return format_link(words, find_url(source)) or words if words else ""


def _format_problem(problem: Json, title: str, of: str, max_length: int) -> str:
    address = format_code(problem["address"], MAX_CODE_LENGTH) if problem["address"] else ""
    places = filter(None, (_format_place(problem), address))
    return " ".join(
        [
            (
                f"**{title} {escape_text(truncate(problem['code'], 10))}** "
                f"{of}{format_prose(truncate(problem['summary'], max_length))}"
            ),
            *places,
        ]
    )


def _make_bullets(items: Iterable[PageItem]) -> Part:
    return Part([PageItem(item.rank, partial(_format_bullet, item.text), item.noun) for item in items])


def _format_bullet(write_text: Callable[[], str]) -> str:
    return f"> - {write_text()}\n"


# -- errors and dangers -----------------------------------------------------------------------------------------------
def _list_errors(plans: Plans) -> Iterator[ReviewEntry]:
    for document in plans.documents:
        for problem in document["diagnostics"]:
            if problem["severity"] == "error":
                title, of = "ERROR" if is_error(problem) else BLOCKED, plans.name_stack(document)
                yield ReviewEntry(
                    Rank.ERROR,
                    (
                        f"{title} {escape_text(truncate(problem['code'], 10))} "
                        f"{format_prose(truncate(problem['summary'], 80))}"
                    ),
                    place(problem) or problem["address"] or document["stack"]["name"],
                    partial(format_diagnostic, problem, title, of),
                    partial(_format_problem, problem, title, of, 80),
                )


def _list_dangers(plans: Plans) -> Iterator[ReviewEntry]:
    for document in plans.documents:
        for change in document["changes"]:
            dangers = [risk for risk in change["risks"] if risk["level"] == "danger"]
            if dangers:
                refused = bool(text.list_open_dangers(change))
                codes = "/".join(escape_text(truncate(risk["code"], 10)) for risk in dangers[:8])
                title = f"DANGER {codes}, {'not ' if refused else ''}accepted"
                yield ReviewEntry(
                    Rank.DANGER if refused else Rank.ACCEPTED,
                    f"{title}: {name_action(change)}",
                    change["address"],
                    partial(_format_danger, plans, document, change),
                    partial(_summarize_danger, plans, document, change, title),
                )


def _format_danger(plans: Plans, document: Json, change: Json) -> str:
    """Return what is lost, whether it can be undone, and what to write to allow it."""
    refused = text.list_open_dangers(change)
    parts = [f"**DANGER, {'not ' if refused else ''}accepted:** {_format_step(plans, document, change)}"]
    parts += _format_risks(document, change)
    parts += [_format_undo(change)]
    parts += [", ".join(_format_remedies(change))] if refused else []
    return "<br>".join(parts)


def _summarize_danger(plans: Plans, document: Json, change: Json, title: str) -> str:
    summary = next(risk["summary"] for risk in change["risks"] if risk["level"] == "danger")
    where = f" {written}" if (written := _format_place(change.get("source"))) else ""
    step = f"{plans.name_stack(document)}{name_action(change)} {format_code(change['address'], MAX_CODE_LENGTH)}{where}"
    return (
        f"**{title}:** {step}{'' if change['undo']['complete'] else ', no undo'}: {format_prose(truncate(summary, 80))}"
    )


def _format_step(plans: Plans, document: Json, change: Json) -> str:
    """Return `delete topic/x, at stacks/shop.yaml:19`."""
    brief = f" ({format_prose(truncate(summarize_step(change), 200))})" if name_action(change) == "change" else ""
    where = f", at {written}" if (written := _format_place(change.get("source"))) else ""
    return (
        f"{plans.name_stack(document)}{name_action(change)} "
        f"{format_code(change['address'], MAX_CODE_LENGTH)}{brief}{where}"
    )


ACCEPTED = {"stack": " *(accepted in the stack)*", "flag": " *(accepted for this run)*"}


def _format_risks(document: Json, change: Json) -> Iterator[str]:
    """Yield what the step may lose or cut off, a sentence each, the dangers first."""
    for risk in sorted(change["risks"], key=lambda risk: risk["level"] != "danger"):
        level = "" if risk["level"] == "danger" else f"{risk['level']} "
        text = format_prose(truncate(format_sentence(risk, document["created_at"]), MAX_SENTENCE_LENGTH))
        yield f"{level}**{escape_text(truncate(risk['code'], 10))}** {text}{ACCEPTED.get(risk['accepted'] or '', '')}"


def _format_undo(change: Json) -> str:
    return f"Undo: {format_prose(truncate(text.describe_undo(change), MAX_SENTENCE_LENGTH))}"


def _format_remedies(change: Json) -> Iterator[str]:
    """Yield the remedies of the step's dangers, with the words to write."""
    for remedy, words in text.list_remedies(change, ""):
        yield (
            f"{format_prose(remedy)} {format_code(words.strip(), MAX_CODE_LENGTH)}"
            if words
            else format_prose(remedy.rstrip("."))
        )


def _explain_options(plans: Plans) -> str:
    return f"Add these flags to {format_code(plans.command_line, MAX_CODE_LENGTH)}."


def _explain_acceptance(plans: Plans) -> str:
    """Return what to write to allow a danger, where there are too many to show it for each."""
    changes = [change for document in plans.documents for change in document["changes"]]
    refused = [risk for change in changes for risk in text.list_open_dangers(change)]
    kinds = {risk["kind"]: risk["code"] for risk in refused if risk["kind"] not in ("protect", "orphan")}
    names = [
        f"{format_code(kind, 20)} for {escape_text(truncate(number, 10))}" for kind, number in list(kinds.items())[:10]
    ]
    sentences = (
        [f"To accept a danger, write `accept: [KIND]` at its place; KIND is {', '.join(names)}."] if names else []
    )
    if any(risk["kind"] == "orphan" for risk in refused):
        sentences.append("List what is no longer in the stack under `removed:`.")
    if any(risk["kind"] == "protect" for risk in refused):
        sentences.append("Apply `protect: false` to a protected resource first.")
    if any(codes.K419.number in document["blocked"] for document in plans.documents):
        sentences.append("To allow that many changes at once: `--accept max_changes`.")
    if example := next((risk["accept"] for risk in refused if risk["accept"]), ""):
        sentences.append(
            f"For one run: {format_code(plans.command_line, MAX_CODE_LENGTH)} "
            f"with {format_code(f'--accept {example}', MAX_CODE_LENGTH)}, and so on."
        )
    return " ".join(sentences)


# -- what cannot be undone, cautions, notes ---------------------------------------------------------------------------
def _group_others(plans: Plans) -> list[SimilarSteps]:
    """Return the steps without a danger that need a remark, similar ones together."""
    groups: dict[tuple[object, ...], SimilarSteps] = {}
    for document in plans.documents:
        for change in document["changes"]:
            if kind := _rank_step(change):
                codes = tuple(risk["code"] for risk in change["risks"])
                key = (*kind, name_action(change), change["kind"], codes, change["undo"].get("why") or "")
                groups.setdefault(key, SimilarSteps(*kind, [])).steps.append((document, change))
    return sorted(groups.values(), key=lambda alike: alike.rank)


def _rank_step(change: Json) -> tuple[Rank, str] | None:
    levels = {risk["level"] for risk in change["risks"]}
    if "danger" in levels:
        return None
    if not change["undo"]["complete"]:
        return Rank.IRREVERSIBLE, "Cannot be undone"
    if "caution" in levels:
        return Rank.CAUTION, "Caution"
    return (Rank.NOTE, "Note") if levels else None


def _make_items(plans: Plans, alike: SimilarSteps) -> Iterator[PageItem]:
    noun = alike.title.split()[0].lower() if alike.rank is not Rank.IRREVERSIBLE else "remark"
    if len(alike.steps) > MAX_SIMILAR:
        yield PageItem(alike.rank, partial(_format_together, alike), noun)
    else:
        yield from (PageItem(alike.rank, partial(_format_alone, plans, alike, *step), noun) for step in alike.steps)


def _format_alone(plans: Plans, alike: SimilarSteps, document: Json, change: Json) -> str:
    parts = [f"**{alike.title}:** {_format_step(plans, document, change)}", *_format_risks(document, change)]
    return "<br>".join([*parts, _format_undo(change)] if alike.rank is Rank.IRREVERSIBLE else parts)


def _format_together(alike: SimilarSteps) -> str:
    """Return the common remark of similar steps, with the first names, and what all of their sentences begin with."""
    first = alike.steps[0][1]
    names = [format_code(change["address"], MAX_CODE_LENGTH) for _, change in alike.steps[:MAX_NAMES]]
    more = len(alike.steps) - len(names)
    parts = [
        f"**{alike.title}:** {name_action(first)} {count(len(alike.steps), first['kind'])}: {', '.join(names)}"
        + (f" and {more} more" if more > 0 else "")
    ]
    for n, risk in enumerate(first["risks"]):
        parts.append(
            f"**{escape_text(truncate(risk['code'], 10))}** "
            f"{_find_common_beginning(change['risks'][n] for _, change in alike.steps)}"
        )
    reason = first["undo"].get("why")
    return "<br>".join(
        [
            *parts,
            *(
                [f"Undo: none; {format_prose(truncate(reason, MAX_SENTENCE_LENGTH))}"]
                if reason and alike.rank is Rank.IRREVERSIBLE
                else []
            ),
        ]
    )


def _find_common_beginning(risks: Iterable[Json]) -> str:
    """Return the sentences that all of them begin with; without such, those of the first."""
    summaries = [risk["summary"] for risk in risks]
    first, last = min(summaries), max(summaries)
    if first == last:
        return format_prose(truncate(first, MAX_SENTENCE_LENGTH))
    shared = find_common_beginning(first, last).rpartition(". ")[0]
    return format_prose(
        truncate(f"{shared}. …" if shared else f"{summaries[0]} (the first; likewise the others)", MAX_SENTENCE_LENGTH)
    )


# -- names alone ------------------------------------------------------------------------------------------------------
def _list_irreversible(others: Iterable[SimilarSteps]) -> Iterator[ReviewEntry]:
    for alike in others:
        if alike.rank is Rank.IRREVERSIBLE:
            for _, change in alike.steps:
                yield ReviewEntry(alike.rank, f"{alike.title}: {name_action(change)}", change["address"], str, str)


def _group_names(entries: Iterable[ReviewEntry], form: Form) -> Iterator[Part]:
    """Yield everything by its address, in groups that are counted."""
    groups: dict[tuple[Rank, str], list[str]] = {}
    for entry in entries:
        groups.setdefault((entry.rank, entry.title), []).append(entry.address)
    for (rank, title), addresses in groups.items():
        items = [
            PageItem(Rank.ALWAYS if form.all else rank, partial(_format_name, address), "name") for address in addresses
        ]
        head = f"> - **{title}** ({len(addresses):,}): "
        yield Part(items, head=head, tail="\n", rest=lambda left: f"and {left.total():,} more")


def _format_name(address: str) -> str:
    return f"{format_code(address, MAX_CODE_LENGTH)} "
