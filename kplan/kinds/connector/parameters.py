"""The parameters of a connector's template: what the block says of them, and their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kplan.diagnostics import codes
from kplan.kinds.connector.block import ConnectorBlock
from kplan.kinds.expansion import KEY
from kplan.language import limits as bounded
from kplan.language import schema as schemas
from kplan.language.template import show_references


def read_parameters(block: ConnectorBlock, own: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the block's own keys with the template's defaults, None where one is missing or wrong."""
    if not block.template.name:
        return {}
    known = block.template.parameters.get("properties") or {}
    given = {k: v for k, v in own.items() if k in known}
    before = len(block.expansion.problems)
    _judge(block, given, block.template.parameters, block.path)
    return None if len(block.expansion.problems) > before else _fill_defaults(given, block.template.parameters)


def _judge(block: ConnectorBlock, value: Any, schema: Mapping[str, Any], path: KEY) -> None:
    """Report what of `value` does not meet the JSON Schema of the template's parameters."""
    if not bounded.reference_in(schema) and schemas.meets(show_references(value), schema):
        return
    problem = bounded.schema_problem(schema)
    try:
        failures = [] if problem else list(bounded.violations(schema, show_references(value)))
    except (ValueError, RecursionError) as e:
        problem = str(e)
    if problem:
        detail = f"{block.template.name}: {problem}"
        block.report(codes.K221, "a template's parameters are not a JSON Schema", detail, "correct the template")
        return
    reported: set[KEY] = set()  # jsonschema has one failure for each missing key, all with the same list
    for failure in failures:
        at = (*path, *failure.absolute_path)
        if failure.validator == "required":
            missing = [(*at, key) for key in failure.validator_value if key not in failure.instance]
            place = next((place for place in missing if place not in reported), at)
            reported.add(place)
            dotted = ".".join(map(str, place[2:]))
            detail = f"{block.template.name} needs `{dotted}`"
            block.expansion.report(codes.K221, "a template's parameter is missing", detail, at, "add it", key=True)
        elif failure.validator == "type" and isinstance(failure.instance, dict) is False and failure.instance is None:
            continue  # a template that could not be rendered, reported there
        else:
            block.expansion.report(
                codes.K221,
                "a template's parameter has a value that it may not have",
                f"{'.'.join(map(str, at[2:]))}: {failure.message}",
                at,
                str(failure.schema.get("description", "")),
            )


def _fill_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return `value` with the schema's defaults; a declared property without one is None, so a template may
    ask for it.
    """
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return schema.get("default") if value is None else value
    given = value if isinstance(value, Mapping) else {}
    return {**given, **{key: _fill_defaults(given.get(key), each) for key, each in properties.items()}}
