"""No input shows a traceback: whatever a stack, an environment or a plan holds, kplan answers with diagnostics.

`KPLAN_FUZZ=200000 pytest tests/unit/test_fuzz.py` tries that many of each kind; a normal run tries fewer.
"""

from __future__ import annotations

import copy
import json
import os
import random
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml

from kplan.app.servers import open_cluster, open_store
from kplan.diagnostics import Stale
from kplan.kinds.connector.exclusive import unique_offline
from kplan.language import schema, source
from kplan.language.variables import Given
from kplan.planning.document import Plan, from_json, to_json
from kplan.planning.pipeline import Options, make
from kplan.project import environment
from kplan.project.environment import Environment, Simulated
from kplan.project.expand import Inputs, expand
from kplan.project.loading import ProjectReader, Request, prune

TRIES = int(os.environ.get("KPLAN_FUZZ", "1500"))
STACKS = Path(__file__).parents[2] / "stacks"
WORDS: list[Any] = [
    *(None, True, False, 0, -1, 1, 7, 3.5, 10**18, "", "a", ".", "..", "no", "7d", "1GiB", "-1", "{{", "x" * 300),
    *("{{ var.db_password }}", "{{ var.x }}", "{{ each.key }}", "{{ 1/0 }}", "{{ [] }}", "{{ var }}", "${file:x:y}"),
    *(
        "{% for a in [1] %}{% endfor %}",
        "{{ kplan.stack * 9999999 }}",
        "\x00",
        "\u202e",
        "a/b",
        "topic/x",
        "connector/y",
    ),
    *([], {}, [[]], {"a": {"b": [1]}}, ["orders", "orders"], {"": None}, "debezium-postgres", "debezium-base"),
    *("../../etc/passwd", "retention.ms", "cleanup.policy", "data-loss", "initial", "running"),
]
KEYS = [
    *[
        "topics",
        "connectors",
        "variables",
        "defaults",
        "topic",
        "config",
        "partitions",
        "replication_factor",
        "for_each",
        "tables",
        "template",
    ],
    *[
        "class",
        "name",
        "client",
        "state",
        "dead_letter",
        "removed",
        "moved",
        "guards",
        "naming",
        "max_changes",
        "from",
        "to",
        "accept",
        "protect",
        "ignore",
    ],
    *[
        "restart_failed",
        "new_tables",
        "snapshot",
        "database",
        "password",
        "sensitive",
        "default",
        "type",
        "env",
        "stack",
        "version",
        "minimum",
    ],
    *["pattern", "enum", "connector", "keep", "retention.ms", "table.whitelist", "errors.log.enable", "x"],
    *("", "{{ var.x }}"),
]


def nodes(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, child in children:
        found += nodes(child, (*path, key))
    return found


def mutated(data: Any, dice: random.Random) -> Any:
    """A copy with one to four places changed, removed or added to."""
    data = copy.deepcopy(data)
    for _ in range(dice.randint(1, 4)):
        path = dice.choice(nodes(data))
        if not path:
            continue
        parent = data
        for key in path[:-1]:
            parent = parent[key]
        kind = dice.random()
        if kind < 0.55:
            parent[path[-1]] = copy.deepcopy(dice.choice(WORDS))
        elif kind < 0.7:
            del parent[path[-1]]
        elif isinstance(parent[path[-1]], dict):
            parent[path[-1]][dice.choice(KEYS)] = copy.deepcopy(dice.choice(WORDS))
        elif isinstance(parent[path[-1]], list):
            parent[path[-1]].append(copy.deepcopy(dice.choice(WORDS)))
    return data


RICH = """
version: 1
stack: rich
variables:
  x: {type: integer, default: 2, minimum: 1}
  names: {type: list, default: [a, b]}
  db_password: {type: string, sensitive: true}
defaults: {topic: {partitions: "{{ var.x }}", config: {retention.ms: 7d}}}
topics:
  plain:
  kept: {protect: true, ignore: [segment.bytes], config: {cleanup.policy: compact}}
  "app.{{ each.key }}": {for_each: "{{ var.names }}", partitions: 3}
connectors:
  cdc:
    template: debezium-mysql
    client: Acme Corp
    topic_prefix: p
    database: {hostname: h, name: kbe, user: u, password: "{{ var.db_password }}"}
    tables: {orders: {partitions: 2}, customers: , other.t: {ignore_topic: true}}
    restart_failed: {attempts: 3, delay: 10s}
    config: {max.batch.size: 4096, table.whitelist: null}
  sink:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {file: /x, topics: "plain,unknown"}
    dead_letter: {topic: dlq.x}
removed: [{topic: old, accept: [data-loss]}, {connector: c, keep: true}]
moved: [{from: connector/o, to: connector/sink}]
guards: {max_changes: 30%, naming: '^.*$', topic: {partitions: {maximum: 200}}, connector: {config: {required: [file]}}}
"""


def validated(text: str, folder: Path) -> None:
    """All that `kplan validate` does with a stack's text."""
    document, problems = source.load(text, "stack.yaml")
    if document is None or any(p.is_error for p in problems):
        assert problems, "what cannot be gone on with is explained"
        return
    wrong = schema.check(document, schema.read_schema("stack.v1"))
    usable = prune(document, wrong)
    if usable is None:
        assert wrong
        return
    reader = ProjectReader(Request(folder=str(folder)))
    inputs = Inputs(
        Environment("local", simulated=Simulated()), Given(), lambda name: reader._find_template(folder, name)
    )
    stack, found = expand(usable, inputs)
    for each in (*wrong, *found):
        assert each.code and each.summary, each
    if stack is not None:
        unique_offline([stack])


@pytest.mark.slow
def test_mutated_stacks_are_explained(tmp_path: Path) -> None:
    dice = random.Random(5)
    seeds = [
        yaml.safe_load(RICH),
        *(yaml.safe_load(p.read_text()) for p in sorted(STACKS.glob("*.yaml")) if p.name != "kplan.yaml"),
    ]
    for _ in range(TRIES):
        text = yaml.safe_dump(mutated(dice.choice(seeds), dice), allow_unicode=True)
        try:
            validated(text, tmp_path)
        except Exception as e:
            pytest.fail("".join(traceback.format_exception(e)[-3:]) + text)


@pytest.mark.slow
def test_mutated_environments_are_explained() -> None:
    dice = random.Random(6)
    seed = yaml.safe_load("""
version: 1
default: a
environments:
  a: {simulated: {brokers: 3, fail: [topic/x]}, guards: {max_changes: 10%}, defaults: {topic: {partitions: 2}}}
  b:
    kafka: {bootstrap.servers: "x:1", sasl.password: "{{ env.P }}"}
    connect: {url: ["http://x:8083"], username: u, password: p}
    timeouts: {request: 30s, settle: 2m}
    retry: {attempts: 3, delay: 2s}
    state: {sqlite: x.db}
""")
    for _ in range(TRIES):
        text = yaml.safe_dump(mutated(seed, dice), allow_unicode=True)
        try:
            document, problems = source.load(text, "kplan.yaml")
            if document is None or any(p.is_error for p in problems):
                continue
            usable = prune(document, schema.check(document, schema.read_schema("environments.v1")))
            if usable is not None:
                for name in environment.list_names(usable):
                    environment.build_environment(usable, name, {"P": "secret"})
                environment.choose_default_name(usable)
        except Exception as e:
            pytest.fail("".join(traceback.format_exception(e)[-3:]) + text)


def saved_plan(folder: Path) -> dict[str, Any]:
    document, _ = source.load(RICH.replace("removed: [", "removed: [").split("removed:")[0], "stack.yaml")
    assert document is not None
    env = Environment("local", str(folder), simulated=Simulated())
    reader = ProjectReader(Request(folder=str(folder)))
    given = Given({"db_password": "canary-secret"})
    stack, problems = expand(document, Inputs(env, given, lambda name: reader._find_template(folder, name)))
    assert stack is not None and not any(p.is_error for p in problems), problems
    document_ = to_json(make(stack, open_cluster(env), open_store(env), Options()))
    assert "canary-secret" not in json.dumps(document_)
    return document_


@pytest.mark.slow
def test_mutated_plans_are_refused_or_read(tmp_path: Path) -> None:
    dice = random.Random(7)
    seed = saved_plan(tmp_path)
    assert isinstance(from_json(seed), Plan)
    for _ in range(TRIES // 5):
        data = mutated(seed, dice)
        try:
            plan = from_json(data)
        except Stale as e:
            assert e.message
        except Exception as e:
            pytest.fail(f"{type(e).__name__}: {e}\n{json.dumps(data)[:2000]}")
        else:
            assert plan.digest == data["digest"]
