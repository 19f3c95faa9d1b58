"""The first files of a project: an environment without a server, and a stack that validates as it is."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from kplan.kinds.connector.templates import Blueprint

SCHEMAS = ("stack.v1", "environments.v1")  # what editors know of both files
WIDTH = 100
TABLES = ("orders", "customers")

Schema = Mapping[str, Any]


def slug(text: str) -> str:
    """A stack's name made of any text; none where nothing is left of it."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")


def password_variable(name: str) -> str:
    """The environment variable that holds the database's password for the stack."""
    return re.sub(r"\A(?=\d)", "_", name.replace("-", "_").upper()) + "_DB_PASSWORD"


def environments(bootstrap: str = "", connect: str = "") -> str:
    """kplan.yaml with a simulated cluster, and a real one as far as its addresses are given."""
    quoted, url = json.dumps(bootstrap or "localhost:9092"), json.dumps(connect or "http://localhost:8083")
    real = ["dev:", f"  kafka: {{bootstrap.servers: {quoted}}}"]
    real += [f"  connect: {{url: {url}}}"] if connect or not bootstrap else []
    lines = [
        "# yaml-language-server: $schema=schemas/environments.v1.json",
        "version: 1",
        "default: local # what is meant without --env",
        "environments:",
        "  # Simulated in .kplan/local.db: everything can be tried on it without a server.",
        "  local: {}",
        "  # A cluster with its Connect; `kafka` takes librdkafka's own settings. Secrets come from outside:",
        '  # sasl.password: "{{ env.KAFKA_PASSWORD }}"',
        *(f"  {line}" if bootstrap else f"  # {line}" for line in real),
    ]
    return "\n".join(lines) + "\n"


def stack(name: str, template: Blueprint | None = None, description: str = "") -> str:
    """The stack's file: topics alone, or one connector of the template with its tables."""
    lines = [
        "# yaml-language-server: $schema=../schemas/stack.v1.json",
        "version: 1",
        f"stack: {name} # its identity: a stack with another name is another stack",
        *(_topics(name) if template is None else _connector(name, template, description)),
    ]
    return "\n".join(lines) + "\n"


def _topics(name: str) -> Iterator[str]:
    yield "description: Topics alone"
    yield ""
    yield from _defaults(3)
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


def _defaults(partitions: int) -> Iterator[str]:
    yield "# What each topic has unless it says otherwise."
    yield "defaults:"
    yield "  topic:"
    yield f"    partitions: {partitions} # may grow later"
    yield "    replication_factor: 3 # 1 where the cluster has one broker"
    yield "    config: {retention.ms: 7d, min.insync.replicas: 2} # 1, too"


def _connector(name: str, template: Blueprint, description: str) -> Iterator[str]:
    database = template.parameters["properties"]["database"]
    yield f"description: {json.dumps(f'{description}: one topic a table', ensure_ascii=False)}"
    yield ""
    yield "variables:"
    yield "  # The value is never printed, logged or saved."
    yield f"  db_password: {{type: string, env: {password_variable(name)}, sensitive: true}}"
    yield ""
    yield from _defaults(1)
    yield ""
    yield "connectors:"
    yield f"  {name}:"
    yield f"    template: {template.name}"
    yield f"    topic_prefix: {name} # of every topic's name; another prefix is another connector"
    yield "    database:"
    yield from (f"      {line}" for line in _example(database))
    yield "    # Each table has a topic. A setting beside its name is its topic's."
    yield "    tables:"
    yield f"      {TABLES[0]}: {{partitions: 6, config: {{compression.type: zstd}}}}"
    yield f"      {TABLES[1]}:"
    yield from (f"    # {line}" for line in _other(template))


def _example(parameter: Schema) -> Iterator[str]:
    """The parameter's own example, each key with what it means."""
    for key, value in parameter["examples"][0].items():
        meaning = str(parameter["properties"][key]["description"]).partition(". ")[0].rstrip(".")
        line = f"{key}: {_scalar(value)}"
        yield f"{line} # {meaning}" if len(line) + len(meaning) < WIDTH else line


def _scalar(value: object) -> str:
    text = str(value)
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]*", text) else json.dumps(value, ensure_ascii=False)


def _other(template: Blueprint) -> list[str]:
    """The template's parameters that are left out here."""
    others = [each for each in template.parameters["properties"] if each not in ("topic_prefix", "database")]
    said = f"Also: {', '.join(others)}; and any other property of the connector under `config:`."
    return textwrap.wrap(said, WIDTH - 6, break_on_hyphens=False, break_long_words=False)
