"""docs/cdc.md is true: its files are written, its statements and commands run in their order on real services, and
what they print is what it shows.

Beside what every guide may say there is `sql: DATABASE [as ROLE]`. kafka-console-consumer.sh is the one program that
is played: its records are read with Kafka's Python client.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.guides import DOCS, Reader, compare, only_shown
from tests.services import ConnectWorker, KafkaCluster, Postgres
from tests.services.test_walk import records
from tests.shell import Shell

GUIDE = (DOCS / "cdc.md").read_text("utf-8")
ROLE, PASSWORD = "shop_cdc", "change-this-word"


@dataclass
class Operator(Reader):
    """Has the addresses of this run, and the database's."""

    kafka: KafkaCluster
    connect: ConnectWorker
    postgres: Postgres

    def here(self, text: str) -> str:
        server = f"{self.postgres.host}:{self.postgres.port}"
        places = {
            "hostname: postgres, port: 5432": f'hostname: "{self.postgres.host}", port: {self.postgres.port}',
            "kafka:9092": self.kafka.bootstrap,
            "localhost:29092": self.kafka.bootstrap,
            "http://localhost:28083": self.connect.url,
            "localhost:25432": server,
        }
        for there, here in places.items():
            text = text.replace(there, here)
        return text

    def sql(self, where: str, text: str) -> None:
        database, _, role = where.partition(" as ")
        user, password = (ROLE, PASSWORD) if role else (self.postgres.superuser, self.postgres.superuser_password)
        with psycopg.connect(host=self.postgres.host, port=self.postgres.port, dbname=database, user=user,
                             password=password, autocommit=True) as connection:  # fmt: skip
            for statement in filter(None, map(str.strip, text.split(";"))):
                connection.execute(statement.encode())

    def program(self, words: list[str], command: str, expected: list[str], code: int) -> None:
        if words[0] != "kafka-console-consumer.sh":
            super().program(words, command, expected, code)
            return
        options = dict(zip(words[1::2], words[2::2], strict=False)) | {"--max-messages": words[-1]}
        found = records(self.kafka, options["--topic"], int(options["--max-messages"]))
        assert len(found) == int(options["--max-messages"])
        lines = sorted(json.dumps(record, separators=(",", ":")) for record in found)
        compare(command, sorted(expected), lines, loosely=True)


def test_the_guide_is_true(kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, tmp_path: Path) -> None:
    Operator(Shell(tmp_path, secrets=(PASSWORD,)), kafka, connect, postgres).follow(GUIDE)


def test_every_block_that_can_be_run_is_run() -> None:
    assert not only_shown(GUIDE)
