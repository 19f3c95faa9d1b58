"""What kplan knows of and does in a connector's PostgreSQL, as its user sees it: the look beforehand, and the drop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import ConnectWorker, KafkaCluster, Postgres
from tests.services.postgres import PostgresDatabase
from tests.services.test_undo import SETTINGS
from tests.services.test_walk import PASSWORD, ask, records
from tests.shell import Shell


@pytest.fixture
def shell(kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, tmp_path: Path) -> Shell:
    made = Shell(tmp_path, {"KPLAN_VAR_password": postgres.password}, (postgres.password,))
    made.write("kplan.yaml", SETTINGS.format(kafka=kafka, connect=connect))
    return made


def stack(name: str, database: PostgresDatabase, tables: str = "[orders]", more: str = "") -> str:
    return f"""
version: 1
stack: {name}
{PASSWORD}connectors:
  {name}:
    template: debezium-postgres
    topic_prefix: {name}
    heartbeat: 1000
    database: {{hostname: "{database.host}", port: {database.port}, name: {database.name}, user: {database.user},
               password: "{{{{ var.password }}}}"}}
    tables: {tables}
{more}"""


def left(database: PostgresDatabase, name: str) -> list[str]:
    """What of the connector is in the database."""
    slots = database.execute("SELECT slot_name::text FROM pg_replication_slots WHERE slot_name = %s", name)
    publications = database.execute("SELECT pubname::text FROM pg_publication WHERE pubname = %s", name)
    return [f"slot {n}" for (n,) in slots] + [f"publication {n}" for (n,) in publications]


def test_a_plan_finds_what_the_database_lacks(shell: Shell, postgres: Postgres) -> None:
    database = postgres.database("srclook")
    database.execute_as_user("CREATE TABLE orders (id serial PRIMARY KEY, note text)")
    database.execute_as_user("CREATE TABLE bare (note text)")
    database.execute("CREATE TABLE foreigners (id int PRIMARY KEY)")
    shell.write("stack.yaml", stack("srclook", database, "\n      orders:\n      gone:\n      foreigners:"))
    refused = shell.kplan("plan", "stack.yaml", expect=4)
    assert "error[K322]" in refused.err and "public.gone is not in the PostgreSQL database srclook" in refused.err
    assert "error[K323]" in refused.err and "cdc does not own public.foreigners" in refused.err
    assert "gone:" in refused.err and "foreigners:" in refused.err, "each at its line"
    shell.kplan("apply", "stack.yaml", "--yes", expect=4)
    assert "K322" not in shell.kplan("plan", "stack.yaml", "--offline").all

    shell.write("stack.yaml", stack("srclook", database))
    planned = shell.kplan("plan", "stack.yaml")
    assert "1 by its database" in " ".join(planned.out.split())
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", stack("srclook", database, "[orders, bare]"))
    warned = shell.kplan("plan", "stack.yaml")
    assert "warning[K325]" in warned.err and "REPLICA IDENTITY FULL" in warned.err
    hidden = shell.kplan("plan", "stack.yaml", "--format", "json", PYTHONPATH=_without_driver(shell)).json
    assert hidden["sources"] == [{"connector": "srclook", "checked": False, "why": "its driver is not installed here"}]
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*", "--drop", "slot,publication")
    assert left(database, "srclook") == []


def test_the_library_drops_them_too(shell: Shell, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    import kplan

    database = postgres.database("srclib")
    database.execute_as_user("CREATE TABLE orders (id serial PRIMARY KEY)")
    shell.write("stack.yaml", stack("srclib", database))
    shell.kplan("apply", "stack.yaml", "--yes")
    assert left(database, "srclib") == ["slot srclib", "publication srclib"]
    monkeypatch.chdir(shell.folder)
    loaded = kplan.load("stack.yaml", process=shell.environment)
    result = kplan.destroy(loaded, accept="*", drop=["slot", "publication"])
    assert result.outcome == "applied", result.said
    assert left(database, "srclib") == []


def _without_driver(shell: Shell) -> str:
    """A path on which there is no psycopg."""
    import kplan

    shell.write("hidden/psycopg.py", "raise ImportError('hidden')\n")
    return f"{shell.folder / 'hidden'}:{Path(kplan.__file__).parents[1]}"


def test_slot_and_publication_go_with_their_connector(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres
) -> None:
    database = postgres.database("srcdrop")
    database.execute_as_user("CREATE TABLE orders (id serial PRIMARY KEY, note text)")
    database.execute_as_user("INSERT INTO orders (note) VALUES ('one')")
    block = "    on_delete: {drop: [slot, publication]}\n"
    shell.write("stack.yaml", stack("srcdrop", database))
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", stack("srcdrop", database, more=block))
    assert "in the ledger only" in shell.kplan("apply", "stack.yaml", "--yes").out, "it is remembered"
    assert left(database, "srcdrop") == ["slot srcdrop", "publication srcdrop"]

    again = ("--replace", "connector/srcdrop", "--accept", "delete:connector/srcdrop")
    assert len(records(kafka, "srcdrop.public.orders", 1)) == 1
    old = database.execute("SELECT oid FROM pg_publication WHERE pubname = 'srcdrop'")
    shell.kplan("apply", "stack.yaml", "--yes", *again, "--accept", "*")
    assert len(records(kafka, "srcdrop.public.orders", 2)) == 2, "read anew"
    assert left(database, "srcdrop") == ["slot srcdrop", "publication srcdrop"]
    assert database.execute("SELECT oid FROM pg_publication WHERE pubname = 'srcdrop'") != old

    removed = f"""
version: 1
stack: srcdrop
{PASSWORD}removed:
  - {{connector: srcdrop}}
  - {{topic: srcdrop.public.orders, accept: [data-loss, readers]}}
  - {{topic: __debezium-heartbeat.srcdrop, accept: [data-loss, readers]}}
"""
    shell.write("stack.yaml", removed)
    planned = shell.kplan("plan", "stack.yaml", "--out", "plan.json").out
    words = " ".join(planned.split())
    assert "effect: then drops slot srcdrop and publication srcdrop in its database" in words
    assert "caution K423" in words and "pg_drop_replication_slot" not in words, "nothing of it stays"
    assert words.index("nothing below this line can be undone") < words.index("-! connector/srcdrop")

    database.execute("ALTER PUBLICATION srcdrop OWNER TO postgres")
    config = ask(connect, "GET", "/connectors/srcdrop/config")[1]
    failed = shell.kplan("apply", "plan.json", "--yes", expect=7)
    assert "error[K517]" in failed.out and "DROP PUBLICATION srcdrop;" in failed.out
    assert ask(connect, "GET", "/connectors/srcdrop/config")[1] == config, "made again, for nothing was dropped"
    assert left(database, "srcdrop") == ["slot srcdrop", "publication srcdrop"]
    hindered = shell.kplan("plan", "stack.yaml", expect=4)
    assert "error[K326]" in hindered.err and "does not own publication srcdrop" in hindered.err

    database.execute("ALTER PUBLICATION srcdrop OWNER TO cdc")
    database.execute_as_user("INSERT INTO orders (note) VALUES ('two')")
    assert len(records(kafka, "srcdrop.public.orders", 3)) == 3, "it goes on where it was"
    shell.kplan("apply", "stack.yaml", "--yes")
    assert left(database, "srcdrop") == [] and ask(connect, "GET", "/connectors/srcdrop")[0] == 404
    assert "No changes." in shell.kplan("plan", "stack.yaml").out
    shell.assert_no_secret_on_disk()


KILLED = """
import os, signal
import kplan.servers.databases.postgres as postgres
from kplan.__main__ import run
real = postgres.drop
def drop(*arguments):
    if {after}:
        real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
postgres.drop = drop
run()
"""


def test_an_apply_that_was_killed_at_the_drop_is_recovered(
    shell: Shell, kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres
) -> None:
    database = postgres.database("srccrash")
    database.execute_as_user("CREATE TABLE orders (id serial PRIMARY KEY, note text)")
    shell.write("stack.yaml", stack("srccrash", database, more="    on_delete: {drop: [slot, publication]}\n"))

    def killed(after: bool) -> None:
        words = ["destroy", "stack.yaml", "--yes", "--accept", "*", "--exclude", "topic/*"]
        program = [sys.executable, "-c", KILLED.format(after=after), *words]
        run = subprocess.run(program, cwd=shell.folder, env={**os.environ, **shell.environment}, capture_output=True,
                             timeout=240, check=False)  # fmt: skip
        assert run.returncode == -signal.SIGKILL, run.stdout + run.stderr
        assert ask(connect, "GET", "/connectors/srccrash")[0] == 404

    both = ["slot srccrash", "publication srccrash"]
    shell.kplan("apply", "stack.yaml", "--yes")
    killed(after=False)
    assert left(database, "srccrash") == both
    word = shell.environment.pop("KPLAN_VAR_password")
    unknown = shell.kplan("recover", "--yes", expect=8)
    assert "slot srccrash and publication srccrash are still there is not known" in " ".join(unknown.out.split())
    shell.environment["KPLAN_VAR_password"] = word
    shell.kplan("recover", "--yes")
    assert left(database, "srccrash") == both and ask(connect, "GET", "/connectors/srccrash")[0] == 200
    assert "No changes." in shell.kplan("plan", "stack.yaml").out

    killed(after=False)
    shell.kplan("recover", "--forward", "--yes")
    assert left(database, "srccrash") == []
    shell.kplan("apply", "stack.yaml", "--yes")
    killed(after=True)
    assert left(database, "srccrash") == []
    named = shell.kplan("recover", "--yes", expect=8)
    assert "made again it would miss" in " ".join(named.out.split())
    assert ask(connect, "GET", "/connectors/srccrash")[0] == 404
    shell.kplan("recover", "--forward", "--yes")
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")
