"""A MariaDB server with a row-based binary log."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import pymysql
from pymysql.constants import CLIENT

from tests.services.process import Process, Service, free_port, program, run, unprivileged

INSTALL = "apt-get install mariadb-server"
READY_SECONDS = 60
GRANTS = "SELECT, RELOAD, SHOW DATABASES, LOCK TABLES, REPLICATION SLAVE, REPLICATION CLIENT"
SETTINGS = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "ON",
    "server-id": "1",
    "log-bin": "binlog",
    "binlog-format": "ROW",
    "binlog-row-image": "FULL",
    "character-set-server": "utf8mb4",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "16M",
    "innodb-flush-log-at-trx-commit": "0",
    "performance-schema": "OFF",
}


class MariaDB(Service):
    """A server with the superuser `root` and the user `cdc`, who may read and replicate all, with passwords.

    `settings` go over the defaults.
    """

    host = "127.0.0.1"
    user, password = "cdc", "hidden-Canary-71"
    superuser, superuser_password = "root", "root"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = {**SETTINGS, **(settings or {})}
        self._server = program(["mariadbd", "mysqld"], [], INSTALL)
        self._installer = program(["mariadb-install-db", "mysql_install_db"], [], INSTALL)
        self._owner = unprivileged("mysql")
        super().__init__("mariadb", self._owner)
        self.port = free_port()
        self._process: Process | None = None

    def start(self) -> Self:
        """The server accepts connections; started again after `stop` or `kill` it has the same data and port."""
        if not self._data.exists():
            self._initialise()
        settings = {**self._settings, "datadir": self._data, "port": self.port, "socket": self.folder / "socket"}
        options = [f"--{key}={value}" for key, value in settings.items()]
        options += [f"--init-file={self.folder / 'users.sql'}", f"--pid-file={self.folder / 'pid'}"]
        self._process = Process([self._server, "--no-defaults", *options], self.folder / "mariadb.log", self._owner)
        self._process.wait_until(partial(_answers, self), READY_SECONDS)
        return self

    def execute(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        """The rows of one statement (with %s for the params), committed, run as the superuser."""
        connection = pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.superuser,
            password=self.superuser_password,
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, params or None)
            return list(cursor.fetchall())

    def execute_script(self, database: str, text: str) -> None:
        """Several statements, run as the superuser in a database."""
        connection = pymysql.connect(
            host=self.host, port=self.port, user=self.superuser, password=self.superuser_password, database=database,
            charset="utf8mb4", autocommit=True, client_flag=CLIENT.MULTI_STATEMENTS,
        )  # fmt: skip
        with connection, connection.cursor() as cursor:
            cursor.execute(text)
            while cursor.nextset():
                pass

    def dump(self, database: str) -> str:
        """The DDL of a database, as mariadb-dump writes it."""
        name = program(["mariadb-dump", "mysqldump"], [], "apt-get install mariadb-client")
        login = [f"-h{self.host}", f"-P{self.port}", f"-u{self.superuser}", f"-p{self.superuser_password}"]
        ended = subprocess.run([name, "--no-data", *login, database], capture_output=True, text=True, check=True)
        return ended.stdout

    def database(self, name: str) -> None:
        """A database of that name is there and empty."""
        quoted = "`" + name.replace("`", "``") + "`"
        self.execute(f"DROP DATABASE IF EXISTS {quoted}")
        self.execute(f"CREATE DATABASE {quoted}")

    def stop(self) -> None:
        """The server has shut down in an orderly way."""
        if self._process is not None:
            self._process.stop(signal.SIGTERM)

    def kill(self) -> None:
        """The server has ended by kill -9."""
        if self._process is not None:
            self._process.kill()

    def kill_all(self) -> None:
        self.kill()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _initialise(self) -> None:
        users = [
            "SET sql_log_bin = 0;",
            f"CREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY '{self.superuser_password}';",
            "GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;",
            f"CREATE OR REPLACE USER {self.user}@'%' IDENTIFIED BY '{self.password}';",
            f"GRANT {GRANTS} ON *.* TO {self.user}@'%';",
        ]
        (self.folder / "users.sql").write_text("\n".join(users) + "\n")
        options = [f"--datadir={self._data}", "--auth-root-authentication-method=normal", "--skip-test-db"]
        run([self._installer, "--no-defaults", *options], self.folder / "install.log", self._owner)


def _answers(server: MariaDB) -> bool:
    try:
        server.execute("SELECT 1")
    except pymysql.OperationalError:
        return False
    return True
