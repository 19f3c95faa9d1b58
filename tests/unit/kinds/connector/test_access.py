"""The rights that a line `connectors:` grants, by the connector's kind and settings, and to whom."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from kplan.diagnostics import Diagnostic, Severity
from kplan.kinds.connector.access import find_user
from kplan.project.loading import Loaded, Request, load_project

JAAS = 'org.apache.kafka.common.security.scram.ScramLoginModule required username="{user}" password="{password}";'
SECRET = "canary-8c1e-word"
HEAD = """
version: 1
stack: s
variables: {word: {type: string, sensitive: true, env: WORD}, jaas: {type: string, sensitive: true, env: JAAS}}
"""


def load(folder: Path, stack: str, connect: str = "url: 'http://x'", **process: str) -> Loaded:
    (folder / "stack.yaml").write_text(HEAD + dedent(stack))
    (folder / "kplan.yaml").write_text(
        f"version: 1\nenvironments: {{local: {{kafka: {{bootstrap.servers: 'x:1'}}, connect: {{{connect}}}}}}}\n"
    )
    known = {"WORD": SECRET, "JAAS": JAAS.format(user="hidden", password=SECRET), **process}
    return load_project(Request([str(folder / "stack.yaml")], folder=str(folder), process=known))


def bindings_of(folder: Path, stack: str, connect: str = "url: 'http://x'") -> set[str]:
    loaded = load(folder, stack, connect)
    assert not loaded.has_errors, loaded.diagnostics
    return {address.name for address in loaded.stacks[0].resources if address.kind == "acl"}


def errors_of(folder: Path, stack: str, connect: str = "url: 'http://x'") -> list[Diagnostic]:
    return [each for each in load(folder, stack, connect).diagnostics if each.severity is Severity.ERROR]


def grants(principal: str, *grants: str) -> set[str]:
    return {f"{principal}/allow/{grant}" for grant in grants}


POSTGRES = """
connectors:
  shop:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: h, name: d, user: u, password: "{{ var.word }}"}
    transactions: true
    signal: {topic: shop.signals}
    tables: {orders: {}, elsewhere: {ignore_topic: true}}
access:
  User:cdc: {connectors: [shop]}
"""
MYSQL = """
connectors:
  shop:
    template: debezium-mysql
    topic_prefix: shop
    database: {hostname: h, name: d, user: u, password: "{{ var.word }}"}
    tables: {orders: {}}
    config: {}
access:
  User:cdc: {connectors: shop}
"""
SINK = """
topics: {shop.orders: {}, shop.customers: {}, other: {}}
connectors:
  archive:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    dead_letter: {topic: shop.dead}
    config: {topics: "shop.orders,shop.customers", file: out}
access:
  User:sink: {connectors: [archive]}
"""
LINES = """
connectors:
  lines:
    class: org.apache.kafka.connect.file.FileStreamSourceConnector
    topics: {shop.lines: {}}
    config: {topic: shop.lines, file: in}
access:
  User:cdc: {connectors: [lines]}
"""


def test_a_source_writes_its_topics_and_reads_its_signals(tmp_path: Path) -> None:
    assert bindings_of(tmp_path, POSTGRES) == grants(
        "User:cdc",
        "Write/topic/shop.public.orders",
        "Write/topic/shop.public.elsewhere",
        "Write/topic/__debezium-heartbeat.shop",
        "Write/topic/shop.transaction",
        "Write/topic/shop.notifications",
        "Read/topic/shop.signals",
        "Read/group/shop.signals",
    )


def test_a_schema_history_is_read_and_written_with_its_group(tmp_path: Path) -> None:
    assert bindings_of(tmp_path, MYSQL) == grants(
        "User:cdc",
        "Write/topic/shop.d.orders",
        "Write/topic/__debezium-heartbeat.shop",
        "Write/topic/shop",
        "Read/topic/schema-changes.shop",
        "Write/topic/schema-changes.shop",
        "Read/group/shop-schemahistory",
    )


def test_groups_follow_the_connectors_settings(tmp_path: Path) -> None:
    settings = "config: {schema.history.internal.consumer.group.id: mine}"
    assert "User:cdc/allow/Read/group/mine" in bindings_of(tmp_path, MYSQL.replace("config: {}", settings))
    own = POSTGRES.replace("    tables:", "    config: {signal.consumer.group.id: mine}\n    tables:")
    assert "User:cdc/allow/Read/group/mine" in bindings_of(tmp_path, own)
    default = POSTGRES.replace("    tables:", "    config: {signal.kafka.groupId: null}\n    tables:")
    assert "User:cdc/allow/Read/group/kafka-signal" in bindings_of(tmp_path, default)


def test_a_topic_that_kplan_does_not_declare_is_created_by_the_connector(tmp_path: Path) -> None:
    raw = """
    topics: {shop.public.orders: {}, __debezium-heartbeat.shop: {}}
    connectors:
      shop:
        class: io.debezium.connector.postgresql.PostgresConnector
        config: {topic.prefix: shop, table.include.list: "public.orders,public.new", heartbeat.interval.ms: 1000,
                 offsets.storage.topic: shop.offsets}
    access: {User:cdc: {connectors: [shop]}}
    """
    assert bindings_of(tmp_path, raw) == grants(
        "User:cdc",
        "Write/topic/shop.public.orders",
        "Write/topic/shop.public.new",
        "Create/topic/shop.public.new",
        "Write/topic/__debezium-heartbeat.shop",
        "Read/topic/shop.offsets",
        "Write/topic/shop.offsets",
        "Create/topic/shop.offsets",
    )


def test_a_sink_reads_its_topics_as_its_group_and_writes_its_dead_letters(tmp_path: Path) -> None:
    assert bindings_of(tmp_path, SINK) == grants(
        "User:sink",
        "Read/topic/shop.orders",
        "Read/topic/shop.customers",
        "Read/group/connect-archive",
        "Delete/group/connect-archive",
        "Write/topic/shop.dead",
    )
    own = SINK.replace("file: out", "file: out, consumer.override.group.id: mine")
    assert {"User:sink/allow/Read/group/mine", "User:sink/allow/Delete/group/mine"} < bindings_of(tmp_path, own)


def test_a_sink_by_expression_reads_the_topics_of_the_stack_that_match(tmp_path: Path) -> None:
    text = SINK.replace('topics: "shop.orders,shop.customers"', r'topics.regex: "shop\\.o.*"')
    text = text.replace("    dead_letter: {topic: shop.dead}\n", "")
    found = bindings_of(tmp_path, text)
    assert found == grants(
        "User:sink", "Read/topic/shop.orders", "Read/group/connect-archive", "Delete/group/connect-archive"
    )


def test_with_connects_group_a_source_has_its_transactional_ids(tmp_path: Path) -> None:
    found = bindings_of(tmp_path, LINES, "url: 'http://x', group_id: workers")
    assert found == grants("User:cdc", "Write/topic/shop.lines", "Write/transactional-id-prefix/workers-lines-")


def test_exactly_once_needs_connects_group(tmp_path: Path) -> None:
    required = LINES.replace("file: in", "file: in, exactly.once.support: required")
    (problem,) = errors_of(tmp_path, required)
    assert problem.code == "K274" and "group_id" in problem.help and problem.span is not None
    assert not errors_of(tmp_path, required, "url: 'http://x', group_id: workers")


@pytest.mark.parametrize(
    "text",
    [
        LINES.replace("    topics: {shop.lines: {}}\n", ""),
        SINK.replace('topics: "shop.orders,shop.customers"', "topics.regex: none-of-them"),
    ],
)
def test_a_connector_whose_topics_are_not_known_is_an_error(tmp_path: Path, text: str) -> None:
    (problem,) = errors_of(tmp_path, text)
    assert problem.code == "K273" and problem.span is not None
    assert ("consume" if "archive" in text else "produce") in problem.help


def with_login(text: str, prefix: str, value: str) -> str:
    return text.replace("file: ", f"{prefix}.sasl.jaas.config: '{value}', file: ")


@pytest.mark.parametrize("value", [JAAS.format(user="cdc", password="{{ var.word }}"), "{{ var.jaas }}"])
def test_the_principal_is_the_user_of_the_connectors_own_login(tmp_path: Path, value: str) -> None:
    text = with_login(LINES, "producer.override", value)
    user = "hidden" if "jaas" in value else "cdc"
    assert bindings_of(tmp_path, text.replace("User:cdc", f"User:{user}")) == grants(
        f"User:{user}", "Write/topic/shop.lines"
    )
    (problem,) = errors_of(tmp_path, text.replace("User:cdc", "User:worker"))
    assert problem.code == "K272" and "User:worker" in problem.detail and "connector/lines" in problem.detail
    assert problem.span is not None and "connectors" in text.splitlines()[problem.span.line - 5]
    assert SECRET not in repr(problem) and "hidden" not in repr(problem)


def test_a_login_that_connect_reads_from_a_file_is_not_judged(tmp_path: Path) -> None:
    text = with_login(LINES, "producer.override", "${file:/run/kafka.properties:jaas}")
    assert bindings_of(tmp_path, text) == grants("User:cdc", "Write/topic/shop.lines")


def test_each_principal_gets_what_its_own_client_needs(tmp_path: Path) -> None:
    text = with_login(SINK, "consumer.override", JAAS.format(user="reader", password="{{ var.word }}"))
    text = text.replace("  User:sink: {connectors: [archive]}", "  User:reader: {connectors: [archive]}\n"
                        "  User:worker: {connectors: [archive]}")  # fmt: skip
    assert bindings_of(tmp_path, text) == {
        *grants("User:reader", "Read/topic/shop.orders", "Read/topic/shop.customers", "Read/group/connect-archive",
                "Delete/group/connect-archive"),
        *grants("User:worker", "Write/topic/shop.dead"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("login", "user"),
    [
        (JAAS.format(user="cdc", password="x"), "cdc"),
        ("Module required password='x' username='a b' ;", "a b"),
        ('Module required username="a\\"b";', 'a"b'),
        ("Module required username=cdc password=x;", "cdc"),
        ('Module required username="${env:USER}";', ""),
        ('Module required username="{{ var.user }}";', ""),
        ("{{ var.jaas }}", ""),
        ("org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;", ""),
    ],
)
def test_the_user_of_a_login(login: str, user: str) -> None:
    assert find_user(login) == user
