"""The rules by which a change is dangerous, worth a warning or a note."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from kplan.diagnostics import codes
from kplan.diagnostics.codes.code import Code
from kplan.model import Address, Facts, Live, Resource, Risk
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """How bad it is (danger, caution or note), and the word that `accept:` in the stack takes for a danger."""

    level: str
    kind: str = ""
    is_by_name: bool = False  # `--accept` takes the exact address alone, no pattern


# What each means is in `codes`, as `kplan explain` prints it.
RULES: Mapping[str, Rule] = {
    code.number: Rule(code.level, kind, code is codes.K440)
    for code, kind in {
        codes.K401: "data-loss",
        codes.K402: "readers",
        codes.K403: "replace",
        codes.K404: "orphan",
        codes.K405: "data-loss",
        codes.K406: "data-loss",
        codes.K407: "offsets",
        codes.K408: "snapshot",
        codes.K409: "durability",
        codes.K410: "protect",
        codes.K411: "",
        codes.K412: "",
        codes.K413: "",
        codes.K414: "",
        codes.K415: "",
        codes.K416: "",
        codes.K418: "",
        codes.K420: "",
        codes.K421: "",
        codes.K422: "",
        codes.K423: "",
        codes.K430: "",
        codes.K440: "own-access",
        codes.K441: "shut-out",
        codes.K442: "access",
        codes.K443: "",
        codes.K444: "",
        codes.K445: "",
        codes.K450: "user",
        codes.K451: "",
        codes.K455: "",
        codes.K460: "schema",
        codes.K461: "",
        codes.K463: "schema",
        codes.K464: "schema",
    }.items()
}
ACCEPT_WORDS = tuple(dict.fromkeys(r.kind for r in RULES.values() if r.kind not in ("", "protect")))


@dataclass(frozen=True, eq=False)
class World:
    """What is there before all changes of a plan, in `live`, and after them.

    `stacks` are the names of those that are planned, `owners` those that own resources, by the ledger. `facts` are
    those of the topics that are in question. A world is equal to itself alone, so that what it implies can be kept.
    """

    live: Live = field(default_factory=lambda: Live())
    after: Mapping[Address, Resource] = field(default_factory=dict)
    stacks: tuple[str, ...] = ()
    owners: Mapping[Address, str] = field(default_factory=dict)
    facts: Mapping[Address, Facts] = field(default_factory=dict)


NO_WORLD = World()


@dataclass(frozen=True, slots=True)
class RiskContext:
    """What a change is judged by, in addition to itself.

    `facts` is what is stored and who reads it. `leftover` says how it is known that there are offsets of this name; it
    is empty where there are none. `now` is in milliseconds since 1970, None where this machine's clock is wrong.
    """

    facts: Facts | None = None
    leftover: str = ""
    now: int | None = None
    world: World = NO_WORLD


def make_risk(code: Code, summary: str, facts: Facts | None = None) -> Risk:
    """Return the risk of a rule, not accepted yet."""
    rule = RULES[code.number]
    return Risk(code.number, rule.level, summary, rule.kind, facts=facts)
