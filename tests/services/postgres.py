"""A PostgreSQL server with logical replication."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg import sql

from tests.services.process import Process, Service, ServiceMissing, free_port, program, run, unprivileged

INSTALL = "apt-get install postgresql"
INSTALLED = Path("/usr/lib/postgresql")
READY_SECONDS = 60
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_wal_senders": "40",
    "max_replication_slots": "40",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # in the data folder, so nothing is left behind in /dev/shm
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """One database of the server, and the roles that reach it."""

    host: str
    port: int
    name: str
    user: str = "cdc"
    password: str = "hidden-Canary-71"
    superuser: str = "postgres"
    superuser_password: str = "postgres"

    def execute(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        """The rows of one statement (with %s for the params), committed, run as the superuser."""
        return self._execute(self.superuser, self.superuser_password, statement, params)

    def execute_as_user(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        """The same as the replication role, which then owns the tables it creates."""
        return self._execute(self.user, self.password, statement, params)

    def _execute(self, user: str, password: str, statement: str, params: tuple[object, ...]) -> list[tuple[Any, ...]]:
        connection = psycopg.connect(
            host=self.host, port=self.port, dbname=self.name, user=user, password=password, autocommit=True
        )
        with connection:
            cursor = connection.execute(statement.encode(), params or None)
            return cursor.fetchall() if cursor.description else []


class Postgres(Service):
    """A server with the superuser `postgres` and the role `cdc` (LOGIN, REPLICATION), each its own password."""

    host = "127.0.0.1"
    user, password = "cdc", "hidden-Canary-71"
    superuser, superuser_password = "postgres", "postgres"

    def __init__(self) -> None:
        self._programs = _programs()
        self._owner = unprivileged("postgres")
        super().__init__("postgres", self._owner)
        self.port = free_port()
        self._process: Process | None = None

    def start(self) -> Self:
        """The server accepts connections; started again after `stop` or `kill` it has the same data and port."""
        first = not self._data.exists()
        if first:
            self._initialise()
        settings = {**SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.folder)}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._data), *options]
        log = self.folder / "postgres.log"
        # not KILL: its children would keep the port for a moment
        self._process = Process(command, log, self._owner, killed_by=signal.SIGQUIT)
        self._process.wait_until(partial(_answers, self._maintenance), READY_SECONDS)
        if first:
            self.execute(f"CREATE ROLE {self.user} LOGIN REPLICATION PASSWORD '{self.password}'")
        return self

    def execute(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        """The rows of one statement, run as the superuser in the database `postgres`."""
        return self._maintenance.execute(statement, *params)

    def database(self, name: str) -> PostgresDatabase:
        """A new empty database owned by `cdc`; one of that name is gone with its replication slots."""
        slots = self.execute("SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = %s", name)
        for slot, active_pid in slots:
            if active_pid is not None:
                self.execute("SELECT pg_terminate_backend(%s, 5000)", active_pid)
            self.execute("SELECT pg_drop_replication_slot(%s)", slot)
        quoted = sql.Identifier(name).as_string(None)
        self.execute(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")
        self.execute(f"CREATE DATABASE {quoted} OWNER {self.user} TEMPLATE template0")
        return PostgresDatabase(self.host, self.port, name)

    def dump(self, database: str) -> str:
        """The DDL of a database, as pg_dump writes it."""
        command = [str(self._programs / "pg_dump"), "--schema-only", "-h", self.host, "-p", str(self.port)]
        environment = {**os.environ, "PGPASSWORD": self.superuser_password}
        ended = subprocess.run(
            [*command, "-U", self.superuser, database], env=environment, capture_output=True, text=True, check=True
        )
        return ended.stdout

    def stop(self) -> None:
        """The server has shut down after ending its connections."""
        if self._process is not None:
            self._process.stop(signal.SIGINT)

    def kill(self) -> None:
        """The server has ended at once, without a checkpoint."""
        if self._process is not None:
            self._process.kill()

    def kill_all(self) -> None:
        self.kill()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _maintenance(self) -> PostgresDatabase:
        return PostgresDatabase(self.host, self.port, "postgres")

    def _initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.superuser_password)
        options = [
            "-U",
            self.superuser,
            "--pwfile",
            str(secret),
            "-A",
            "scram-sha-256",
            "--no-sync",
            "-E",
            "UTF8",
        ]
        initdb = [str(self._programs / "initdb"), "-D", str(self._data), "--locale=C", *options]
        run(initdb, self.folder / "initdb.log", self._owner)


def _programs() -> Path:
    """The folder of the newest PostgreSQL's server programs."""
    versions = [folder / "bin" for folder in INSTALLED.glob("*") if (folder / "bin" / "initdb").exists()]
    if versions:
        return max(versions, key=lambda folder: [int(part) for part in re.findall(r"\d+", folder.parent.name)])
    found = Path(program(["initdb"], [], INSTALL)).parent
    if not (found / "postgres").exists():
        raise ServiceMissing(f"postgres is not beside {found / 'initdb'}; install it: {INSTALL}")
    return found


def _answers(database: PostgresDatabase) -> bool:
    try:
        database.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
