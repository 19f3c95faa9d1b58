"""Connector templates: what a connector of a known plugin has in common, each extending another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from kplan.diagnostics import Diagnostic, codes, error
from kplan.language.source import Document
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A connector template, with what it extends merged in. `document` is its own file, for places of problems."""

    name: str
    java_class: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    table: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    topics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    unique: tuple[str, ...] = ()
    always: tuple[str, ...] = ()  # settings that count although a block says `template_defaults: false`
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)


def blueprint(
    name: str, read: Callable[[str], tuple[Document | None, Sequence[Diagnostic]]], seen: tuple[str, ...] = ()
) -> tuple[Blueprint | None, list[Diagnostic]]:
    """Return the template `name` with all it extends; `read` gives a template's document or None."""
    document, diagnostics = read(name)
    problems = list(diagnostics)
    if document is None or problems:
        return None, problems
    data = document.data
    parameters = data.get("parameters") or {}
    if parameters and "properties" not in parameters and "type" not in parameters:
        parameters = {"type": "object", "properties": parameters}  # the short form: names and their schemas
    parent = Blueprint(name)
    if data.get("extends"):
        if data["extends"] in (*seen, name) or len(seen) > 8:
            return None, [
                error(
                    codes.K208,
                    "templates extend each other",
                    " -> ".join((*seen, name, data["extends"])),
                    span=document.at("extends"),
                )
            ]
        found, problems = blueprint(data["extends"], read, (*seen, name))
        if found is None:
            return None, problems or [
                error(codes.K207, "there is no such template", data["extends"], span=document.at("extends"))
            ]
        parent = found
    return Blueprint(
        name,
        data.get("class") or parent.java_class,
        merge_schemas(parent.parameters, parameters),
        merge_schemas(parent.config, data.get("config") or {}),
        merge_schemas(parent.table, data.get("table") or {}),
        merge_schemas(parent.columns, data.get("columns") or {}),
        merge_schemas(parent.topics, data.get("topics") or {}),
        merge_schemas(parent.defaults, data.get("defaults") or {}),
        tuple(dict.fromkeys([*parent.unique, *(data.get("unique") or ())])),
        tuple(dict.fromkeys([*parent.always, *(data.get("always") or ())])),
        merge_schemas(parent.values, data.get("values") or {}),
        merge_schemas(parent.renamed, data.get("renamed") or {}),
    ), []


def merge_schemas(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two schemas: maps merge, `required` lists add up, and all else of `over` wins."""
    result = dict(under)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            result[key] = merge_schemas(old, value)
        elif key == "required" and isinstance(old, list) and isinstance(value, list):
            result[key] = [*old, *value]
        else:
            result[key] = value
    return result
