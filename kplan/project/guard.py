"""Guards: what a stack or an environment demands of every resource."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from kplan.diagnostics import Diagnostic, codes, error
from kplan.kinds.registry import KINDS
from kplan.language import limits as bounded
from kplan.model import Address, Guards, Resource, Secret, Text


def check(resources: Mapping[Address, Resource], guards: Guards, internal: Collection[str]) -> list[Diagnostic]:
    """Each resource that does not meet a guard; names of a template's internal topics are Debezium's, not judged."""
    problems: list[Diagnostic] = []
    if guards.naming:
        problems += _naming(resources, guards, internal)
    if guards.schemas:
        problems += _schemas(resources, guards)
    return problems


def _naming(resources: Mapping[Address, Resource], guards: Guards, internal: Collection[str]) -> list[Diagnostic]:
    found = []
    topics = [r for a, r in resources.items() if a.kind == "topic" and a.name not in internal]
    for pattern in guards.naming:
        try:
            found += [_misnamed(topic, pattern) for topic in topics if not _named(pattern, topic.name)]
        except ValueError as e:
            found.append(error(codes.K213, "a guard cannot be used", f"{pattern}: {e}", span=guards.span))
    return found


def _named(pattern: str, name: str) -> bool:
    return bounded.pattern(pattern).found_in(name)


def _misnamed(topic: Resource, pattern: str) -> Diagnostic:
    return error(
        codes.K213,
        "a guard is not met",
        f"{topic.name} does not match {pattern}",
        span=topic.origin.span,
        address=topic.address,
        help="rename the topic, or change `guards: naming`",
    )


def _schemas(resources: Mapping[Address, Resource], guards: Guards) -> list[Diagnostic]:
    found = []
    for kind, schemas in guards.schemas.items():
        for schema in schemas:
            full = _fragment(schema)
            judged = [resource for address, resource in resources.items() if address.kind == kind]
            problem = bounded.schema_problem(full)
            if not problem and bounded.size(full) * len(judged) > bounded.MOST_STEPS:
                problem = f"it is too large for {len(judged):,} resources"
            try:
                for resource in () if problem else judged:
                    found += [_problem(resource, e) for e in bounded.violations(full, _plain(resource))]
            except (ValueError, RecursionError) as e:
                problem = str(e)
            if problem:
                found.append(error(codes.K213, "a guard cannot be used", problem, span=guards.span))
    return found


def _fragment(schema: Any) -> Any:
    """The JSON Schema: what is none of its keywords names a property, as in `{partitions: {maximum: 200}}`."""
    named = {k: _fragment(v) for k, v in schema.items() if k not in _KEYWORDS} if isinstance(schema, dict) else {}
    if not named:
        return schema
    kept = {key: value for key, value in schema.items() if key in _KEYWORDS}
    known = kept.get("properties", {})
    return {**kept, "properties": {**known, **named} if isinstance(known, dict) else known}


# All that draft 2020-12 has.
_KEYWORDS = frozenset({
    "$anchor", "$comment", "$defs", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "$schema", "$vocabulary",
    "additionalProperties", "allOf", "anyOf", "const", "contains", "contentEncoding", "contentMediaType",
    "contentSchema", "default", "dependentRequired", "dependentSchemas", "deprecated", "description", "else",
    "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "if", "items", "maxContains", "maxItems",
    "maxLength", "maxProperties", "maximum", "minContains", "minItems", "minLength", "minProperties", "minimum",
    "multipleOf", "not", "oneOf", "pattern", "patternProperties", "prefixItems", "properties", "propertyNames",
    "readOnly", "required", "then", "title", "type", "unevaluatedItems", "unevaluatedProperties", "uniqueItems",
    "writeOnly",
})  # fmt: skip


def _plain(resource: Resource) -> dict[str, Any]:
    """The resource as a guard sees it: configs that are numbers are numbers, secrets are words."""
    view = KINDS[resource.address.kind].encoding.describe(resource)
    return {
        name: {key: _plain_value(each) for key, each in value.items()} if isinstance(value, Mapping) else value
        for name, value in view.items()
    }


def _plain_value(value: Text) -> Any:
    return "(sensitive)" if isinstance(value, Secret) else _number(value)


def _number(value: str) -> Any:
    if re.fullmatch(r"-?\d{1,19}", value):
        return int(value)
    if re.fullmatch(r"-?\d{1,19}\.\d{1,19}", value):  # a text would meet every `maximum`
        return float(value)
    return {"true": True, "false": False}.get(value, value)


def _problem(resource: Resource, e: Any) -> Diagnostic:
    path = "/" + "/".join(str(part) for part in e.absolute_path)
    what = path if path != "/" else str(resource.address)
    return error(
        codes.K213,
        "a guard is not met",
        f"{what}: {e.message}",
        span=resource.origin.at(path),
        address=resource.address,
        path=path,
        help="change the resource, or the guard",
    )
