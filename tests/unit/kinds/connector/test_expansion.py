"""The built-in templates: names of topics, what defaults reach, what Debezium would write besides, the reference."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kplan.diagnostics import Diagnostic
from kplan.kinds.connector.tables import split
from kplan.model import Address, Connector, Stack, Topic
from kplan.project.loading import Loaded, Request, load_project
from kplan.render.text import split_items

ROOT = Path(__file__).parents[4]
LOGIN = {"hostname": "h", "user": "u", "password": "${file:/run/db:pw}"}
DATABASE: Mapping[str, Mapping[str, Any]] = {
    "debezium-mysql": {**LOGIN, "name": "shop"},
    "debezium-mariadb": {**LOGIN, "name": "shop"},
    "debezium-postgres": {**LOGIN, "name": "shop"},
    "debezium-sqlserver": {**LOGIN, "name": "shop"},
    "debezium-oracle": {**LOGIN, "name": "ORCLCDB", "schema": "shop"},
    "debezium-mongodb": {"connection_string": "mongodb://h/?replicaSet=rs0", "name": "shop"},
}
ROUTER = "org.apache.kafka.connect.transforms.RegexRouter"
LISTS = {"debezium-mongodb": "collection.include.list"}


def block(template: str = "debezium-postgres", /, **more: Any) -> dict[str, Any]:
    database = {**DATABASE[template], **more.pop("database", {})}
    return {"template": template, "topic_prefix": "p", "database": database, **more}


def loaded(folder: Path, *blocks: Mapping[str, Any], **stack: Any) -> Loaded:
    connectors = {f"c{number}" if number else "cdc": each for number, each in enumerate(blocks)}
    text = {"version": 1, "stack": "s", **stack, "connectors": connectors}
    (folder / "stack.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
    return load_project(Request([str(folder / "stack.yaml")], folder=str(folder)))


def expanded(folder: Path, *blocks: Mapping[str, Any], **stack: Any) -> Stack:
    found = loaded(folder, *blocks, **stack)
    assert not found.diagnostics
    return found.stacks[0]


def told(folder: Path, *blocks: Mapping[str, Any], **stack: Any) -> list[Diagnostic]:
    return loaded(folder, *blocks, **stack).diagnostics


def topics(stack: Stack) -> dict[str, Topic]:
    return {name: each for (_, name), each in pairs(stack) if isinstance(each, Topic)}


def pairs(stack: Stack) -> list[tuple[tuple[str, str], Any]]:
    return [((address.kind, address.name), each) for address, each in stack.resources.items()]


def connector(stack: Stack, name: str = "cdc") -> Connector:
    found = stack.resources[Address("connector", name)]
    assert isinstance(found, Connector)
    return found


def transforms(**each: Mapping[str, str]) -> dict[str, str]:
    properties = {f"transforms.{name}.{key}": value for name, own in each.items() for key, value in own.items()}
    return {"transforms": ",".join(each), **properties}


def regex_router(regex: str, replacement: str, **more: str) -> dict[str, str]:
    return {"type": ROUTER, "regex": regex, "replacement": replacement, **more}


# Names


@pytest.mark.parametrize(
    ("template", "tables", "names", "included"),
    [
        ("debezium-mysql", ["orders", "other.t$1"], ["p.shop.orders", "p.other.t_1"], r"shop\.orders,other\.t\$1"),
        ("debezium-mariadb", ["orders"], ["p.shop.orders"], r"shop\.orders"),
        ("debezium-postgres", ["orders", "hr.Staff"], ["p.public.orders", "p.hr.Staff"], r"public\.orders,hr\.Staff"),
        ("debezium-sqlserver", ["orders", "hr.staff", "shop.dbo.t"],
         ["p.shop.dbo.orders", "p.shop.hr.staff", "p.shop.dbo.t"], r"dbo\.orders,hr\.staff,dbo\.t"),
        ("debezium-oracle", ["orders", "hr.Staff", 'hr."Mixed Case"', "HR.A#B"],
         ["p.SHOP.ORDERS", "p.HR.STAFF", "p.HR.Mixed_Case", "p.HR.A_B"],
         r"SHOP\.ORDERS,HR\.STAFF,HR\.Mixed Case,HR\.A\#B"),
        ("debezium-mongodb", ["orders", "other.a.b"], ["p.shop.orders", "p.other.a.b"], r"shop\.orders,other\.a\.b"),
    ],
)  # fmt: skip
def test_a_table_becomes_the_topic_that_debezium_writes_to(
    template: str, tables: list[str], names: list[str], included: str, tmp_path: Path
) -> None:
    stack = expanded(tmp_path, block(template, tables=tables))
    assert [name for name in topics(stack) if name.startswith("p.")] == names
    assert connector(stack).config[LISTS.get(template, "table.include.list")] == included


def test_a_short_name_without_the_place_that_it_is_in_is_an_error(tmp_path: Path) -> None:
    found = told(tmp_path, block("debezium-oracle", tables=["orders"], database={"schema": ""}))
    assert [(d.code, "database.schema" in d.detail) for d in found] == [("K201", True)]


def test_the_names_that_debezium_lets_one_change_are_followed(tmp_path: Path) -> None:
    config = {"topic.delimiter": "-", "topic.heartbeat.prefix": "hb", "topic.transaction": "tx"}
    stack = expanded(tmp_path, block(tables=["orders"], transactions=True, config=config))
    assert list(topics(stack)) == ["p-public-orders", "hb-p", "p-tx"]
    assert connector(stack).heartbeat == "hb-p"


def test_what_kafka_does_not_allow_can_make_two_tables_one_topic_and_that_is_an_error(tmp_path: Path) -> None:
    found = told(tmp_path, block(tables=["a$b", "a_b"]))
    assert [(d.code, d.detail.split(";")[0]) for d in found] == [("K211", "topic/p.public.a_b")]


def test_databases_of_sql_server_have_the_same_include_list(tmp_path: Path) -> None:
    tables = ["orders", "archive.dbo.orders", "stock"]
    found = loaded(tmp_path, block("debezium-sqlserver", database={"names": ["shop", "archive"]}, tables=tables))
    config = connector(found.stacks[0]).config
    assert (config["database.names"], config["table.include.list"]) == ("shop,archive", r"dbo\.orders,dbo\.stock")
    assert [(d.code, d.detail) for d in found.diagnostics] == [("K226", "connector/cdc: p.archive.dbo.stock")]


# Topics of the connector itself

WANTED = {  # what no default may reach
    "__debezium-heartbeat.p": ("delete", "86400000", None),
    "p.transaction": ("delete", "604800000", None),
    "sig": ("delete", "604800000", None),
    "p.notifications": ("delete", "604800000", None),
    "schema-changes.cdc": ("delete", "-1", "-1"),
    "p": ("delete", "604800000", None),
}
SIGNAL_TABLES = {
    "debezium-oracle": ("PDB.DBZ.SIG", "p.DBZ.SIG"),
    "debezium-sqlserver": ("shop.dbo.sig,archive.dbo.sig", "p.shop.dbo.sig"),
}


@pytest.mark.parametrize("template", DATABASE)
def test_no_default_reaches_retention_policy_or_partitions_of_a_connectors_own_topics(
    template: str, tmp_path: Path
) -> None:
    defaults = {"partitions": 12, "replication_factor": 2, "config": {
        "retention.ms": "1h", "retention.bytes": 5, "cleanup.policy": "compact", "min.insync.replicas": 2,
        "compression.type": "zstd"}}  # fmt: skip
    environment = {"defaults": {"topic": {"config": {"retention.ms": "2h"}}}}
    (tmp_path / "kplan.yaml").write_text(yaml.safe_dump({"version": 1, "environments": {"local": environment}}))
    table, topic = SIGNAL_TABLES.get(template, ("a.sig", "p.a.sig"))
    own = block(template, tables=["orders"], transactions=True, signal={"topic": "sig", "table": table})
    text = {"version": 1, "stack": "s", "defaults": {"topic": defaults}, "connectors": {"cdc": own}}
    (tmp_path / "stack.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
    process = {"KAFKA_TOPIC_PARTITIONS": "7", "KAFKA_TOPIC_RETENTION_MS": "1", "KAFKA_TOPIC_CLEANUP_POLICY": "compact",
               "KAFKA_TOPIC_RETENTION_BYTES": "1", "KAFKA_TOPIC_MIN_ISR": "1"}  # fmt: skip
    found = load_project(Request([str(tmp_path / "stack.yaml")], folder=str(tmp_path), process=process))
    assert not [d for d in found.diagnostics if d.is_error]
    made = topics(found.stacks[0])
    history = template not in ("debezium-postgres", "debezium-mongodb")
    wanted = {name: w for name, w in WANTED.items() if history or name not in ("schema-changes.cdc", "p")}
    wanted[topic] = ("delete", "604800000", None)
    assert wanted.keys() < made.keys()
    for name, (policy, age, size) in wanted.items():
        each = made[name]
        assert (each.partitions, each.replication_factor, each.config["min.insync.replicas"]) == (1, 2, "1"), name
        assert (each.config["cleanup.policy"], each.config["retention.ms"]) == (policy, age), name
        assert (each.config.get("retention.bytes"), each.config.get("compression.type")) == (size, None), name
    captured = next(each for name, each in made.items() if name.lower().endswith("orders"))
    assert (captured.partitions, captured.config["retention.ms"]) == (7, "1"), "a table's topic takes them"


def test_a_list_of_signal_tables_makes_a_topic_of_each(tmp_path: Path) -> None:
    signal = {"table": "shop.dbo.sig,archive.dbo.sig"}
    made = topics(expanded(tmp_path, block("debezium-sqlserver", tables=["orders"], signal=signal)))
    assert {"p.shop.dbo.sig", "p.archive.dbo.sig"} <= made.keys()


def test_a_topic_of_the_connector_that_the_stack_names_keeps_what_makes_it_safe(tmp_path: Path) -> None:
    defaults = {"topic": {"config": {"retention.ms": "7d"}}}
    own = {"protect": True, "replication_factor": 3}
    for where in ({"topics": {"schema-changes.cdc": own}}, {}):
        within = {} if where else {"topics": {"schema-changes.cdc": own}}
        stack = expanded(tmp_path, block("debezium-mysql", tables=["t"], **within), defaults=defaults, **where)
        history = topics(stack)["schema-changes.cdc"]
        assert (history.config["retention.ms"], history.replication_factor) == ("-1", 3)
        assert history.rules.protect is True


@pytest.mark.parametrize(
    "own", [{"partitions": 3}, {"config": {"retention.ms": "7d"}}, {"config": {"cleanup.policy": "compact"}}]
)
def test_a_schema_history_that_would_be_lost_is_an_error(own: Mapping[str, Any], tmp_path: Path) -> None:
    found = told(tmp_path, block("debezium-mysql", tables=["t"], topics={"schema-changes.cdc": own}))
    assert [d.code for d in found] == ["K229"]


def test_two_connectors_may_read_signals_from_one_topic(tmp_path: Path) -> None:
    signal = {"topic": "signals"}
    other = {**block(tables=["t"], signal=signal), "topic_prefix": "q"}
    stack = expanded(tmp_path, block(tables=["t"], signal=signal), other)
    assert "signals" in connector(stack).feeds and "signals" in connector(stack, "c1").feeds


def test_what_is_set_under_config_decides_as_well(tmp_path: Path) -> None:
    config = {"heartbeat.interval.ms": 0, "include.schema.changes": False, "provide.transaction.metadata": True,
              "schema.history.internal.kafka.topic": "past", "notification.enabled.channels": "log,sink",
              "notification.sink.topic.name": "told"}  # fmt: skip
    stack = expanded(tmp_path, block("debezium-mysql", tables=["t"], config=config))
    assert list(topics(stack)) == ["p.shop.t", "p.transaction", "told", "past"]
    assert connector(stack).heartbeat == ""


# Parameters


@pytest.mark.parametrize(
    ("template", "more"),
    [
        ("debezium-postgres", {"snapshot": "recovery"}),
        ("debezium-mongodb", {"decimals": "precise"}),
        ("debezium-mongodb", {"database": {"user": "u"}}),
        ("debezium-mysql", {"time": "adaptive"}),
        ("debezium-oracle", {"signal": {"table": "a.b"}}),
        ("debezium-postgres", {"queue": {"bach": 1}}),
        ("debezium-postgres", {"retry": {"attempts": -2}}),
        ("debezium-postgres", {"heartbeat": "10s"}),
    ],
)
def test_what_the_engine_does_not_take_is_an_error_at_its_place(
    template: str, more: Mapping[str, Any], tmp_path: Path
) -> None:
    (found,) = told(tmp_path, block(template, tables=["t"], **more))
    assert found.code == "K106" and found.path.startswith("/connectors/cdc/")


@pytest.mark.parametrize("template", DATABASE)
def test_old_snapshot_modes_are_mapped_with_a_warning(template: str, tmp_path: Path) -> None:
    for old, new in (("schema_only", "no_data"), ("never", "no_data"), ("schema_only_recovery", "recovery")):
        if new == "recovery" and template in ("debezium-postgres", "debezium-mongodb"):
            continue
        found = loaded(tmp_path, block(template, tables=["t"], snapshot=old))
        assert [d.code for d in found.diagnostics] == ["K217"]
        assert connector(found.stacks[0]).config["snapshot.mode"] == new


def test_a_connection_string_is_no_secret_unless_it_holds_one(tmp_path: Path) -> None:
    database = {"connection_string": "mongodb://u:pw-9@h/?replicaSet=rs0"}
    found = told(tmp_path, block("debezium-mongodb", tables=["t"], database=database))
    assert [d.code for d in found] == ["K210"] and "pw-9" not in str(found)


def test_a_sensitive_prefix_is_an_error_because_topics_show_it(tmp_path: Path) -> None:
    variables = {"p": {"type": "string", "sensitive": True, "default": "canary-3"}}
    found = told(tmp_path, block(tables=["t"], config={"topic.prefix": "{{ var.p }}"}), variables=variables)
    assert [d.code for d in found] == ["K209"] and "canary" not in str(found)


@pytest.mark.parametrize("schema", ["{type: strin}", "{$ref: '#/nowhere'}", "{type: string, pattern: '('}"])
def test_an_own_template_with_a_wrong_schema_is_an_error(schema: str, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    own = f"version: 1\ntemplate: mine\nclass: x.Mine\nparameters: {{a: {schema}}}\n"
    (tmp_path / "templates" / "mine.yaml").write_text(own)
    assert [d.code for d in told(tmp_path, {"template": "mine", "a": "b"})] == ["K221"]


# Tables: patterns, columns, keys


def test_patterns_leave_out_what_is_excluded_and_need_topics(tmp_path: Path) -> None:
    tables = ["orders", r"hr\..*|old\.t", r"!hr\.audit_.*", "!hr.secret"]
    stack = expanded(tmp_path, block(tables=tables, topics={"p.hr.staff": {"partitions": 3}}))
    assert connector(stack).config["table.include.list"] == (
        r"public\.orders,(?!(?:hr\.audit_.*|hr\.secret)$)(?:hr\..*|old\.t)"
    )
    assert topics(stack)["p.hr.staff"].partitions == 3
    assert [d.code for d in told(tmp_path, block(tables=tables))] == ["K216"]


@pytest.mark.parametrize("tables", [["orders", "!audit"], {r"hr\..*": {"partitions": 3}}], ids=["nothing", "settings"])
def test_a_pattern_that_makes_no_sense_is_an_error(tables: Any, tmp_path: Path) -> None:
    assert [d.code for d in told(tmp_path, block(tables=tables, topics={"p.hr.staff": None}))] == ["K216"]


@pytest.mark.parametrize("template", list(DATABASE))
def test_the_command_that_lists_tables_is_named_where_it_can_ask(template: str, tmp_path: Path) -> None:
    asks = template in ("debezium-postgres", "debezium-mysql", "debezium-mariadb")
    for tables in ([r"a\..*"], ["!secret"]):
        (problem,) = told(tmp_path, block(template, tables=tables))
        assert (problem.code, "kplan discover cdc STACK" in problem.help) == ("K216", asks)


def test_a_pattern_names_its_database_where_the_engine_wants_that(tmp_path: Path) -> None:
    for pattern, databases in ((r"shop\.order_.*", "shop"), (r"(shop|old)\.orders", None)):
        stack = expanded(tmp_path, block("debezium-mysql", tables=[pattern], topics={"p.shop.order_1": None}))
        assert connector(stack).config.get("database.include.list") == databases


def test_columns_are_left_out_masked_and_cut(tmp_path: Path) -> None:
    columns = {"exclude": ["card", "secret_.*"], "mask": {"email": 8, "phone": {"hash": "SHA-256", "salt": "s"}},
               "truncate": {"notes": 200}}  # fmt: skip
    tables = {"orders": {"columns": columns, "key": ["tenant", "id"]}, "stock": {"columns": {"mask": {"vendor": 8}}}}
    config = connector(expanded(tmp_path, block(tables=tables))).config
    assert config["column.exclude.list"] == r"public\.orders\.card,public\.orders\.secret_.*"
    assert config["column.mask.with.8.chars"] == r"public\.orders\.email,public\.stock\.vendor"
    assert config["column.mask.hash.SHA-256.with.salt.s"] == r"public\.orders\.phone"
    assert config["column.truncate.to.200.chars"] == r"public\.orders\.notes"
    assert config["message.key.columns"] == r"public\.orders:tenant,id"


def test_chosen_columns_of_one_table_leave_those_of_the_others_alone(tmp_path: Path) -> None:
    tables = {"a": {"columns": {"include": ["id", "name"]}}, "b": {"columns": {"exclude": ["card", "cvv"]}}, "c": None}
    config = connector(expanded(tmp_path, block("debezium-sqlserver", tables=tables))).config
    assert config["column.include.list"] == (r"dbo\.a\.id,dbo\.a\.name,dbo\.b\.(?!(?:card|cvv)$).*,dbo\.c\..*")
    assert "column.exclude.list" not in config


def test_chosen_columns_let_signals_pass(tmp_path: Path) -> None:
    own = block(tables={"a": {"columns": {"include": ["id"]}}}, signal={"table": "public.sig"})
    config = connector(expanded(tmp_path, own)).config
    assert config["column.include.list"] == r"public\.a\.id,public\.sig\..*"


def test_fields_of_mongodb_can_be_excluded_and_that_is_all(tmp_path: Path) -> None:
    config = connector(
        expanded(tmp_path, block("debezium-mongodb", tables={"t": {"columns": {"exclude": ["a.b"]}}}))
    ).config
    assert config["field.exclude.list"] == "shop.t.a.b"
    found = told(tmp_path, block("debezium-mongodb", tables={"t": {"key": ["a"]}}))
    assert [d.code for d in found] == ["K228"]


def test_a_comma_cuts_no_pattern_and_no_column_in_two(tmp_path: Path) -> None:
    tables = {r"public\.t{1,3}": {"columns": {"exclude": ["a,b", "c{1,2}"]}}, "!public.x": None}
    config = connector(expanded(tmp_path, block(tables=tables, topics={"p.public.t": None}))).config
    assert config["table.include.list"] == r"(?!(?:public\.x)$)(?:public\.t{1\,3})"
    assert config["column.exclude.list"] == r"(?:public\.t{1\,3})\.a\,b,(?:public\.t{1\,3})\.c{1\,2}"
    assert split_items(r"public\.t{1\,3},public\.b") == ["public.t{1,3}", "public.b"]  # as a plan shows a list
    assert split(str(config["column.exclude.list"])) == [
        r"(?:public\.t{1,3})\.a,b",
        r"(?:public\.t{1,3})\.c{1,2}",
    ]


@pytest.mark.parametrize(
    ("pattern", "key"),
    [(r"public\.t_\d", r"public\.t_\d:id"), (r"public\.(a|b)", r"(public\.(a|b)):id"),
     (r"public\.t{1,3}", r"public\.t{1\,3}:id")],
)  # fmt: skip
def test_the_key_of_a_pattern_has_the_form_that_debezium_reads(pattern: str, key: str, tmp_path: Path) -> None:
    own = block(tables={pattern: {"key": ["id"]}}, topics={"p.public.t": None})
    assert connector(expanded(tmp_path, own)).config["message.key.columns"] == key


@pytest.mark.parametrize(
    ("template", "name", "settings"),
    [
        ("debezium-postgres", "t", {"key": ["a,b"]}),
        ("debezium-postgres", r"(?:hr|old)\.t", {"key": ["a"]}),
        ("debezium-mongodb", "t", {"columns": {"exclude": ["a,b"]}}),
    ],
)
def test_a_name_that_debezium_would_cut_is_an_error(template: str, name: str, settings: Any, tmp_path: Path) -> None:
    (found,) = told(tmp_path, block(template, tables={name: settings}, topics={"p.t": None}))
    assert found.code == "K228" and found.span is not None and found.span.line > 1


@pytest.mark.parametrize(
    "tables", [["public.["], ["orders", "!a(b"], {"orders": {"columns": {"exclude": ["*a"]}}}], ids=str
)
def test_what_is_no_regular_expression_is_refused_at_its_place(tables: Any, tmp_path: Path) -> None:
    found = [d for d in told(tmp_path, block(tables=tables, topics={"p.public.t": None})) if d.code == "K203"]
    assert len(found) == 1 and found[0].span is not None and found[0].span.line > 1


def test_what_only_java_reads_is_no_error(tmp_path: Path) -> None:
    tables = [r"public\.\p{Alpha}+", r"\Qpublic.a(b\E"]
    assert told(tmp_path, block(tables=tables, topics={"p.public.t": None})) == []


def test_all_tables_but_one_need_topics_too(tmp_path: Path) -> None:
    assert [d.code for d in told(tmp_path, block(tables=["!secret"]))] == ["K216"]
    stack = expanded(tmp_path, block(tables=["!secret"], topics={"p.public.orders": None}))
    assert connector(stack).config["table.include.list"] == r"(?!(?:public\.secret)$)(?:.*)"


@pytest.mark.parametrize("key", ["table.include.list", "table.exclude.list", "table.whitelist"])
def test_a_list_beside_the_tables_is_refused_where_it_stands(key: str, tmp_path: Path) -> None:
    found = [d for d in told(tmp_path, block(tables=["orders"], config={key: "public.stock"})) if d.code == "K211"]
    assert [d.detail.split(",")[0] for d in found] == [key]
    text = (tmp_path / "stack.yaml").read_text().splitlines()
    assert found[0].span is not None and key in text[found[0].span.line - 1]


def test_a_list_beside_the_tables_may_name_them_in_other_words(tmp_path: Path) -> None:
    own = block(tables=["orders"], config={"table.include.list": "public.orders"})
    assert connector(expanded(tmp_path, own)).config["table.include.list"] == "public.orders"


@pytest.mark.parametrize(
    "columns", [{"include": ["a"], "exclude": ["b"]}, {"hide": ["a"]}, {"mask": {"a": {"hash": "x"}}}]
)
def test_columns_that_contradict_are_an_error(columns: Mapping[str, Any], tmp_path: Path) -> None:
    assert {d.code for d in told(tmp_path, block(tables={"t": {"columns": columns}}))} == {"K106"}


def test_columns_said_twice_are_an_error(tmp_path: Path) -> None:
    own = block(tables={"t": {"columns": {"exclude": ["a"]}}}, config={"column.exclude.list": "public.t.b"})
    assert [d.code for d in told(tmp_path, own)] == ["K211"]


# Transforms


def test_a_routed_topic_is_declared_under_its_last_name(tmp_path: Path) -> None:
    config = transforms(route=regex_router(r"p\.(public)\.(?<table>.*)", "shop.$1.${table}"))
    stack = expanded(tmp_path, block(tables={"orders": {"partitions": 6}, "stock": None}, config=config))
    made = topics(stack)
    assert list(made) == ["shop.public.orders", "shop.public.stock", "__debezium-heartbeat.p"]
    assert made["shop.public.orders"].partitions == 6 and "shop.public.orders" in connector(stack).feeds


@pytest.mark.parametrize("router", ["ByLogicalTableRouter", "ToLogicalTopicRouter"])
def test_shards_become_one_topic_that_one_place_describes(router: str, tmp_path: Path) -> None:
    logical = {"type": f"io.debezium.transforms.{router}", "topic.regex": r"(.*)_shard\d+", "topic.replacement": "$1"}
    config = transforms(route=logical)
    tables: dict[str, Any] = {"orders_shard1": None, "orders_shard2": {"partitions": 6}, "stock": None}
    stack = expanded(tmp_path, block(tables=tables, config=config))
    assert list(topics(stack)) == ["p.public.orders", "p.public.stock", "__debezium-heartbeat.p"]
    assert topics(stack)["p.public.orders"].partitions == 6
    tables["orders_shard1"] = {"partitions": 3}
    assert [d.code for d in told(tmp_path, block(tables=tables, config=config))] == ["K211"]
    tables |= {"orders_shard1": None, "orders_shard2": None}
    stack = expanded(tmp_path, block(tables=tables, config=config, topics={"p.public.orders": {"partitions": 9}}))
    assert topics(stack)["p.public.orders"].partitions == 9


def test_a_predicate_of_topic_names_is_followed_and_another_is_not(tmp_path: Path) -> None:
    kind = "org.apache.kafka.connect.transforms.predicates"
    predicates = {
        "predicates": "ours",
        "predicates.ours.type": f"{kind}.TopicNameMatches",
        "predicates.ours.pattern": r"p\.public\..*",
    }
    for negate, names in (("false", ["all", "__debezium-heartbeat.p"]), ("true", ["p.public.a", "p.public.b", "all"])):
        config = {**transforms(route=regex_router(".*", "all", predicate="ours", negate=negate)), **predicates}
        assert list(topics(expanded(tmp_path, block(tables=["a", "b"], config=config)))) == names
    config["predicates.ours.type"] = f"{kind}.HasHeaderKey"
    assert [d.code for d in told(tmp_path, block(tables=["a"], config=config))] == ["K227", "K254"]


def test_an_outbox_needs_topics_unless_its_topic_is_fixed(tmp_path: Path) -> None:
    outbox = {"type": "io.debezium.transforms.outbox.EventRouter"}
    fixed = {**outbox, "route.topic.replacement": "events"}
    assert list(topics(expanded(tmp_path, block(tables=["outbox"], config=transforms(o=fixed))))) == [
        "events", "__debezium-heartbeat.p"]  # fmt: skip
    assert [d.code for d in told(tmp_path, block(tables=["outbox"], config=transforms(o=outbox)))] == ["K227"]
    named = block(tables=["outbox"], config=transforms(o=outbox), topics={"outbox.event.order": {"partitions": 6}})
    stack = expanded(tmp_path, named)
    assert list(topics(stack)) == ["__debezium-heartbeat.p", "outbox.event.order"]


@pytest.mark.parametrize(
    ("transform", "error"),
    [
        ({"type": "org.apache.kafka.connect.transforms.TimestampRouter"}, True),
        ({"type": "io.debezium.transforms.ContentBasedRouter"}, True),
        ({"type": "io.debezium.transforms.ExtractNewRecordState", "route.by.field": "kind"}, True),
        ({"type": "io.debezium.connector.postgresql.transforms.timescaledb.TimescaleDb"}, True),
        (regex_router(r"\p{Alpha}+", "x"), True),
        (regex_router("(.*)", "$2"), True),
        ({"type": "com.acme.Mine"}, False),
    ],
)
def test_a_transform_that_cannot_be_followed_asks_for_topics(
    transform: Mapping[str, str], error: bool, tmp_path: Path
) -> None:
    (found,) = told(tmp_path, block(tables=["t"], config=transforms(x=transform)))
    assert (found.code, found.is_error) == ("K227", error)
    assert told(tmp_path, block(tables={"t": {"topic": "mine"}}, config=transforms(x=transform))) == []


def test_a_naming_strategy_of_its_own_asks_for_topics(tmp_path: Path) -> None:
    config = {"topic.naming.strategy": "com.acme.Names"}
    assert [d.code for d in told(tmp_path, block(tables=["t"], config=config))] == ["K227"]
    stack = expanded(tmp_path, block(tables=["t"], config=config, topics={"mine": None, "beats": None}))
    assert list(topics(stack)) == ["mine", "beats"] and connector(stack).heartbeat == ""


def test_settings_of_an_internal_topic_name_no_table(tmp_path: Path) -> None:
    """Neither do they take a table's topic away where a transform is strange."""
    config = transforms(x={"type": "com.acme.Mine"})
    own = block(tables=["t"], config=config, topics={"__debezium-heartbeat.p": {"protect": True}})
    found = loaded(tmp_path, own)
    assert [(d.code, d.is_error) for d in found.diagnostics] == [("K227", False)]
    assert list(topics(found.stacks[0])) == ["p.public.t", "__debezium-heartbeat.p"]
    own["config"] = transforms(x={"type": "io.debezium.transforms.outbox.EventRouter"})
    assert [(d.code, d.is_error) for d in told(tmp_path, own)] == [("K227", True)]


def test_an_internal_topic_that_two_places_describe_is_an_error(tmp_path: Path) -> None:
    own = {"schema-changes.cdc": {"protect": True}}
    found = told(tmp_path, block("debezium-mysql", tables=["t"], topics=own), topics=own)
    assert [d.code for d in found] == ["K211"]


def test_transforms_that_leave_the_topic_alone_ask_for_nothing(tmp_path: Path) -> None:
    config = transforms(
        unwrap={"type": "io.debezium.transforms.ExtractNewRecordState"},
        mask={"type": "org.apache.kafka.connect.transforms.MaskField$Value", "fields": "a"},
    )
    assert list(topics(expanded(tmp_path, block(tables=["t"], config=config)))) == [
        "p.public.t",
        "__debezium-heartbeat.p",
    ]


def test_a_transform_that_takes_heartbeats_along_is_a_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path, block(tables=["t"], config=transforms(route=regex_router(".*", "all"))))
    assert [(d.code, d.is_error) for d in found.diagnostics] == [("K227", False)]
    assert list(topics(found.stacks[0])) == ["all"]


# What Debezium writes besides


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, "those of every table"),
        ({"tables": ["a"], "config": {"table.include.list": r"public\.a,public\.b"}}, "p.public.b"),
        ({"config": {"table.include.list": r"hr\..*"}}, r"those of hr\..*"),
    ],
)
def test_topics_that_nothing_declares_are_a_warning(more: Mapping[str, Any], names: str, tmp_path: Path) -> None:
    (found,) = told(tmp_path, block(**more))
    assert (found.code, found.is_error, found.detail) == ("K226", False, f"connector/cdc: {names}")


def test_a_debezium_connector_without_a_template_is_known_by_its_class(tmp_path: Path) -> None:
    raw = {"class": "io.debezium.connector.postgresql.PostgresConnector", "config": {
        "topic.prefix": "p", "table.include.list": "public.a,public.b", "heartbeat.interval.ms": 1000}}  # fmt: skip
    (found,) = told(tmp_path, raw, topics={"p.public.a": None})
    assert (found.code, found.detail) == ("K226", "connector/cdc: p.public.b, __debezium-heartbeat.p")
    names = ["p.public.a", "p.public.b", "__debezium-heartbeat.p"]
    assert sorted(connector(expanded(tmp_path, raw, topics=dict.fromkeys(names))).feeds) == sorted(names)


# A thousand tables, and the reference


def test_a_thousand_tables_in_one_connector(tmp_path: Path) -> None:
    tables = {f"t{n:04}": {"partitions": 3} if n % 2 else None for n in range(1000)}
    stack = expanded(tmp_path, block("debezium-mysql", tables=tables))
    made = topics(stack)
    assert len(made) == 1003 and len(connector(stack).feeds) == 1003
    assert sum(each.partitions for each in made.values()) == 500 * 3 + 500 + 3
    assert str(connector(stack).config["table.include.list"]).count(",") == 999


def test_the_reference_and_the_schema_are_those_of_the_templates() -> None:
    """`make docs` writes both."""
    build = runpy.run_path(str(ROOT / "docs" / "reference" / "build.py"))
    assert build["PAGE"].read_text("utf-8") == build["page"]()
    assert (
        build["SCHEMA"].read_text("utf-8")
        == build["json"].dumps(build["schema"](), indent=2, ensure_ascii=False) + "\n"
    )
