"""Check guards: what a stack or an environment demands of every resource."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from kplan.diagnostics import Diagnostic, codes, error
from kplan.kinds.registry import KINDS
from kplan.language import limits as bounded
from kplan.model import Address, Guards, Resource, Secret


def check_guards(resources: Mapping[Address, Resource], guards: Guards, internal: Collection[str]) -> list[Diagnostic]:
    """Return each violation of a guard; names of a template's internal topics are Debezium's and are not checked."""
    problems: list[Diagnostic] = []
    if guards.naming:
        problems += _check_names(resources, guards, internal)
    if guards.schemas:
        problems += _check_schemas(resources, guards)
    return problems


def _check_names(resources: Mapping[Address, Resource], guards: Guards, internal: Collection[str]) -> list[Diagnostic]:
    problems = []
    topics = [r for a, r in resources.items() if KINDS[a.kind].language.is_named_by_guards and a.name not in internal]
    for pattern in guards.naming:
        try:
            problems += [_report_name(topic, pattern) for topic in topics if not _matches(pattern, topic.name)]
        except ValueError as e:
            problems.append(error(codes.K213, "a guard cannot be used", f"{pattern}: {e}", span=guards.span))
    return problems


def _matches(pattern: str, name: str) -> bool:
    return bounded.pattern(pattern).found_in(name)


def _report_name(topic: Resource, pattern: str) -> Diagnostic:
    return error(
        codes.K213,
        "a guard is not met",
        f"{topic.name} does not match {pattern}",
        span=topic.origin.span,
        address=topic.address,
        help="rename the topic, or change `guards: naming`",
    )


def _check_schemas(resources: Mapping[Address, Resource], guards: Guards) -> list[Diagnostic]:
    problems = []
    for kind, schemas in guards.schemas.items():
        for schema in schemas:
            whole_schema = complete_schema(schema)
            checked = [resource for address, resource in resources.items() if address.kind == kind]
            problem = bounded.schema_problem(whole_schema)
            if not problem and bounded.size(whole_schema) * len(checked) > bounded.MOST_STEPS:
                problem = f"it is too large for {len(checked):,} resources"
            try:
                for resource in () if problem else checked:
                    problems += [
                        _report_violation(resource, e)
                        for e in bounded.violations(whole_schema, _describe_resource(resource))
                    ]
            except (ValueError, RecursionError) as e:
                problem = str(e)
            if problem:
                problems.append(error(codes.K213, "a guard cannot be used", problem, span=guards.span))
    return problems


def complete_schema(schema: Any) -> Any:
    """Return the JSON Schema: other keys than its keywords name properties, as in `{partitions: {maximum: 200}}`."""
    properties = (
        {k: complete_schema(v) for k, v in schema.items() if k not in _KEYWORDS} if isinstance(schema, dict) else {}
    )
    if not properties:
        return schema
    keywords = {key: value for key, value in schema.items() if key in _KEYWORDS}
    declared = keywords.get("properties", {})
    return {**keywords, "properties": {**declared, **properties} if isinstance(declared, dict) else declared}


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


def _describe_resource(resource: Resource) -> dict[str, Any]:
    """Return the resource as a guard sees it: configs that are numbers are numbers, secrets are words."""
    return parse_numbers(KINDS[resource.address.kind].encoding.describe(resource))


def parse_numbers(view: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes; in a map of settings, texts that are numbers or booleans are numbers and booleans."""
    return {
        name: {key: _simplify(item) for key, item in value.items()} if isinstance(value, Mapping) else value
        for name, value in view.items()
    }


def _simplify(value: Any) -> Any:
    if isinstance(value, Secret):
        return "(sensitive)"
    return _parse_number(value) if isinstance(value, str) else value


def _parse_number(value: str) -> Any:
    if re.fullmatch(r"-?\d{1,19}", value):
        return int(value)
    if re.fullmatch(r"-?\d{1,19}\.\d{1,19}", value):  # a text would meet every `maximum`
        return float(value)
    return {"true": True, "false": False}.get(value, value)


def _report_violation(resource: Resource, violation: Any) -> Diagnostic:
    path = "/" + "/".join(str(part) for part in violation.absolute_path)
    subject = path if path != "/" else str(resource.address)
    return error(
        codes.K213,
        "a guard is not met",
        f"{subject}: {violation.message}",
        span=resource.origin.at(path),
        address=resource.address,
        path=path,
        help="change the resource, or the guard",
    )
