"""Writes the copies of connector templates and topic configs from their sources: `make docs`.

docs/reference/templates.md is for people. schemas/stack.v1.json gets the parameters, for editors and kplan's own check.
It and schemas/environments.v1.json get the topic configs, for editors.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from kplan.kinds.connector.templates import Blueprint, blueprint  # noqa: E402
from kplan.kinds.topic.configs import CONFIGS, ConfigKey, human  # noqa: E402
from kplan.language.template import Scope, render  # noqa: E402
from kplan.project.loading import list_built_in_templates, load_built_in  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "templates.md"
SCHEMA = ROOT / "schemas" / "stack.v1.json"
ENVIRONMENTS = ROOT / "schemas" / "environments.v1.json"
TITLE = "a connector of template "  # of the parameters' part of the schema
TEMPLATE = r"\{\{"  # the pattern that lets a template stand for a value
ROLES = {
    "heartbeat": "proves that the connector works",
    "transactions": "begin and end of each transaction, with `transactions`",
    "signals": "read for signals, with `signal.topic`",
    "notifications": "the results of signals, with `signal.topic`",
    "signal table": "changes of the table of signals, with `signal.table`",
    "history": "the tables' structure over time; the connector cannot restart without it",
    "schema-changes": "changes of the tables' structure, for other readers",
    "control": "by which the tasks agree on commits",
    "messages": "of `pg_logical_emit_message`, with `message.prefix.include.list` under `config:`",
}


def templates() -> list[Blueprint]:
    """The built-in templates with what they extend."""
    found = [blueprint(name, lambda each: (load_built_in(each), []))[0] for name in list_built_in_templates()]
    return [each for each in found if each is not None]


# For editors


def definition(name: str) -> str:
    """`debezium-mysql` -> `debeziumMysql`, the name of its parameters in the schema."""
    first, *rest = re.split(r"[-_]", name)
    return first + "".join(part.capitalize() for part in rest)


def schema() -> dict[str, Any]:
    """schemas/stack.v1.json with the parameters that the templates have now."""
    whole: dict[str, Any] = json.loads(SCHEMA.read_text("utf-8"))
    made = templates()
    definitions = {k: v for k, v in whole["$defs"].items() if not k.startswith("parameter") and not _is_made(v)}
    connector = definitions["connector"]
    connector["properties"]["template"]["examples"] = [each.name for each in made]
    plain = connector["allOf"][-1]
    connector["allOf"] = [*map(_chosen, made), plain]
    common = list(connector["properties"])
    asked = {each.name: _offered(each.parameters) for each in made}
    parameters = {name: _optional(offered) for name, offered in asked.items()}
    shared = _shared(parameters.values())
    definitions |= {_parameter(name): each for name, each in shared.items()}
    for each in made:
        offered = parameters[each.name]
        own = {name: _by_reference(name, form, shared) for name, form in offered["properties"].items()}
        definitions[definition(each.name)] = {
            "title": f"{TITLE}{each.name}",
            "properties": {**dict.fromkeys(common, True), **own},
            "additionalProperties": False,
        }
    for last in ("plainConnector", "connectorRequired", "connectorDefaults"):
        definitions[last] = definitions.pop(last)
    definitions["connectorRequired"]["allOf"] = [_asking(name, offered) for name, offered in asked.items()]
    forms = definitions["connectorDefaults"]["properties"]
    inherited = {key: form for key, form in forms.items() if key in common}
    definitions["connectorDefaults"]["properties"] = {**inherited, **_inherited(parameters.values(), shared)}
    return with_configs({**whole, "$defs": definitions})


def _optional(form: Mapping[str, Any]) -> dict[str, Any]:
    """The form without what it requires."""
    result = {key: value for key, value in form.items() if key != "required"}
    if "properties" in result:
        result["properties"] = {name: _optional(each) for name, each in result["properties"].items()}
    return result


def _is_made(form: Mapping[str, Any]) -> bool:
    return str(form.get("title", "")).startswith(TITLE)


def _asking(name: str, offered: Mapping[str, Any]) -> dict[str, Any]:
    """What a connector of a template must have; the stack's `defaults.connector` can have it for all."""
    return {"if": _has_template(name), "then": _required(offered)}


def _required(form: Mapping[str, Any]) -> dict[str, Any]:
    names = form.get("required") or ()
    below = {
        name: {**_required(each), **({"examples": each["examples"]} if name in names else {})}
        for name, each in (form.get("properties") or {}).items()
    }
    required = {"required": names} if names else {}
    properties = {name: each for name, each in below.items() if each}
    return {**required, **({"properties": properties} if properties else {})}


def _inherited(offered: Iterable[Mapping[str, Any]], shared: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of all templates as `defaults.connector` has them: where their forms differ, any value."""
    forms: dict[str, list[Any]] = {}
    for each in offered:
        for name, form in each["properties"].items():
            forms.setdefault(name, []).append(form)
    return {
        name: _by_reference(name, found[0], shared)
        if all(form == found[0] for form in found)
        else {"description": found[0]["description"], "examples": found[0]["examples"]}
        for name, found in sorted(forms.items())
    }


def with_configs(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with each of Kafka's topic configs under `$defs/topicConfig`. What a value may be, kplan checks."""
    config = {key: value for key, value in schema["$defs"]["topicConfig"].items() if key != "properties"}
    value = config.pop("additionalProperties")
    form = {key: value[key] for key in ("type", "items")}
    offered = {
        name: {**form, "description": _meaning(each), "examples": _values(each)} for name, each in CONFIGS.items()
    }
    config |= {"properties": offered, "additionalProperties": value}
    return {**schema, "$defs": {**schema["$defs"], "topicConfig": config}}


def _meaning(key: ConfigKey) -> str:
    default = f"Kafka's default is {human(key.name, key.default) or key.default}." if key.default else ""
    return f"{key.doc} {key.constraint[0].upper()}{key.constraint[1:]}. {default}".strip()


def _values(key: ConfigKey) -> list[Any]:
    """What an editor offers for it."""
    if key.type == "boolean":
        return [True, False]
    return list(key.values) or [human(key.name, key.default) or key.default or "*"]  # `*`: all replicas are throttled


def _chosen(template: Blueprint) -> dict[str, Any]:
    return {"if": _has_template(template.name), "then": {"$ref": f"#/$defs/{definition(template.name)}"}}


def _has_template(name: str) -> dict[str, Any]:
    return {"properties": {"template": {"const": name}}, "required": ["template"]}


def _by_reference(name: str, form: Mapping[str, Any], shared: Mapping[str, Any]) -> Mapping[str, Any]:
    """A parameter that has the shared form names that; the example is said where the key is missing."""
    same = shared.get(name) == form
    return {"$ref": f"#/$defs/{_parameter(name)}", "examples": form["examples"]} if same else form


def _parameter(name: str) -> str:
    return definition(f"parameter_{name}")


def _shared(offered: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Of each parameter the form that most templates have, where it is more than one."""
    forms: dict[str, list[Any]] = {}
    for each in offered:
        for name, form in each["properties"].items():
            forms.setdefault(name, []).append(form)
    most = {name: max(found, key=found.count) for name, found in forms.items()}
    return {name: form for name, form in most.items() if forms[name].count(form) > 1}


def _offered(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter as the stack's schema has it: a template `{{ … }}` may stand for each value."""
    result = dict(schema)
    if "enum" in result and "enumDescriptions" in result:
        values, words = result.pop("enum"), result.pop("enumDescriptions")
        result.pop("type")
        result["description"] += "".join(f" `{v}`: {w}" for v, w in zip(values, words, strict=True))
        result["anyOf"] = [{"enum": values, "enumDescriptions": words}, {"type": "string", "pattern": TEMPLATE}]
    elif result.get("type") in ("integer", "boolean"):
        result |= {"type": [result["type"], "string"], "pattern": TEMPLATE}
    elif "pattern" in result:
        result["pattern"] += f"|{TEMPLATE}"
    if "properties" in result:
        result["properties"] = {name: _offered(each) for name, each in result["properties"].items()}
    return result


# For people


def page() -> str:
    """docs/reference/templates.md."""
    made = templates()
    lines = [
        "# Connector templates",
        "",
        "<!-- Written by `make docs` from kplan/connectors/*.yaml; change those. -->",
        "",
        "A connector with `template:` has the parameters below, in addition to the keys of every connector: `tables`,",
        "`topics`, `config`, `state` and so on ([stack.md](stack.md)). Any other property of Connect belongs under",
        "`config:`, which has priority. Your own template is `templates/NAME.yaml` in the folder of the stack, and can",
        "extend one of these; `kplan schema template` describes the file.",
        "",
        *(f"- [{each.name}](#{each.name}): {_description(each)}" for each in made),
        "",
        *_names(made),
        *(line for each in made for line in _section(each)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _description(template: Blueprint) -> str:
    document = load_built_in(template.name)
    return str(document.data.get("description", "")) if document else ""


def _names(made: list[Blueprint]) -> Iterator[str]:
    yield from (
        "## Names",
        "",
        "| template | in `tables:` | the include list names | the topic is |",
        "|---|---|---|---|",
    )
    for each in made:
        if not each.name.startswith("debezium-") or not each.table:
            continue
        for table in (
            ("orders", "a.Orders", "b.a.orders") if each.name == "debezium-sqlserver" else ("orders", "a.Orders")
        ):
            include, topic = _named(each, table)
            yield f"| {each.name} | `{table}` | `{include}` | `{topic}` |"
    yield from ("", FOLLOWED, "")


FOLLOWED = """\
The table uses the examples of the parameters below, such as `topic_prefix: client_2`. For Oracle, a name in double
quotes keeps its case; other names are upper case. Like Debezium, kplan replaces characters that Kafka does not allow
by `_`, and cuts names at 249 characters.

kplan follows `topic.delimiter`, `topic.heartbeat.prefix`, `topic.heartbeat.name` and `topic.transaction` under
`config:`. It also follows the transforms `RegexRouter`, `ByLogicalTableRouter` and `ToLogicalTopicRouter`, their
predicates of `TopicNameMatches`, and an outbox `EventRouter` with the same topic for each row. If another transform
decides the topic, name it in the stack: `topic:` at a table, or the connector's `topics:`."""


def _named(template: Blueprint, table: str) -> tuple[str, str]:
    """The include list's entry and the topic of a table, with the parameters' examples."""
    parameters = {name: (each.get("examples") or [None])[0] for name, each in template.parameters["properties"].items()}
    config = {"topic.prefix": parameters["topic_prefix"]}
    names = {"p": parameters, "config": config, "table": table}
    name = str(render(template.table["name"], Scope(names)))
    include = render(template.table.get("include", name), Scope({**names, "name": name}))
    return str(include), str(render(template.table["topic"], Scope({**names, "name": name})))


def _section(template: Blueprint) -> Iterator[str]:
    yield from (f"## {template.name}", "", f"{_description(template)}: `{template.java_class}`", "")
    yield from ("| parameter | type | default | |", "|---|---|---|---|")
    yield from _rows(template.parameters, "")
    yield ""
    if template.topics:
        yield "The connector's own topics; from the defaults only replication factor and `min.insync.replicas`"
        yield from ("apply to them:", "", "| role | settings | |", "|---|---|---|")
    for settings in template.topics.values():
        role = str(settings.get("role", ""))
        config = ", ".join(f"{key} {value}" for key, value in (settings.get("config") or {}).items())
        yield f"| {role} | {settings.get('partitions', 1)} partition, {config} | {ROLES.get(role, '')} |"
    if template.topics:
        yield ""
    if template.unique:
        yield from (f"Two connectors never share: {_listed(template.unique)}.", "")
    if template.columns:
        yield from (f"Settings of a table for its columns: {_listed(template.columns)}.", "")
    if template.renamed or template.values:
        yield from ("Old names, accepted with a warning:", "")
    for old, new in sorted(template.renamed.items()):
        yield f"- `{old}` is `{new}`"
    for key, values in template.values.items():
        for value, today in sorted(values.items()):
            yield f"- `{key}: {value}` is `{today}`"
    yield ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _rows(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    required = schema.get("required") or ()
    for name, each in (schema.get("properties") or {}).items():
        default = f"`{_value(each['default'])}`" if "default" in each else "required" if name in required else ""
        yield f"| `{prefix}{name}` | {_type(each)} | {default} | {_words(each)} |"
        yield from _rows(each, f"{prefix}{name}.")


def _type(schema: Mapping[str, Any]) -> str:
    kind = {"array": "list", "object": "map", "integer": "whole number"}.get(schema["type"], str(schema["type"]))
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f"{kind}, {least} to {most}"
    return f"{kind}, {least} or more" if least is not None else kind


def _words(schema: Mapping[str, Any]) -> str:
    words = str(schema.get("description", ""))
    choices = zip(schema.get("enum") or (), schema.get("enumDescriptions") or (), strict=False)
    return words + "".join(f"<br>`{value}`: {meaning}" for value, meaning in choices)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def main() -> None:
    """Both files say what the templates say."""
    environments = json.loads(ENVIRONMENTS.read_text("utf-8"))
    for path, made in ((SCHEMA, schema()), (ENVIRONMENTS, with_configs(environments))):
        path.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", "utf-8")
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
