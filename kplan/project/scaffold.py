"""Write the first files of a project: an environment without a server, and a stack that validates as it is."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from kplan.kinds.connector.templates import Blueprint

SCHEMA_NAMES = ("stack.v1", "environments.v1")  # by which editors check both files
MAX_WIDTH = 100
VARIABLE = re.compile(r"\{\{ var\.(\w+) \}\}")
EXAMPLE_TABLES = ("orders", "customers")

Schema = Mapping[str, Any]


def make_slug(text: str) -> str:
    """Return a stack's name made of any text; empty if nothing is left of it."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")


def name_environment_variable(name: str, variable: str) -> str:
    """Return the environment variable that holds a secret for the stack."""
    return re.sub(r"\A(?=\d)", "_", name.replace("-", "_").upper()) + f"_{variable.upper()}"


def list_variables(name: str, template: Blueprint | None) -> dict[str, str]:
    """Return the stack's secret variables, each with the environment variable that holds it."""
    names = VARIABLE.findall("".join(_write_required(template))) if template else ()
    return {variable: name_environment_variable(name, variable) for variable in names}


def write_environments(bootstrap: str = "", connect: str = "") -> str:
    """Return kplan.yaml with a simulated cluster, and a real one if its addresses are given."""
    quoted_bootstrap, quoted_url = (
        json.dumps(bootstrap or "localhost:9092"),
        json.dumps(connect or "http://localhost:8083"),
    )
    cluster = ["dev:", f"  kafka: {{bootstrap.servers: {quoted_bootstrap}}}"]
    cluster += [f"  connect: {{url: {quoted_url}}}"] if connect or not bootstrap else []
    lines = [
        "# yaml-language-server: $schema=schemas/environments.v1.json",
        "version: 1",
        "default: local # what is meant without --env",
        "environments:",
        "  # Simulated in .kplan/local.db: everything can be tried on it without a server.",
        "  local: {}",
        "  # A cluster with its Connect; `kafka` takes librdkafka's own settings. Secrets come from outside:",
        '  # sasl.password: "{{ env.KAFKA_PASSWORD }}"',
        *(f"  {line}" if bootstrap else f"  # {line}" for line in cluster),
    ]
    return "\n".join(lines) + "\n"


def write_stack(name: str, template: Blueprint | None = None, description: str = "") -> str:
    """Return the stack's file: topics alone, or one connector of the template with its tables."""
    lines = [
        "# yaml-language-server: $schema=../schemas/stack.v1.json",
        "version: 1",
        f"stack: {name} # its identity: a stack with another name is another stack",
        *(_write_topics(name) if template is None else _write_connector(name, template, description)),
    ]
    return "\n".join(lines) + "\n"


def _write_topics(name: str) -> Iterator[str]:
    yield "description: Topics alone"
    yield ""
    yield from _write_defaults(3)
    yield ""
    yield "topics:"
    yield "  # Without a block of its own a topic has the defaults. A retention may be written as 7d, 12h or 500ms."
    yield f"  {name}.orders:"
    yield f"  {name}.customers:"
    yield "    config: {cleanup.policy: compact} # the last record of each key is kept"
    yield "  # One topic for each entry of a list."
    yield f'  "{name}.{{{{ each.key }}}}.events":'
    yield "    for_each: [billing, shipping]"
    yield "    partitions: 6"
    yield "    config: {retention.ms: 1d}"


def _write_defaults(partitions: int) -> Iterator[str]:
    yield "# What each topic has unless it says otherwise."
    yield "defaults:"
    yield "  topic:"
    yield f"    partitions: {partitions} # may grow later"
    yield "    replication_factor: 3 # 1 where the cluster has one broker"
    yield "    config: {retention.ms: 7d, min.insync.replicas: 2} # 1, too"


def _write_connector(name: str, template: Blueprint, description: str) -> Iterator[str]:
    properties = template.parameters["properties"]
    text = f"{description}: one topic a table" if template.table else description
    yield f"description: {json.dumps(text, ensure_ascii=False)}"
    yield ""
    if variables := list_variables(name, template):
        yield "variables:"
        yield "  # The value is never printed, logged or saved."
        yield from (f"  {each}: {{type: string, env: {env}, sensitive: true}}" for each, env in variables.items())
        yield ""
    if template.table or "reads" in properties:
        yield from _write_defaults(1)
        yield ""
    if "reads" in properties:
        yield "topics:"
        yield f"  {name}.orders: {{partitions: 3}}"
        yield ""
    yield "connectors:"
    yield f"  {name}:"
    yield f"    template: {template.name}"
    if "topic_prefix" in properties:
        yield f"    topic_prefix: {name} # of every topic's name; another prefix is another connector"
    if "reads" in properties:
        yield f"    reads: [{name}.orders]"
    yield from (f"    {line}" for line in _write_required(template))
    if template.table:
        yield "    # Each table has a topic. A setting beside its name is its topic's."
        yield "    tables:"
        yield f"      {EXAMPLE_TABLES[0]}: {{partitions: 6, config: {{compression.type: zstd}}}}"
        yield f"      {EXAMPLE_TABLES[1]}:"
    yield from (f"    # {line}" for line in _list_other_parameters(template))


def _write_required(template: Blueprint) -> Iterator[str]:
    """Yield what the template insists on, with the examples of its parameters."""
    for key in _list_required(template):
        parameter = template.parameters["properties"][key]
        if "properties" in parameter:
            yield f"{key}:"
            yield from (f"  {line}" for line in _write_example(parameter))
        else:
            yield f"{key}: {_write_scalar(parameter['examples'][0])}"


def _list_required(template: Blueprint) -> list[str]:
    return [key for key in dict.fromkeys(template.parameters.get("required") or ()) if key != "topic_prefix"]


def _write_example(parameter: Schema) -> Iterator[str]:
    """Yield the parameter's own example, each key with its meaning."""
    for key, value in parameter["examples"][0].items():
        meaning = str(parameter["properties"][key]["description"]).partition(". ")[0].rstrip(".")
        line = f"{key}: {_write_scalar(value)}"
        yield f"{line} # {meaning}" if len(line) + len(meaning) < MAX_WIDTH else line


def _write_scalar(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_write_scalar, value))}]"
    text = str(value)
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]*", text) else json.dumps(value, ensure_ascii=False)


def _list_other_parameters(template: Blueprint) -> list[str]:
    """Return the template's parameters that are left out here."""
    written = ("topic_prefix", "reads", *_list_required(template))
    others = [name for name in template.parameters["properties"] if name not in written]
    text = f"Also: {', '.join(others)}; and any other property of the connector under `config:`."
    return textwrap.wrap(text, MAX_WIDTH - 6, break_on_hyphens=False, break_long_words=False)
