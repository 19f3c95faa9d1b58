"""kplan discover on a real PostgreSQL and a real MariaDB; neither Kafka nor Connect is needed."""

from __future__ import annotations

from pathlib import Path

from tests.services import MariaDB, Postgres
from tests.services.process import free_port
from tests.shell import Shell

STACK = """
version: 1
stack: shop
variables:
  password: {{type: string, sensitive: true}}
connectors:
  feed:
    template: {template}
    topic_prefix: shop
    database: {{hostname: "{server.host}", port: {server.port}, name: "{name}", user: {user}, password: "{password}"}}
    tables: {tables}
"""


def shell(folder: Path, password: str) -> Shell:
    return Shell(folder, {"KPLAN_VAR_password": password}, (password,))


def test_tables_of_postgres(postgres: Postgres, tmp_path: Path) -> None:
    database = postgres.database("discover")
    for statement in (
        "CREATE TABLE orders (id int, line int, PRIMARY KEY (line, id))",
        "INSERT INTO orders SELECT n, 1 FROM generate_series(1, 2500) n",
        "CREATE TABLE customers (id int PRIMARY KEY)",
        "CREATE TABLE notes (note text)",
        "CREATE TABLE codes (code text NOT NULL UNIQUE)",
        "CREATE TABLE maybe (code text UNIQUE)",
        'CREATE TABLE "my table" (id int PRIMARY KEY)',
        "CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY)",
        "CREATE SCHEMA audit",
        "CREATE TABLE audit.logins (id int PRIMARY KEY)",
        "CREATE VIEW shown AS SELECT * FROM orders",
        "ANALYZE orders",
    ):
        database.execute_as_user(statement)
    database.execute("CREATE TABLE foreigners (id int PRIMARY KEY)")
    sh = shell(tmp_path, database.password)

    def declare(tables: str, name: str = database.name, password: str = "{{ var.password }}") -> None:
        text = STACK.format(template="debezium-postgres", server=database, name=name, user=database.user,
                            password=password, tables=tables)  # fmt: skip
        sh.write("stack.yaml", text)

    declare("[orders, customers, gone]")
    found = sh.kplan("discover", "feed", "stack.yaml", "--format", "json").json
    tables = {table["name"]: table for table in found["tables"]}
    assert {name for name, table in tables.items() if table["captured"]} == {"public.orders", "public.customers"}
    assert set(tables) == {
        "public.orders", "public.customers", "public.notes", "public.codes", "public.maybe", "public.my table",
        "public.scratch", "audit.logins", "public.foreigners",
    }  # fmt: skip
    assert tables["public.orders"]["primary_key"] == ["line", "id"] and tables["public.orders"]["rows"] == 2500
    assert tables["public.orders"]["bytes"] > 80_000 and tables["public.customers"]["rows"] is None
    assert {name for name, table in tables.items() if not table["incremental"]} == {"public.notes", "public.maybe"}
    assert "unlogged" in tables["public.scratch"]["notes"][0]
    assert "GRANT SELECT ON public.foreigners TO cdc;" in tables["public.foreigners"]["notes"][0]
    assert found["absent"] == ["public.gone"]

    declare('["public\\\\..*", "!public.foreigners", "!public.scratch"]')  # no `topics:`, so no plan can be made of it
    text = sh.kplan("discover", "feed", "stack.yaml").out
    assert "9 tables: 6 captured, 3 not." in text
    pasted = text.split("one by one each has a topic:")[1]
    assert '      "public.my table":' in pasted and "foreigners" not in pasted
    sh.write("stack.yaml", (tmp_path / "stack.yaml").read_text().partition("    tables:")[0] + pasted.lstrip("\n"))
    assert "6 captured" in sh.kplan("discover", "feed", "stack.yaml").out, "what it prints can be pasted"

    declare("[orders]")
    wrong = sh.kplan("discover", "feed", "stack.yaml", expect=1, KPLAN_VAR_password="not-the-password-7")
    assert "K313" in wrong.err and "not-the-password-7" not in wrong.all
    nobody = sh.kplan("discover", "feed", "stack.yaml", "--host", f"127.0.0.1:{free_port()}", expect=1)
    assert "K310" in nobody.err and "--host HOST:PORT" in nobody.err
    declare("[orders]", name="nowhere")
    assert "K319" in sh.kplan("discover", "feed", "stack.yaml", expect=1).err
    declare("[orders]", password="${file:/run/db.properties:password}")
    assert "--password-env" in sh.kplan("discover", "feed", "stack.yaml", expect=1).err
    assert "1 captured" in sh.kplan("discover", "feed", "stack.yaml", "--password-env", "KPLAN_VAR_password").out


def test_tables_of_mariadb(mariadb: MariaDB, tmp_path: Path) -> None:
    mariadb.database("discover")
    mariadb.database("elsewhere")
    for statement in (
        "CREATE TABLE discover.orders (id int, line int, PRIMARY KEY (line, id))",
        "INSERT INTO discover.orders SELECT seq, 1 FROM discover.seq_1_to_2500",
        "CREATE TABLE discover.notes (note text)",
        "CREATE TABLE discover.codes (code varchar(9) NOT NULL UNIQUE)",
        "CREATE TABLE discover.maybe (code varchar(9) UNIQUE)",
        "CREATE TABLE discover.versions (id int PRIMARY KEY) WITH SYSTEM VERSIONING",
        "CREATE VIEW discover.shown AS SELECT * FROM discover.orders",
        "CREATE TABLE elsewhere.other (id int PRIMARY KEY)",
        "ANALYZE TABLE discover.orders",
    ):
        mariadb.execute(statement)
    sh = shell(tmp_path, mariadb.password)

    def declare(template: str, tables: str = "[orders]", name: str = "discover") -> None:
        text = STACK.format(template=template, server=mariadb, name=name, user=mariadb.user,
                            password="{{ var.password }}", tables=tables)  # fmt: skip
        sh.write("stack.yaml", text)

    for template in ("debezium-mariadb", "debezium-mysql"):
        declare(template)
        found = sh.kplan("discover", "feed", "stack.yaml", "--format", "json").json
        tables = {t["name"]: t for t in found["tables"] if t["name"].startswith(("discover.", "elsewhere."))}
        assert [name for name, table in tables.items() if table["captured"]] == ["discover.orders"]
        assert set(tables) == {
            "discover.orders", "discover.notes", "discover.codes", "discover.maybe", "discover.versions",
            "elsewhere.other",
        }  # fmt: skip
        assert tables["discover.orders"]["primary_key"] == ["line", "id"]
        assert 2000 < tables["discover.orders"]["rows"] < 3000 and tables["discover.orders"]["bytes"] > 16_000
        unread = {name for name, table in tables.items() if not table["incremental"]}
        assert unread == {"discover.notes", "discover.maybe"}

    text = sh.kplan("discover", "feed", "stack.yaml").out
    assert "      discover.notes:" in text and "no primary key" in text
    wrong = sh.kplan("discover", "feed", "stack.yaml", expect=1, KPLAN_VAR_password="not-the-password-7")
    assert "K313" in wrong.err and "not-the-password-7" not in wrong.all
    assert "K310" in sh.kplan("discover", "feed", "stack.yaml", "--host", f"127.0.0.1:{free_port()}", expect=1).err
    declare("debezium-mariadb", name="nowhere")
    assert "K319" in sh.kplan("discover", "feed", "stack.yaml", expect=1).err
