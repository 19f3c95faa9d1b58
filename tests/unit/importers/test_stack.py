"""Whatever is live: the imported stack adopts it and changes nothing, and once applied there is nothing left to do."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from kplan.app.servers import open_cluster, open_store
from kplan.diagnostics import Diagnostic
from kplan.execution.apply import Apply
from kplan.execution.run import Run
from kplan.importers.connector_block import BlockExpander
from kplan.importers.live import is_internal, select_live
from kplan.importers.resources import conceal_secrets
from kplan.importers.stack import ImportedStack, compose_stack
from kplan.kinds.connector.templates import Blueprint, blueprint
from kplan.kinds.key_order import read_key_orders
from kplan.language import fmt, schema, source
from kplan.language.variables import Given
from kplan.model import Action, Change, Connector, Owned, Resource, Secret, Stack, Topic
from kplan.planning.pipeline import Options, make
from kplan.planning.reading import read_addresses
from kplan.planning.risk import Accepted
from kplan.project.environment import Environment, Simulated
from kplan.project.expand import Inputs, expand
from kplan.project.loading import list_built_in_templates, load_built_in
from kplan.servers.base import Cluster
from kplan.state.base import Holder, Store
from tests.examples import examples
from tests.shell import Shell

SECRET = "hunter2-sesame"


@cache
def find(name: str) -> tuple[Blueprint | None, list[Diagnostic]]:
    return blueprint(name, lambda own: (load_built_in(own), ()))


def there(folder: str, resources: Iterable[Resource]) -> tuple[Environment, Cluster, Store]:
    """A simulated cluster in which somebody else made the resources."""
    environment = Environment("local", folder, simulated=Simulated(3, ()))
    cluster, store = open_cluster(environment), open_store(environment)
    for backend in cluster.backends:
        own = [resource for resource in resources if resource.kind == backend.kind]
        changes = [Change(r.address, Action.CREATE, None, r, created=True) for r in own]
        outcomes = backend.act(changes, {})
        assert all(outcome.ok for outcome in outcomes.values()), outcomes
    return environment, cluster, store


def imported(environment: Environment, cluster: Cluster, store: Store, *globs: str) -> ImportedStack:
    resources = {a: r for backend in cluster.backends for a, r in backend.read(None).resources.items()}
    found, free = select_live(resources, {}, store.ledger(), globs, "imported", cluster.principal)
    workshop = BlockExpander.create(environment, find, list_built_in_templates())
    return compose_stack(found, free, "imported", workshop, live=True)


def loaded(environment: Environment, text: str, value: Callable[[str], str]) -> Stack:
    """The stack of an imported text, its secrets as `value` gives them."""
    document, problems = source.load(text, "stack.yaml")
    assert document and not problems, problems
    assert not schema.check(document, schema.read_schema("stack.v1"))
    given_ = Given({name: value(name) for name in document.data.get("variables") or {}})
    stack, problems_ = expand(document, Inputs(environment, given_, find))
    assert stack and not [p for p in problems_ if p.is_error], [p for p in problems_ if p.is_error]
    return stack


def round_trip(resources: Iterable[Resource], value: Callable[[str], str] = lambda name: SECRET) -> ImportedStack:
    """Imports, plans, applies and plans again."""
    with tempfile.TemporaryDirectory() as folder:
        environment, cluster, store = there(folder, resources)
        result = imported(environment, cluster, store)
        assert fmt.format(result.text, "stack.yaml", read_key_orders()) == result.text
        assert SECRET not in result.text
        stack = loaded(environment, result.text, value)
        assert stack.resources.keys() >= {r.address for r in resources if not r.name.startswith("__")}
        plan = make(stack, cluster, store, Options(accept=Accepted(("*",))))
        assert {c.action for c in plan.changes} <= {Action.ADOPT}, (plan.changes, result.text)
        assert not [d for d in plan.diagnostics if d.is_error], plan.diagnostics
        holder = Holder("test@here", "run0", "test", "now")
        addresses = {c.address for c in plan.changes}
        run = Run(plan, cluster, store, holder, lambda: (read_addresses(cluster, addresses), store.ledger()))
        assert Apply(run).execute().outcome == "applied"
        again = make(stack, cluster, store, Options())
        assert not again.changes and not again.steps
        cluster.close()
        store.close()
        return result


# -- anything
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "retention.ms": st.sampled_from(["86400000", "604800000", "-1", "12345"]),
        "retention.bytes": st.sampled_from(["-1", "1073741824"]),
        "cleanup.policy": st.sampled_from(["delete", "compact", "compact,delete"]),
        "min.insync.replicas": st.sampled_from(["1", "2", "3"]),
        "preallocate": st.sampled_from(["true", "false"]),
        "compression.type": st.sampled_from(["snappy", "zstd"]),
        "min.cleanable.dirty.ratio": st.sampled_from(["0.5", "0.01"]),
    },
)
TABLES = ["public.orders", "public.customers", "inv.products", "kbe.orders", "kbe.t", "public.a b"]
ODD = [
    "no", "yes", "0123", "1e5", "null", "~", "true", " x ", "a: b", "a #b", "{{ x }}", "{% y %}", "{{", "{#", "}}", "-",
    "", "1_000", "12:30", "*", "&a", "!b", "'", '"', "a\nb", "a\\.b", "|", ">", "%", "@", "`", "2024-01-02", ".inf",
    "0", "-0",
]  # fmt: skip
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12) | st.sampled_from(ODD)
KEYS = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}", fullmatch=True)
PREFIXES = ["shop", "client_2", "__x"]
POSTGRES = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "database.hostname": "db", "database.port": "5432", "database.user": "cdc", "database.dbname": "shop",
    "database.password": SECRET, "plugin.name": "pgoutput", "tasks.max": "1",
}  # fmt: skip
MYSQL = {
    "connector.class": "io.debezium.connector.mysql.MySqlConnector",
    "database.hostname": "db", "database.port": "3306", "database.user": "cdc", "database.password": SECRET,
    "database.server.id": "184054", "database.include.list": "kbe", "tasks.max": "1",
    "schema.history.internal.kafka.topic": "schema-changes.kbe",
    "schema.history.internal.kafka.bootstrap.servers": "kafka:9092",
}  # fmt: skip
PLAIN = {"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "file": "/a", "topic": "t"}
COMMON = st.fixed_dictionaries(
    {},
    optional={
        "table.include.list": st.lists(
            st.sampled_from([*TABLES, r"public\.orders", "inv.*"]), unique=True, max_size=4
        ).map(",".join),
        "snapshot.mode": st.sampled_from(["initial", "no_data", "schema_only"]),
        "heartbeat.interval.ms": st.sampled_from(["0", "10000", "5000"]),
        "tombstones.on.delete": st.sampled_from(["true", "false"]),
        "decimal.handling.mode": st.sampled_from(["precise", "string", "odd"]),
        "slot.name": st.sampled_from(["alpha", "beta_slot", "Odd Slot"]),
        "publication.name": st.sampled_from(["alpha", "pub"]),
        "include.schema.changes": st.sampled_from(["true", "false"]),
        "provide.transaction.metadata": st.sampled_from(["true", "false"]),
        "database.server.name": st.just("old"),
    },
)
ROUTE = {
    "transforms": "route",
    "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter",
    "transforms.route.regex": "(.*)orders",
    "transforms.route.replacement": "$1bestellungen",
}
INTERNAL = [
    "__debezium-heartbeat.shop",
    "shop.transaction",
    "client_2",
    "schema-changes.kbe",
    "__debezium-heartbeat.client_2",
]


@st.composite
def connectors(draw: st.DrawFn, name: str) -> Connector:
    base = draw(st.sampled_from([POSTGRES, MYSQL, PLAIN]))
    config: dict[str, str] = dict(base)
    if base is not PLAIN:
        config |= {"topic.prefix": draw(st.sampled_from(PREFIXES))} | draw(COMMON)
        config |= draw(st.sampled_from([{}, {}, ROUTE]))
        for key in draw(st.lists(st.sampled_from(sorted(config)), max_size=1)):
            if not key.startswith(("connector.class", "database.", "schema.history", "topic.", "transforms")):
                config.pop(key)
    config |= draw(st.dictionaries(KEYS, VALUES, max_size=3))
    state = draw(st.sampled_from(["running", "paused", "stopped"]))
    return Connector(name, conceal_secrets(config), state)


@st.composite
def clusters(draw: st.DrawFn) -> list[Resource]:
    made = [draw(connectors(name)) for name in draw(st.lists(st.sampled_from(["alpha", "be.ta"]), unique=True))]
    names = ["orders", "dc.workload", *INTERNAL, *(f"{p}.{t}" for p in PREFIXES for t in TABLES if " " not in t)]
    names += ["shop.public.bestellungen"]
    topics = [
        Topic(name, draw(st.sampled_from([1, 1, 3])), draw(st.sampled_from([3, 3, 1])), draw(CONFIGS))
        for name in draw(st.lists(st.sampled_from(names), unique=True))
    ]
    return [*topics, *made]


def secret(resources: Iterable[Resource]) -> Mapping[str, str]:
    """The values of all secrets that are there; a test knows them apart by nothing else."""
    return {k: v.value or "" for r in resources if isinstance(r, Connector) for k, v in r.config.items()
            if isinstance(v, Secret)}  # fmt: skip


@pytest.mark.slow
@examples(40, *HealthCheck)
@given(clusters())
def test_anything_that_is_live_is_adopted_and_nothing_is_changed(resources: list[Resource]) -> None:
    values = set(secret(resources).values())
    if values - {SECRET}:  # a made-up key that looks like a secret's: the values of several cannot be told apart here
        return
    round_trip(resources)


# -- templates
TEMPLATES = {
    "debezium-postgres": "database: {hostname: db, name: shop, user: cdc, password: 'PASS'}\n    slot: my_slot\n"
    "    tables: [orders, inv.products]\n    snapshot: no_data",
    "debezium-mysql": "database: {hostname: db, name: kbe, user: cdc, password: 'PASS'}\n    server_id: 5401\n"
    "    tables: [orders, other.t]\n    decimals: string\n    signal: {topic: client.signals}",
    "debezium-mariadb": "database: {hostname: db, name: kbe, user: cdc, password: 'PASS', ssl: trust}\n"
    "    tables: [orders]\n    heartbeat: 5000\n    transactions: true",
    "debezium-oracle": "database: {hostname: db, name: ORCLCDB, pdb: P1, schema: INV, user: c, password: 'PASS'}\n"
    "    tables: [orders, 'INV.\"lower\"']\n    mining: {strategy: hybrid}\n    lob: false",
    "debezium-sqlserver": "database: {hostname: db, name: shop, names: [shop, old], user: c, password: 'PASS'}\n"
    "    tables: [orders, sales.t]\n    tasks: 2",
    "debezium-mongodb": "database: {connection_string: 'mongodb://m:27017', name: shop, user: c, password: 'PASS'}\n"
    "    tables: [orders, other.t]\n    queue: {size: 16384}",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_a_template_made_is_recognised_as_that_template(template: str) -> None:
    block = TEMPLATES[template].replace("'PASS'", '"{{ var.password }}"')
    text = "version: 1\nstack: s\nvariables: {password: {type: string, sensitive: true}}\nconnectors:\n  kbe:\n"
    text += f"    template: {template}\n    topic_prefix: client\n    {block}\n"
    stack = loaded(Environment("local", ".", simulated=Simulated(3, ())), text, lambda name: SECRET)
    result = round_trip(stack.resources.values())
    assert f"template: {template}" in result.text and result.templates == 1
    assert re.search(r"\n    tables:(\n      | \[)orders", result.text.replace("INV.ORDERS", "orders"))
    assert "template_defaults" not in result.text and "    config:" not in result.text, result.text
    assert not result.notes


def test_defaults_say_once_what_most_topics_have() -> None:
    topics = [Topic(f"t{n}", 6, 3, {"retention.ms": "86400000", "cleanup.policy": "compact"}) for n in range(9)]
    odd = Topic("odd", 1, 3, {"cleanup.policy": "delete"})
    result = round_trip([*topics, odd])
    assert "topic: {partitions: 6, replication_factor: 3, config: {cleanup.policy: compact, retention.ms: 1d}}" in (
        result.text
    )
    assert "  t0:\n" in result.text
    assert "  odd: {partitions: 1, config: {cleanup.policy: delete, retention.ms: null}}" in result.text


def test_what_a_stack_cannot_say_is_noted_and_left() -> None:
    few = Topic("few", 1, 1, {"min.insync.replicas": "2"})
    result = round_trip([few])
    assert "topic/few: min.insync.replicas (K111" in " ".join(result.notes)


def test_connectors_that_share_a_slot_are_written_without_a_template() -> None:
    one = Connector(
        "one", conceal_secrets({**POSTGRES, "topic.prefix": "a", "slot.name": "s", "publication.name": "p"})
    )
    two = Connector(
        "two", conceal_secrets({**POSTGRES, "topic.prefix": "b", "slot.name": "s", "publication.name": "p"})
    )
    result = round_trip([one, two])
    assert "it shares slot.name with connector/two" in " ".join(result.notes)
    assert result.templates == 0


def test_another_stacks_things_are_left_out_and_a_topic_of_it_is_not_taken() -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Topic("a.public.orders", 1, 3, {})
        connector = Connector(
            "cdc",
            conceal_secrets({**POSTGRES, "topic.prefix": "a", "table.include.list": "public.orders", "slot.name": "s"}),
        )
        environment, cluster, store = there(folder, [table, connector])
        owned = {table.address: Owned(table.address, "other", "local", True)}
        resources = {a: r for backend in cluster.backends for a, r in backend.read(None).resources.items()}
        found, free = select_live(resources, {}, owned, (), "imported")
        result = compose_stack(
            found, free, "imported", BlockExpander.create(environment, find, list_built_in_templates()), live=True
        )
        assert "topic/a.public.orders is left out: stack other owns it" in result.notes
        assert "orders: {ignore_topic: true}" in result.text
        cluster.close()
        store.close()


@pytest.mark.parametrize(
    ("name", "internal"),
    [("__consumer_offsets", True), ("_schemas", True), ("connect-offsets", True), ("prod.connect.configs", True),
     ("connect_statuses", True), ("connect-orders", False), ("orders", False), ("_private", False)],
)  # fmt: skip
def test_internal_topics_are_told_by_their_names(name: str, internal: bool) -> None:
    assert is_internal(name) is internal


def test_topics_that_kplan_yaml_names_as_connects_own_are_taken_only_by_their_very_name(tmp_path: Path) -> None:
    _, cluster, store = there(str(tmp_path), [Topic("orders", 1, 3), Topic("sinks-offsets", 25, 3)])
    resources = {a: r for backend in cluster.backends for a, r in backend.read(None).resources.items()}
    for globs, names in (((), {"orders"}), (("sinks-*",), set()), (("sinks-offsets",), {"sinks-offsets"})):
        found, _ = select_live(resources, {}, {}, globs, "imported", internal=frozenset({"sinks-offsets"}))
        assert {topic.name for topic in found.topics.values()} == names
    cluster.close()
    store.close()


# -- the command
STACK = """
version: 1
stack: first
topics:
  shop.orders: {partitions: 3, replication_factor: 3}
  other: {replication_factor: 3}
removed: []
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A folder beside a simulated cluster with two topics that no stack owns any more."""
    found = Shell(tmp_path)
    found.write("first.yaml", STACK)
    found.kplan("apply", "first.yaml", "--yes")
    gone = "[{topic: shop.orders, keep: true}, {topic: other, keep: true}]"
    found.write("first.yaml", f"version: 1\nstack: first\nremoved: {gone}\n")
    found.kplan("apply", "first.yaml", "--yes")
    return found


def test_a_glob_chooses_and_the_stack_is_adopted(shell: Shell) -> None:
    ended = shell.kplan("import", "shop.*", "--out", "i.yaml")
    assert "1 topic and 0 connectors: i.yaml" in ended.err
    assert "other" not in (shell.folder / "i.yaml").read_text()
    shell.kplan("plan", "i.yaml", "--detailed-exitcode", expect=0)
    shell.kplan("apply", "i.yaml", "--yes")
    assert "topic/shop.orders is left out: stack imported owns it" in shell.kplan("import", "--stack", "again").err


def test_a_glob_that_matches_nothing_is_an_error(shell: Shell) -> None:
    ended = shell.kplan("import", "shop.*", "none.*", "--out", "i.yaml", expect=4)
    assert "K632" in ended.err and "none.*" in ended.err and not (shell.folder / "i.yaml").exists()


def test_a_file_is_not_overwritten_and_a_bad_name_is_refused(shell: Shell) -> None:
    assert "already exists" in shell.kplan("import", "--out", "first.yaml", expect=64).err
    assert "--stack" in shell.kplan("import", "--stack", "Not This", expect=64).err


def test_what_the_environment_says_is_said_by_the_topics_too(shell: Shell) -> None:
    defaults = "{topic: {partitions: 3, config: {retention.ms: 1d}}}"
    shell.write("kplan.yaml", f"version: 1\nenvironments: {{local: {{defaults: {defaults}}}}}\n")
    shell.kplan("import", "--out", "i.yaml")
    text = (shell.folder / "i.yaml").read_text()
    assert "shop.orders: {partitions: 3, config: {retention.ms: null}}" in text
    shell.kplan("plan", "i.yaml", "--detailed-exitcode", expect=0)
    (shell.folder / "kplan.yaml").unlink()
    shell.kplan("plan", "i.yaml", "--detailed-exitcode", expect=0)


def test_files_need_no_server_and_not_the_way_to_one(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    kafka = '{bootstrap.servers: "{{ env.NOT_SET }}"}'
    shell.write("kplan.yaml", f"version: 1\ndefault: prod\nenvironments: {{prod: {{kafka: {kafka}}}}}\n")
    shell.write("topics.yaml", "kafka: {topics: {a: {partitions: 2, replication_factor: 1}, b.c: {partitions: 1}}}\n")
    ended = shell.kplan("import", "--file", "topics.yaml", "a", "--stack", "files")
    assert ended.out.endswith("topics:\n  a: {partitions: 2, replication_factor: 1}\n")


def test_the_comment_of_many_files_is_in_lines_that_can_be_read(tmp_path: Path) -> None:
    files = [f"folder-with-a-long-name/topics-{number}.json" for number in range(14)]
    shell = Shell(tmp_path)
    for number, name in enumerate(files):
        shell.write(name, json.dumps({"name": f"c{number}", "config": {"connector.class": "x.Y", "tasks.max": "1"}}))
    arguments = [part for name in files for part in ("--file", name)]
    shell.kplan("import", *arguments, "--out", "stack.yaml")
    comments = [line for line in (tmp_path / "stack.yaml").read_text().splitlines() if line.startswith("#")]
    assert max(map(len, comments)) <= 120
    assert all(name in " ".join(comments) for name in files)
    shell.kplan("fmt", "--check", "stack.yaml")


def test_defaults_in_a_connector_name_what_they_are_for(tmp_path: Path) -> None:
    block = "{template: debezium-postgres, topic_prefix: a, tables: {x: }, defaults: {partitions: 3}}"
    shell = Shell(tmp_path)
    shell.write("stack.yaml", f"version: 1\nstack: s\nconnectors:\n  a: {block}\n")
    shown = shell.kplan("validate", "stack.yaml", expect=4).all
    assert "known keys: topic, tables" in shown and "did you mean `decimals`" not in shown
