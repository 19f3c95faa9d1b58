"""The values of names in Terraform's configuration, as far as literals, variables and locals give them."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Final

from kplan.diagnostics import Invalid, Span
from kplan.importers.reading import file_error
from kplan.importers.terraform_expressions import Opaque, UnknownValue, evaluate
from kplan.importers.terraform_types import complete_value
from kplan.language.source import NODE_CHARACTERS
from kplan.model import is_sensitive_key
from kplan.values import dataclass

MAX_REFERENCES: Final = 9  # that lead from one to the next
MAX_VALUES: Final = 100_000  # that references to locals and variables may make of the ones that are written
EXPRESSION: Final = re.compile(r"(?<![$%])[$%]\{")
ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([nrt"\\]))|([$%])\4(?=\{)')
ESCAPED_LETTERS: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class InstanceNames:
    """The names of a resource that `count` or `for_each` makes several times, as they are written."""

    names: Mapping[str, Any]
    body: Mapping[str, Any]
    span: Span


@dataclass(slots=True)
class TerraformScope:
    """The values of the names `var.…` and `local.…` of a folder: as they are written, or `given` to a module."""

    values: dict[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)  # computed by the caller
    sensitive: set[str] = field(default_factory=set)
    defaults: set[str] = field(default_factory=set)  # variables that no file sets
    used: set[str] = field(default_factory=set)
    types: dict[str, str] = field(default_factory=dict)  # of variables, as they are written
    value_count: list[int] = field(default_factory=lambda: [0])  # over all uses
    bound: Mapping[str, Any] = field(default_factory=dict)  # `each` and `count` of one resource
    hides_secrets: bool = False  # whether sensitive values count as unknown

    def count_values(self, number: int) -> None:
        """Count values. Raises Invalid where references make too many values."""
        self.value_count[0] += number
        if self.value_count[0] > MAX_VALUES:
            raise file_error(f"its locals and variables make more than {MAX_VALUES:,} values of each other", None)

    def merge(self, other: TerraformScope) -> None:
        self.values |= other.values
        self.types |= other.types
        self.sensitive |= other.sensitive
        self.defaults |= other.defaults

    def find(self, reference: str, depth: int) -> Any:
        """Return the value of `var.…` or `local.…`. Raises UnknownValue."""
        self.used.add(reference)
        if depth > MAX_REFERENCES or (self.hides_secrets and reference in self.sensitive):
            raise UnknownValue(reference)
        if reference in self.given and not isinstance(self.given[reference], Opaque):
            return self._complete(reference, self.given[reference])
        if reference in self.given or reference not in self.values:
            raise UnknownValue(reference)
        value = self.values[reference]
        if isinstance(value, InstanceNames):
            return self._resolve_names(value, depth + 1)
        return self._complete(reference, resolve(value, self, depth + 1))

    def _complete(self, reference: str, value: Any) -> Any:
        """Return the value of a variable as its type has it."""
        text = self.types.get(reference)
        return complete_value(value, text, self.count_values) if text else value

    def _resolve_names(self, names: InstanceNames, depth: int) -> Any:
        """Return the names of each instance of a resource: by key, or by number. Raises UnknownValue."""
        scopes = [replace(self, bound=bound) for _, bound in list_instances(self, names.body, names.span, depth)]
        by_key = {scope.bound.get("each", {}).get("key", n): resolve(names.names, scope, depth)
                  for n, scope in enumerate(scopes)}  # fmt: skip
        return list(by_key.values()) if "count" in names.body else {str(key): value for key, value in by_key.items()}


def resolve(value: Any, scope: TerraformScope, depth: int = 0) -> Any:
    """Return the value with variables and locals put in; what is unknown inside it is Opaque. Raises UnknownValue."""
    if isinstance(value, list):
        scope.count_values(len(value))
        return [_resolve_inside(each, scope, depth) for each in value]
    if isinstance(value, dict):
        scope.count_values(len(value))
        return {str(resolve(key, scope, depth)): _resolve_inside(each, scope, depth) for key, each in value.items()}
    if not isinstance(value, str):
        return value
    if not EXPRESSION.search(value):
        scope.count_values(len(value) // NODE_CHARACTERS)
        return ESCAPE.sub(_unescape, value)
    find = lambda kind, name: scope.find(f"{kind}.{name}", depth)  # noqa: E731
    return evaluate(value, find, scope.bound, scope.count_values)


def _resolve_inside(value: Any, scope: TerraformScope, depth: int) -> Any:
    try:
        return resolve(value, scope, depth)
    except UnknownValue as e:
        return Opaque(str(e))


def _unescape(match: re.Match[str]) -> str:
    code = int(match[1] or match[2] or "0", 16)
    if code > sys.maxunicode or 0xD800 <= code <= 0xDFFF:
        raise file_error(f"{match[0]} is not a character", None)
    return chr(code) if match[1] or match[2] else ESCAPED_LETTERS[match[3]] if match[3] else match[4]


def list_instances(
    scope: TerraformScope, body: Mapping[str, Any], span: Span, depth: int = 0
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the index of each instance of a block, with what is bound in it. Raises UnknownValue and Invalid."""
    if "count" in body:
        count = resolve_at(body["count"], scope, span, depth)
        number = int(count) if str(count).isdigit() else -1
        if number < 0:
            raise file_error(f"count is {count!r}", span, "it is a whole number")
        scope.count_values(number)
        return [(f"[{n}]", {"count": {"index": n}}) for n in range(number)]
    if "for_each" not in body:
        return [("", {})]
    items = resolve_at(body["for_each"], scope, span, depth)
    if not isinstance(items, dict | list):
        raise file_error("for_each is neither a map nor a set", span)
    if isinstance(items, list):
        require_whole(items)
    pairs = items.items() if isinstance(items, dict) else ((item, item) for item in items)
    return [(f"[{key!r}]", {"each": {"key": key, "value": value}}) for key, value in pairs]


def resolve_at(value: Any, scope: TerraformScope, span: Span, depth: int = 0) -> Any:
    """Resolve as `resolve`; an error has the place of the resource. Raises UnknownValue and Invalid."""
    try:
        return resolve(value, scope, depth)
    except Invalid as e:
        raise Invalid([replace(each, span=each.span or span) for each in e.diagnostics]) from e


def resolve_whole(value: Any, scope: TerraformScope, span: Span) -> Any:
    """Resolve a value of which all must be known. Raises UnknownValue and Invalid."""
    return require_whole(resolve_at(value, scope, span))


def require_whole(value: Any) -> Any:
    """Return the value. Raises UnknownValue where a part of it is unknown."""
    if unknown := find_opaque(value):
        unknown.refuse()
    return value


def find_opaque(value: Any) -> Opaque | None:
    """Return the first part of a value that only Terraform knows."""
    if isinstance(value, Opaque):
        return value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for each in inner if (found := find_opaque(each))), None)


@dataclass(slots=True)
class MapEntries:
    """The entries whose values are known, which of them are secret, and the keys of unknown values."""

    kept: dict[str, Any] = field(default_factory=dict)
    sensitive: set[str] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)  # by key, of which no more is known than their expression

    def add_unknown(self, key: str, is_secret: bool, expression: str = "") -> None:
        if is_secret or is_sensitive_key(key):
            self.secrets[key] = expression
        else:
            self.unknown.append(key)


def resolve_map(value: Any, scope: TerraformScope, span: Span) -> MapEntries:
    """Return the entries of a map, or of an expression that makes one. Raises UnknownValue and Invalid."""
    if isinstance(value, str) and EXPRESSION.search(value):
        return _resolve_expression(value, scope, span)
    entries = MapEntries()
    for written_key, entry in (value or {}).items():
        own_scope = replace(scope, used=set())
        key = written_key
        try:
            key = str(resolve_at(written_key, own_scope, span))
            resolved = resolve_whole(entry, own_scope, span)
            if resolved is not None:
                entries.kept[key] = resolved
        except UnknownValue:
            entries.add_unknown(key, bool(own_scope.used & scope.sensitive), str(entry))
        if own_scope.used & scope.sensitive:
            entries.sensitive.add(key)
        scope.used |= own_scope.used
    return entries


def _resolve_expression(value: str, scope: TerraformScope, span: Span) -> MapEntries:
    """Return the entries of a map that an expression makes; where a secret decides about it, all of them are secret."""
    entries = MapEntries()
    try:
        resolved = resolve_at(value, replace(scope, hides_secrets=True), span)
        is_secret = False
    except UnknownValue:
        own_scope = replace(scope, used=set())
        resolved = resolve_at(value, own_scope, span)
        is_secret = bool(own_scope.used & scope.sensitive)
        scope.used |= own_scope.used
    if not isinstance(resolved, dict | None):
        raise file_error("an expression does not make a map", span)
    for key, entry in (resolved or {}).items():
        if unknown := find_opaque(entry):
            entries.add_unknown(key, unknown.reference in scope.sensitive)
        elif entry is not None:
            entries.kept[key] = entry
    entries.sensitive |= {*entries.kept} if is_secret else set()
    return entries
