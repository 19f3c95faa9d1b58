"""What of a deleted connector is dropped in its database, because somebody asked for it by name.

Of PostgreSQL that is its replication slot and its publication. A publication that the connector did not make
(`publication.autocreate.mode: disabled`) is dropped where it is named itself: `publication=NAME`. What can be dropped
depends on the engine (`Engine.drops`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from kplan.diagnostics import Diagnostic, Severity, Span, codes, error
from kplan.kinds.connector.debezium.engine import DatabaseQuestion, DatabaseState, DropRules
from kplan.kinds.connector.debezium.engines import ENGINES, engine_of
from kplan.kinds.connector.options import connector_options, drops_of, keeps_offsets
from kplan.language.template import references, resolve
from kplan.model import Action, Change, Connector, Live, Resource, Rules, Secret, Stack, Text
from kplan.patterns import late_pattern

_DROPS = [engine.drops for engine in ENGINES.values() if engine.drops is not None]
_WORD = late_pattern("|".join(dict.fromkeys(drops.words for drops in _DROPS if drops.words)))
_STATEMENTS = {kind: write for drops in _DROPS for kind, write in drops.statements.items()}
SAME_DATABASE = ("database.hostname", "database.port", "database.dbname")


def is_word(text: str) -> bool:
    """Whether it names what can be dropped: `slot`, `publication` or `publication=NAME`."""
    return _WORD.fullmatch(text) is not None


def explain_refusal(connector: Connector, asked: Collection[str]) -> str:
    """Return why kplan cannot drop what is asked for; empty where it can, and where there is nothing to drop."""
    if not asked:
        return ""
    rules = drop_rules_of(connector)
    if rules is None:
        return f"kplan drops nothing in the database of {connector.java_class or 'a connector of no known class'}"
    return rules.refuse(connector, asked)


def drop_rules_of(connector: Connector) -> DropRules | None:
    """Return what kplan can drop of such a connector; None where it does not know that."""
    engine = engine_of(connector)
    return engine.drops if engine is not None else None


def choose_drops(connector: Connector, asked: Collection[str]) -> tuple[str, ...]:
    """Return what of the connector is dropped: `slot NAME`, `publication NAME`."""
    rules = drop_rules_of(connector)
    return rules.choose(connector, asked) if rules is not None else ()


def statements(drops: Iterable[str]) -> str:
    """Return the SQL that does the same by hand."""
    return " ".join(_STATEMENTS[kind](name) for kind, _, name in (each.partition(" ") for each in drops))


def problems(resources: Iterable[Resource]) -> list[Diagnostic]:
    """Return an error for each connector whose block asks to drop what kplan cannot drop."""
    return [
        _refusal(each, why, each.origin.at("/on_delete"))
        for each in resources
        if isinstance(each, Connector) and (why := explain_refusal(each, each.rules.drop))
    ]


def _refusal(connector: Connector, why: str, span: Span | None) -> Diagnostic:
    help = "leave it out: the plan that deletes the connector has the statements for its database (K413)"
    return error(codes.K240, "this cannot be dropped", why, help=help, span=span, address=connector.address)


# -- in a plan --------------------------------------------------------------------------------------------------------
def with_drops(change: Change, stack: Stack, asked: Collection[str]) -> Change:
    """Return the change with what is dropped after it; `asked` is what the command line asks of all connectors."""
    words = _find_requested_drops(change, stack, asked)
    if not isinstance(change.before, Connector) or not words:
        return change
    chosen_drops = choose_drops(change.before, words)
    return _with_words(replace(change, options=replace(connector_options(change), drops=chosen_drops)))


def find_drop_problems(
    change: Change, stack: Stack, live: Live, asked: Collection[str], together: Sequence[Change]
) -> Iterator[Diagnostic]:
    """Yield what is wrong with what is dropped. `together` are the changes of all stacks that are planned with it."""
    words = _find_requested_drops(change, stack, asked)
    if not isinstance(change.before, Connector) or not words:
        return
    if why := explain_refusal(change.before, words):
        yield _refusal(change.before, why, change.span)
    yield from _contradictions(change, together, stack, live)


def _find_requested_drops(change: Change, stack: Stack, flag: Collection[str]) -> frozenset[str]:
    """Return what is asked for at its deletion: by the stack's block or entry, by what was applied last, or for this
    run.
    """
    if change.action not in (Action.DELETE, Action.REPLACE):
        return frozenset()
    entry = next((each for each in stack.removed if each.address == change.address), None)
    before = change.before if isinstance(change.before, Connector) else None
    declared = change.after or stack.resources.get(change.address)
    applied = change.owner.applied if change.owner else None
    if entry is not None and entry.drop is not None:
        said = entry.drop
    else:
        said = next((each.rules.drop for each in (declared, applied) if each is not None), Rules().drop)
    meant = [word for word in flag if before and engine_of(before) and _is_its(word, before)]
    return said | frozenset(meant)


def _is_its(word: str, connector: Connector) -> bool:
    """Whether a word that is said for all connectors is meant for this one, too."""
    return "=" not in word or word.replace("=", " ", 1) in _list_own(connector)


def _list_own(connector: Connector) -> tuple[str, ...]:
    rules = drop_rules_of(connector)
    return rules.list_own(connector) if rules is not None else ()


def _with_effect(change: Change, effect: str) -> Change:
    return replace(change, options=replace(change.options, effects=(*change.options.effects, effect)))


def _with_words(change: Change) -> Change:
    if not drops_of(change):
        said = "nothing to drop in its database: the server keeps no binary log for it"
        rules = drop_rules_of(change.before) if isinstance(change.before, Connector) else None
        has_something = rules is not None and rules.statements
        return change if has_something else _with_effect(change, said)
    return _with_effect(change, f"then drops {' and '.join(drops_of(change))} in its database")


def _contradictions(change: Change, changes: Sequence[Change], stack: Stack, live: Live) -> Iterator[Diagnostic]:
    engine = engine_of(change.before) if isinstance(change.before, Connector) else None
    position = engine.position if engine is not None else None
    if keeps_offsets(change) and position is not None and any(d.startswith(position.word) for d in drops_of(change)):
        yield error(codes.K242, "offsets are kept of a slot that is dropped", str(change.address), span=change.span,
                    help="a connector that goes on from them would miss what happened since: leave one of both out",
                    address=change.address)  # fmt: skip
    going = {c.address for c in changes if c.action is Action.DELETE} | {change.address}
    coming = {c.address: c.after for c in changes if c.after is not None}
    others = {**live.resources, **coming, **stack.resources}
    for address, other in others.items():
        if address in going or not isinstance(other, Connector) or not isinstance(change.before, Connector):
            continue
        if shared := _find_shared_drop(change.before, other, drops_of(change)):
            yield error(codes.K241, "another connector needs what is to be dropped", f"{address} has {shared} too",
                        help="leave it out of what is dropped", span=change.span, address=change.address)  # fmt: skip


def _find_shared_drop(one: Connector, other: Connector, drops: Collection[str]) -> str:
    """Return what of `drops` the other connector has too, as far as both say the same of their database."""
    if other.java_class != one.java_class or any(_differ(one.config, other.config, key) for key in SAME_DATABASE):
        return ""
    return next((drop for drop in drops if drop in _list_own(other)), "")


def _differ(one: Mapping[str, Text], other: Mapping[str, Text], key: str) -> bool:
    a, b = one.get(key), other.get(key)
    return isinstance(a, str) and isinstance(b, str) and a != b


# -- whether it can be done -------------------------------------------------------------------------------------------
def hindrances(change: Change, question: DatabaseQuestion, state: DatabaseState) -> list[Diagnostic]:
    """Return why the connector's user could not drop it now."""
    rules = question.login.engine.drops
    obstacles = rules.list_obstacles(question, state, drops_of(change)) if rules is not None else ()
    return [report_hindered_drop(change, why) for why in obstacles]


def report_hindered_drop(change: Change, why: str) -> Diagnostic:
    """Return the problem with a drop that cannot be carried out, with the way round it."""
    help = f"leave `drop` out, and run this in the database afterwards: {statements(drops_of(change))}"
    place = change.span or (change.after.origin.span if change.after else None)
    summary = "what is to be dropped cannot be dropped"
    return Diagnostic(codes.K326.number, Severity.ERROR, summary, why, help, place, str(change.address))


# -- the login of a saved or interrupted run --------------------------------------------------------------------------
def secret_names(changes: Iterable[Change]) -> tuple[str, ...]:
    """Return the sensitive variables that the logins of those changes need which drop something."""
    names: dict[str, None] = {}
    for change in changes:
        for secret in _secrets(change).values():
            names.update(dict.fromkeys(references(secret.ref)))
    return tuple(names)


def with_login(change: Change, values: Mapping[str, str | None]) -> Change:
    """Return the change with the values of the secrets that its connector had, as the stack that was applied
    last says.
    """
    found = {key: Secret(s.ref, resolve(s.ref, values)) for key, s in _secrets(change).items()}
    if not found or not isinstance(change.before, Connector):
        return change
    return replace(change, before=replace(change.before, config={**change.before.config, **found}))


def _secrets(change: Change) -> dict[str, Secret]:
    """Return what the connector had, where only its reference is known."""
    applied = change.owner.applied if change.owner else None
    if not drops_of(change) or not isinstance(change.before, Connector) or not isinstance(applied, Connector):
        return {}
    return {
        key: said
        for key, value in change.before.config.items()
        if isinstance(value, Secret) and value.value is None
        if isinstance(said := applied.config.get(key), Secret) and said.ref
    }
