"""docs/schemas.md is true: its first part is followed on real services, and what they print is what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.guides import DOCS, Reader, only_shown
from tests.services import ConnectWorker, KafkaCluster, Postgres
from tests.services.registry import Registry
from tests.services.test_facts import until
from tests.shell import Shell

GUIDE = (DOCS / "schemas.md").read_text("utf-8")
ROLE, PASSWORD = "avro_cdc", "change-this-word"


@dataclass
class Operator(Reader):
    """Has the addresses of this run."""

    kafka: KafkaCluster
    connect: ConnectWorker
    postgres: Postgres
    registry: Registry

    def here(self, text: str) -> str:
        places = {
            "hostname: postgres, port: 5432": f'hostname: "{self.postgres.host}", port: {self.postgres.port}',
            "localhost:29092": self.kafka.bootstrap,
            "http://localhost:28083": self.connect.url,
            "http://localhost:28081/apis/ccompat/v7": self.registry.url,
        }
        for there, here in places.items():
            text = text.replace(there, here)
        return text

    def sql(self, where: str, text: str) -> None:
        database, _, role = where.partition(" as ")
        if "ALTER TABLE" in text:  # by now a reader's connector has registered the table
            until(lambda: self.registry.call("GET", "/subjects/avrodoc.public.orders-value/versions") is not None)
        user, password = (ROLE, PASSWORD) if role else (self.postgres.superuser, self.postgres.superuser_password)
        with psycopg.connect(host=self.postgres.host, port=self.postgres.port, dbname=database, user=user,
                             password=password, autocommit=True) as connection:  # fmt: skip
            for statement in filter(None, map(str.strip, text.split(";"))):
                connection.execute(statement.encode())


def test_the_guide_is_true(
    kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, registry: Registry, tmp_path: Path
) -> None:
    Operator(Shell(tmp_path, secrets=(PASSWORD,)), kafka, connect, postgres, registry).follow(GUIDE)


def test_every_block_that_can_be_run_is_run() -> None:
    assert not only_shown(GUIDE)
