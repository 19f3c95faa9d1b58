"""Record the state and documents that this kplan writes, so that later versions prove they can read them.

    python -m tests.recorded.record tests/recorded/0.1

The folder gets, for a real cluster, `state.jsonl` (each record of `__kplan` in order: `{"key", "value"}`, null for a
tombstone), and for a simulated one `local.db`; a saved plan with and without signature, a snapshot, the stack files.
The history is the same on both: apply, rotate a secret, adopt, move, delete, a run that was rolled back, a second
stack, and at last a run that was killed between `will` and `did`. Needs the services that the tests start.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.services.connect import ConnectWorker
from tests.services.downloads import plugin_path
from tests.services.kafka import KafkaCluster
from tests.shell import Shell

KEY = "recorded-key"
FIRST, SECOND = "first-Quarry-1", "second-Quarry-2"

ENVIRONMENTS = """\
version: 1
default: local
environments:
  local: {{simulated: {{fail: [connector/archive]}}}}
  dev:
    kafka: {{bootstrap.servers: "{bootstrap}"}}
    connect: {{url: "{connect}"}}
    timeouts: {{request: 10s, settle: 20s}}
"""
SHOP = """\
version: 1
stack: shop

variables:
  where: {{type: string, env: WHERE, sensitive: true}}

topics:
  shop.orders: {{partitions: {partitions}, replication_factor: 1, config: {{retention.ms: {retention}}}}}
  shop.items: {{replication_factor: 1, config: {{cleanup.policy: compact}}, protect: true}}
  shop.feed: {{replication_factor: 1}}
{topics}
connectors:
  {feed}:
    class: org.apache.kafka.connect.file.FileStreamSourceConnector
    config: {{file: "/nonexistent/{{{{ var.where }}}}", topic: shop.feed}}
{connectors}
{rest}
"""
SINK = """\
  archive:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {file: "/nonexistent/archive", topics: shop.orders}
"""
AUDIT = """\
version: 1
stack: audit

topics:
  audit.log: {replication_factor: 1, config: {retention.ms: 30d}}
"""


def shop(
    partitions: int = 1,
    retention: str = "1d",
    topics: str = "",
    feed: str = "feed",
    connectors: str = "",
    rest: str = "",
) -> str:
    return SHOP.format(partitions=partitions, retention=retention, topics=topics, feed=feed, connectors=connectors,
                       rest=rest)  # fmt: skip


def write_history(shell: Shell, env: str) -> None:
    """Run everything that the state is to remember."""
    old = "  shop.old: {replication_factor: 1}\n  shop.found: {replication_factor: 1}\n"
    shell.write("audit.yaml", AUDIT)
    shell.write("shop.yaml", shop(topics=old))
    run = lambda *words, expect=0, **process: shell.kplan(  # noqa: E731
        *words, "--env", env, expect=expect, **{"WHERE": FIRST, "SOURCE_DATE_EPOCH": "1767261600", **process}
    )
    run("apply", "shop.yaml", "--yes")
    run("apply", "audit.yaml", "--yes")
    shell.write("shop.yaml", shop(partitions=2, retention="2d", topics=old))
    run("apply", "shop.yaml", "--yes", WHERE=SECOND)
    goes = "removed: [{topic: shop.old}]\nmoved: [{from: connector/feed, to: connector/feed2}]"
    shell.write("shop.yaml", shop(2, "2d", "  shop.found: {replication_factor: 1}\n", "feed2", rest=goes))
    run("apply", "shop.yaml", "--yes", WHERE=SECOND)
    kept = "  shop.found: {replication_factor: 1}\n  shop.late: {replication_factor: 1}\n"
    shell.write("shop.yaml", shop(2, "3d", kept, "feed2", SINK))
    run("apply", "shop.yaml", "--yes", expect=7, WHERE=SECOND)
    shell.write("shop.yaml", shop(3, "4d", kept, "feed2"))
    run("snapshot", "shop.yaml", "--out", f"live-{env}.json", WHERE=FIRST)
    run("plan", "shop.yaml", "--out", f"plan-{env}.json", WHERE=FIRST)
    run("plan", "shop.yaml", "--out", f"signed-{env}.json", WHERE=FIRST, KPLAN_KEY=KEY)
    die_in_flight(shell, env)


def die_in_flight(shell: Shell, env: str) -> None:
    """Kill an apply right after its first wave was announced and sent."""
    code = (
        "import os, signal, sys, kplan.run as r\n"
        "from kplan.__main__ import run\n"
        "write = r.Run.write\n"
        "def dying(self, lock, event, *a, **k):\n"
        "    if event in ('did', 'failed'): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return write(self, lock, event, *a, **k)\n"
        "r.Run.write = dying\n"
        "run(sys.argv[1:])\n"
    )
    process = {**os.environ, "WHERE": FIRST, "NO_COLOR": "1"}
    ended = subprocess.run([sys.executable, "-c", code, "apply", "shop.yaml", "--yes", "--env", env], cwd=shell.folder,
                           env=process, capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    assert ended.returncode == -9, ended.stdout + ended.stderr


def read_topic(bootstrap: str, topic: str = "__kplan") -> list[tuple[str, str | None]]:
    """Return every committed record of the topic's one partition, oldest first."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "recorder", "enable.auto.commit": False,
                         "isolation.level": "read_committed", "enable.partition.eof": True})  # fmt: skip
    consumer.assign([TopicPartition(topic, 0, 0)])
    records = []
    while True:
        message = consumer.poll(30)
        assert message is not None, "the topic does not answer"
        if message.error():
            break
        value = message.value()
        records.append((message.key().decode(), None if value is None else value.decode()))
    consumer.close()
    return records


def main(folder: Path) -> None:
    here = Path(tempfile.mkdtemp(prefix="kplan-recorded-"))
    shell = Shell(here)
    with KafkaCluster() as kafka, ConnectWorker(kafka.bootstrap, plugin_path()) as connect:
        shell.write("kplan.yaml", ENVIRONMENTS.format(bootstrap=kafka.bootstrap, connect=connect.url))
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        admin.create_topics([NewTopic("shop.found", 1, 1)])["shop.found"].result()
        write_history(shell, "dev")
        records = read_topic(kafka.bootstrap)
        write_history(shell, "local")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"key": key, "value": value}, ensure_ascii=False) for key, value in records]
    (folder / "state.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    with sqlite3.connect(here / ".kplan/local.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode=DELETE")
    for name in ("shop.yaml", "audit.yaml", "kplan.yaml", ".kplan/local.db", *(p.name for p in here.glob("*.json"))):
        shutil.copy(here / name, folder / Path(name).name)
    shutil.rmtree(here)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
