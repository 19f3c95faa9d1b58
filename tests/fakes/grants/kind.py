"""The kind `grant`, and how it is registered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest

from kplan.app import servers
from kplan.diagnostics import Diagnostic, codes, warning
from kplan.kinds import registry
from kplan.kinds.base import Consequences, Encoding
from kplan.kinds.comparison import Blocker, Compared, Comparison, Differing, Value, find_cause
from kplan.kinds.expansion import ExpansionContext
from kplan.kinds.language import Fragment, Language
from kplan.kinds.views import Views
from kplan.kinds.wording import Wording
from kplan.model import Action, Address, AttrDiff, Change, Health, Origin, Resource, Rules, Secret, Target, Undo
from kplan.model.fields import Json, drop_empty, read_integer, read_text
from tests.fakes.grants.server import GrantServer

SAFE = "-._:=,+@"  # characters of a part, besides letters and digits
LIMIT, SEAL = "/limit", "/seal"


@dataclass(frozen=True, slots=True)
class Grant(Resource):
    """`limit` can be raised and never lowered. `seal` cannot be read back: a live grant has none."""

    kind: ClassVar[str] = "grant"

    limit: int = 1
    seal: str = ""


def encode_part(text: str) -> str:
    """Return a part of an address; no character of it is one of a glob."""
    return quote(text, safe=SAFE)


class GrantEncoding(Encoding[Grant]):
    def encode(self, resource: Grant) -> Json:
        return {"limit": resource.limit, **drop_empty({"seal": resource.seal})}

    def decode(self, name: str, fields: Mapping[str, Any], origin: Origin, rules: Rules) -> Grant:
        return Grant(name, read_integer(fields, "limit", 1), read_text(fields, "seal"), origin=origin, rules=rules)

    def describe(self, resource: Grant) -> Mapping[str, Any]:
        return {"name": resource.name, **self.encode(resource)}


class GrantLanguage(Language):
    """`grants: {WHO: {read: [WHAT, …], limit: 2, seal: s}}`: one block declares a grant for each WHAT."""

    removal_words = ("grant",)
    leaves_with_its_line = True
    key_order = {"stack": {("grants", "*"): ("read", "write", "limit", "seal")}}
    fragments: Mapping[str, Fragment] = {
        "stack.v1": {
            "properties": {
                "grants": {
                    "type": ["object", "null"],
                    "description": "Grants by who has them.",
                    "additionalProperties": {"$ref": "#/$defs/grants"},
                }
            },
            "$defs": {
                "grants": {
                    "type": "object",
                    "description": "What somebody may do.",
                    "additionalProperties": False,
                    "properties": {
                        "for_each": {"$ref": "#/$defs/forEach"},
                        "read": {"type": "array", "description": "What may be read.", "items": {"type": "string"}},
                        "write": {"type": "array", "description": "What may be written.", "items": {"type": "string"}},
                        "limit": {"type": "integer", "description": "How often in a second."},
                        "seal": {"type": "string", "description": "A seal."},
                    },
                },
                "removed": {
                    "properties": {"grant": {"type": "string", "description": "Name of the grant."}},
                    "oneOf": [{"required": ["grant"]}],
                },
            },
        },
        "plan.v1": {
            "$defs": {
                "grant": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["limit"],
                    "properties": {
                        "limit": {"type": "integer"},
                        "seal": {"type": "string"},
                        "rules": {"$ref": "#/$defs/rules"},
                    },
                },
                "resource": {
                    "anyOf": [{"required": ["limit"]}],
                    "allOf": [{"if": {"required": ["limit"]}, "then": {"$ref": "#/$defs/grant"}}],
                },
            }
        },
    }

    def expand(self, context: ExpansionContext) -> None:
        for who in context.document.data.get("grants") or {}:
            path = ("grants", who)
            block = context.document.data["grants"][who]
            for scope in context.scopes(block, path, who):
                name = context.value(who, path, scope)
                own = context.block({k: v for k, v in block.items() if k != "for_each"}, path, scope)
                if name is None or own is None:
                    continue
                for verb in ("read", "write"):
                    for what in own.get(verb) or ():
                        grant = "/".join(map(encode_part, (str(name), verb, what)))
                        spans = {f"/{key}": context.document.at(*path, key) for key in ("limit", "seal") if key in own}
                        origin = Origin(context.document.key_at(*path), spans)
                        context.add(Grant(grant, own.get("limit", 1), own.get("seal", ""), origin=origin))

    def check(self, context: ExpansionContext) -> Iterator[Diagnostic]:
        for address, resource in context.resources.items():
            if isinstance(resource, Grant) and resource.limit > 1000:
                yield warning(codes.K108, "a limit that limits nothing", str(address), span=resource.origin.at(LIMIT))


class GrantComparison(Comparison[Grant]):
    def attributes(self, resource: Grant) -> Mapping[str, Value]:
        return {LIMIT: resource.limit, **({SEAL: resource.seal} if resource.seal else {})}

    def read_attribute(self, resource: Grant, path: str) -> Value:
        return self.attributes(resource).get(path)

    def is_same(self, path: str, one: Value, other: Value) -> bool:
        return one == other

    def uses(self, resource: Grant) -> frozenset[Address]:
        return frozenset()

    def compare(self, declared: Grant, live: Grant, applied: Grant | None) -> Compared:
        """A seal is compared with what was applied last, because no server tells it."""
        diffs = []
        if declared.limit != live.limit:
            last = applied.limit if applied else None
            cause = find_cause(declared.limit, live.limit, last, applied is not None)
            diffs.append(AttrDiff(LIMIT, live.limit, declared.limit, cause))
        if applied is not None and declared.seal != applied.seal:
            diffs.append(AttrDiff(SEAL, applied.seal or None, declared.seal or None))
        return Compared(tuple(diffs), (), 1 - bool(diffs))

    def find_differing(self, then: Grant, now: Grant) -> list[Differing]:
        return [] if then.limit == now.limit else [(LIMIT, then.limit, now.limit)]

    def find_set_since(self, change: Change, now: Grant) -> list[str]:
        return []

    def is_anothers(self, change: Change, now: Grant) -> bool:
        return False

    def find_blocker(self, declared: Grant, live: Grant, diff: AttrDiff) -> Blocker | None:
        return None

    def secrets(self, resource: Grant) -> Mapping[str, Secret]:
        return {}

    def with_values(self, resource: Grant, values: Mapping[str, Any]) -> Grant:
        return resource


class GrantConsequences(Consequences[Grant]):
    def phase(self, change: Change) -> int:
        return 120 if change.action is Action.DELETE else 50

    def decide_undo(self, change: Change, target: Target) -> Undo:
        if change.action is Action.UPDATE:
            return Undo("none", False, "a limit is never lowered")
        return Undo("delete" if change.action is Action.CREATE else "recreate", True)

    def complete_undo(self, change: Change, back: Change) -> Change:
        return back


class GrantViews(Views[Grant]):
    plural = "grants"
    shape = "rounded"

    def describe_row(self, resource: Grant, health: Health | None) -> Json:
        return {"limit": resource.limit}


class GrantWording(Wording):
    changing = "raising its limit"


class GrantKind:
    name = "grant"
    server = "vault"
    section = "grants"
    extends: tuple[tuple[str, str], ...] = ()
    compares_on_server = False
    is_in_every_plan = False
    reads_all = True
    unread_effect = ""
    reads_databases = False
    holds_secrets = False
    move_refusal = ("a grant cannot be renamed", "declare it under the new name")

    @cached_property
    def encoding(self) -> GrantEncoding:
        return GrantEncoding()

    @cached_property
    def language(self) -> GrantLanguage:
        return GrantLanguage()

    @cached_property
    def comparison(self) -> GrantComparison:
        return GrantComparison()

    @cached_property
    def consequences(self) -> GrantConsequences:
        return GrantConsequences()

    @cached_property
    def views(self) -> GrantViews:
        return GrantViews()

    @cached_property
    def wording(self) -> GrantWording:
        return GrantWording()

    def check_name(self, name: str) -> str:
        return "" if name.count("/") == 2 else "a grant is WHO/MAY/WHAT"


def open_grants(opening: servers.Opening) -> GrantServer:
    """Open the server of an environment: a file beside its state."""
    environment = opening.environment
    fail = environment.simulated.fail if environment.simulated else ()
    return GrantServer(Path(environment.folder, f"{environment.name}.grants"), fail)


def register(patch: pytest.MonkeyPatch) -> None:
    """Register the kind and its server, as long as the test runs."""
    patch.setitem(registry._kinds, "grant", GrantKind())
    patch.setitem(servers.BACKENDS, "grant", open_grants)
