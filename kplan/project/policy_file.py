"""Read policies, from kplan.yaml or from a file of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.kinds.schemas import read_schema
from kplan.language import limits as bounded
from kplan.language.source import Document
from kplan.model.policies import DENY, Policy, Selector
from kplan.project.guard import complete_schema

SECTION = "policies"
FILE = "file"  # the key that names a file of further policies
_KNOWN_SCHEMAS: dict[int, tuple[Mapping[str, Any], dict[str, Any]]] = {}  # by the identity of the one they come from


def read_file_schema() -> Mapping[str, Any]:
    """Return the schema of a file of policies: what `policies:` in kplan.yaml may be, without `file:`."""
    whole = read_schema("environments.v1")
    if id(whole) not in _KNOWN_SCHEMAS:
        policies = whole["$defs"][SECTION]
        own = {key: value for key, value in policies["properties"].items() if key != FILE}
        _KNOWN_SCHEMAS[id(whole)] = (whole, {**policies, "properties": own, "$defs": whole["$defs"]})
    return _KNOWN_SCHEMAS[id(whole)][1]


def find_file(document: Document) -> str:
    """Return the file that kplan.yaml names for policies; empty where it names none."""
    written = document.data.get(SECTION)
    return str(written[FILE]) if isinstance(written, Mapping) and isinstance(written.get(FILE), str) else ""


def read_policies(document: Document, path: Sequence[str] = ()) -> tuple[list[Policy], list[Diagnostic]]:
    """Return the policies at `path` of a document that meets its schema, and what is wrong with them."""
    data: Any = document.data
    for key in path:
        data = data.get(key) or {}
    reader = _PolicyReader(document)
    policies = [reader.read(name, body, (*path, key)) for name, body, key in _list_bodies(data or {})]
    return policies, reader.problems


def find_same_names(policies: Iterable[Policy]) -> list[Diagnostic]:
    """Return an error for each policy whose name another one has too."""
    places: dict[str, Span | None] = {}
    problems = []
    for policy in policies:
        if policy.name in places:
            detail = f"policy {policy.name}: at {places[policy.name]} too"
            help = "give each policy its own name"
            problems.append(error(codes.K290, "two policies have one name", detail, help=help, span=policy.span))
        places.setdefault(policy.name, policy.span)
    return problems


def _list_bodies(data: Any) -> Iterator[tuple[str, Mapping[str, Any], str | int]]:
    """Yield name, body and key of each policy."""
    if isinstance(data, list):
        for number, body in enumerate(data):
            yield str(body["name"]), body, number
    else:
        for name, body in data.items():
            if name != FILE or isinstance(body, Mapping):
                yield name, body, name


class _PolicyReader:
    """Read policies and collect their problems."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Diagnostic] = []

    def read(self, name: str, body: Mapping[str, Any], path: tuple[str | int, ...]) -> Policy:
        exemptions = body.get("unless") or []
        schema = complete_schema(body["require"]) if "require" in body else None
        span = self.document.at(*path, "name") if isinstance(path[-1], int) else self.document.key_at(*path)
        if schema is not None and (problem := _find_schema_problem(schema)):
            place = self.document.at(*path, "require")
            self.problems.append(error(codes.K290, "a policy cannot be used", f"policy {name}: {problem}", span=place))
        return Policy(
            name,
            _read_selector(body.get("match") or {}),
            tuple(map(_read_selector, exemptions if isinstance(exemptions, list) else [exemptions])),
            schema,
            str(body.get("level") or DENY),
            str(body.get("message") or ""),
            span,
        )


def _read_selector(data: Mapping[str, Any]) -> Selector:
    listed = {key: value if isinstance(value, list) else [value] for key, value in data.items()}
    return Selector({key: tuple(map(str, values)) for key, values in listed.items()})


def _find_schema_problem(schema: Mapping[str, Any]) -> str:
    """Return why the schema cannot judge a change; empty where it can."""
    if problem := bounded.schema_problem(schema):
        return problem
    known = read_schema("plan.v1")["$defs"]["change"]["properties"]
    declared = [*schema.get("properties", {}), *schema.get("required", [])]
    unknown = [key for key in declared if key not in known]
    if not unknown:
        return ""
    from kplan.language.variables import _nearest

    return f"a change has no `{unknown[0]}`{_nearest(unknown[0], known)}"
