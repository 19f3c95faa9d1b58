"""Guards: what a stack or an environment demands of every resource."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from kplan.diagnostics import Diagnostic, error
from kplan.model import Address, Guards, Resource, Secret, Topic


def check(resources: Mapping[Address, Resource], guards: Guards, internal: Collection[str]) -> list[Diagnostic]:
    """Each resource that does not meet a guard; names of a template's internal topics are Debezium's, not judged."""
    problems: list[Diagnostic] = []
    if guards.naming:
        problems += _naming(resources, guards, internal)
    if guards.topic or guards.connector:
        problems += _schemas(resources, guards)
    return problems


def _naming(resources: Mapping[Address, Resource], guards: Guards, internal: Collection[str]) -> list[Diagnostic]:
    found = []
    for pattern in guards.naming:
        try:
            compiled = re.compile(pattern)
        except re.error as e:
            found.append(error("K213", "a guard is no regular expression", f"{pattern}: {e}", span=guards.span))
            continue
        for address, resource in resources.items():
            if address.kind == "topic" and address.name not in internal and not compiled.search(address.name):
                found.append(
                    error(
                        "K213",
                        "a guard is not met",
                        f"{address.name} does not match {pattern}",
                        span=resource.origin.span,
                        address=address,
                        help="rename the topic, or change `guards: naming`",
                    )
                )
    return found


def _schemas(resources: Mapping[Address, Resource], guards: Guards) -> list[Diagnostic]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    found = []
    for kind, schemas in (("topic", guards.topic), ("connector", guards.connector)):
        for schema in schemas:
            full = (
                schema
                if any(k in schema for k in ("properties", "type", "required", "allOf", "anyOf", "oneOf", "not"))
                else {"properties": {k: _fragment(v) for k, v in schema.items()}}
            )
            try:
                Draft202012Validator.check_schema(full)
            except SchemaError as e:
                found.append(error("K213", "a guard is no JSON Schema", e.message, span=guards.span))
                continue
            validator = Draft202012Validator(full)
            for address, resource in resources.items():
                if address.kind == kind:
                    found += [_problem(resource, e) for e in validator.iter_errors(_plain(resource))]
    return found


def _fragment(schema: Any) -> Any:
    """`{minimum: 1}` demands a value; a map of configs is a schema of its own."""
    if isinstance(schema, dict) and not schema.keys() & _KEYWORDS:
        return {"properties": {k: _fragment(v) for k, v in schema.items()}}
    return schema


_KEYWORDS = {
    "type",
    "minimum",
    "maximum",
    "enum",
    "const",
    "pattern",
    "required",
    "properties",
    "not",
    "anyOf",
    "allOf",
    "oneOf",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "items",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "if",
    "$ref",
    "description",
}


def _plain(resource: Resource) -> dict[str, Any]:
    """The resource as a guard sees it: configs that are numbers are numbers, secrets are words."""
    config = {k: "(sensitive)" if isinstance(v, Secret) else _number(v) for k, v in resource.config.items()}
    if isinstance(resource, Topic):
        return {
            "name": resource.name,
            "partitions": resource.partitions,
            "config": config,
            "replication_factor": resource.replication_factor,
        }
    return {"name": resource.name, "class": resource.java_class, "state": resource.state, "config": config}


def _number(value: str) -> Any:
    if re.fullmatch(r"-?\d{1,19}", value):
        return int(value)
    return {"true": True, "false": False}.get(value, value)


def _problem(resource: Resource, e: Any) -> Diagnostic:
    path = "/" + "/".join(str(part) for part in e.absolute_path)
    what = path if path != "/" else str(resource.address)
    return error(
        "K213",
        "a guard is not met",
        f"{what}: {e.message}",
        span=resource.origin.at(path),
        address=resource.address,
        path=path,
        help="change the resource, or the guard",
    )
