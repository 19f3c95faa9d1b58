"""docs/cdc.md is true: its files are written, its statements and commands run in their order on real services, and
what they print is what it shows.

A comment before a fenced block says what it is: `file: NAME`, `edit: NAME` (lines with `+` come in after those before
them, lines with `-` go), `sql: DATABASE [as ROLE]`, `run` or `run: exit N`. kafka-console-consumer.sh is the one
program of them that is played: its records are read with Kafka's Python client.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.services import ConnectWorker, KafkaCluster, Postgres
from tests.services.test_walk import records
from tests.shell import Shell

GUIDE = (Path(__file__).parents[2] / "docs" / "cdc.md").read_text("utf-8")
BLOCK = re.compile(r"^<!-- (file|edit|sql|run)(?:: (.+?))? -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(GUIDE)
ROLE, PASSWORD = "shop_cdc", "change-this-word"


@dataclass
class Reader:
    """Somebody who does what the guide says, with the addresses of this run."""

    shell: Shell
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

    def file(self, name: str, text: str) -> None:
        self.shell.write(name, self.here(text))

    def edit(self, name: str, text: str) -> None:
        self.shell.write(name, edited((self.shell.folder / name).read_text("utf-8"), text))

    def sql(self, where: str, text: str) -> None:
        database, _, role = where.partition(" as ")
        user, password = (ROLE, PASSWORD) if role else (self.postgres.superuser, self.postgres.superuser_password)
        with psycopg.connect(host=self.postgres.host, port=self.postgres.port, dbname=database, user=user,
                             password=password, autocommit=True) as connection:  # fmt: skip
            for statement in filter(None, map(str.strip, text.split(";"))):
                connection.execute(statement.encode())

    def run(self, how: str, text: str) -> None:
        code = int(how.removeprefix("exit ") or 0)
        for command, expected in commands(text):
            words = shlex.split(self.here(command))
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                self.shell.environment[name] = value
            elif words[0] == "kafka-console-consumer.sh":
                options = dict(zip(words[1::2], words[2::2], strict=False)) | {"--max-messages": words[-1]}
                found = records(self.kafka, options["--topic"], int(options["--max-messages"]))
                assert len(found) == int(options["--max-messages"])
                lines = sorted(json.dumps(record, separators=(",", ":")) for record in found)
                compare(command, sorted(expected), lines, loosely=True)
            else:
                assert words[0] == "kplan", command
                compare(command, expected, self.shell.kplan(*words[1:], expect=code).all.splitlines())


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Each command of a block with the lines under it."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def compare(command: str, expected: list[str], printed: list[str], loosely: bool = False) -> None:
    """The lines come in this order; between those that an `…` parts from each other others may stand."""
    at, gap = 0, loosely
    for line in expected:
        if line == "…":
            gap = True
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")))
        fits = [n for n in range(at, len(printed)) if pattern.fullmatch(printed[n])]
        assert fits and (gap or fits[0] == at), f"{command} does not print {line!r}:\n" + "\n".join(printed)
        at, gap = fits[0] + 1, loosely


def edited(text: str, change: str) -> str:
    """The text with the lines of a diff in it; what goes is there once, and what comes follows the line before."""
    lines = text.splitlines()
    at = len(lines)
    for line in change.splitlines():
        sign, rest = line[0], line[1:]
        if sign == "+":
            lines.insert(at, rest)
            at += 1
        elif sign == "-":
            at = lines.index(rest)
            del lines[at]
        else:
            at = lines.index(rest) + 1
    return "\n".join(lines) + "\n"


def test_the_guide_is_true(kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, tmp_path: Path) -> None:
    reader = Reader(Shell(tmp_path, secrets=(PASSWORD,)), kafka, connect, postgres)
    for kind, how, text in BLOCKS:
        getattr(reader, kind)(how, text)


def test_every_block_that_can_be_run_is_run() -> None:
    fenced = re.findall(r"^```(\w+)$", GUIDE, re.MULTILINE)
    assert len(BLOCKS) == len([kind for kind in fenced if kind in ("sql", "console", "diff")]) + 2


@pytest.mark.parametrize(
    ("printed", "good"), [("a\nb\nc", True), ("a\nx\nc", True), ("a\nx", False), ("x\na\nc", False)]
)
def test_lines_are_compared_in_their_order(printed: str, good: bool) -> None:
    try:
        compare("x", ["a", "…", "c"], printed.splitlines())
    except AssertionError:
        assert not good
    else:
        assert good
