"""Plans to look at: real ones, made by kplan on a simulated cluster, of ten changes of every kind and of thousands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.shell import Shell

SECRET = "only-a-test-7f3a"
HEAD = """\
version: 1
stack: shop
variables:
  db_password: {type: string, sensitive: true}
defaults: {topic: {replication_factor: 3, config: {min.insync.replicas: 2}}}
connectors:
  search:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {file: /tmp/search, %s}
  shop:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.db_password }}"}
    tables:
"""
BEFORE = (
    HEAD % "topics: 'shop.public.customers,shop.public.orders'"
    + """\
      orders: {partitions: 6, config: {compression.type: zstd}}
      customers:
      products:
topics:
  shop.audit:
  shop.metrics: {replication_factor: 1, config: {retention.ms: 30d, min.insync.replicas: 1}}
  shop.old:
  shop.archive:
"""
)
AFTER = (
    HEAD % "topics: 'shop.public.customers,shop.public.orders,shop.public.shipments', tasks.max: 2"
    + """\
      orders: {partitions: 12, config: {compression.type: zstd}}
      customers: {config: {retention.ms: 30d}}
      shipments:
topics:
  shop.audit: {config: {cleanup.policy: compact}}
  shop.metrics: {replication_factor: 1, config: {retention.ms: 7d, min.insync.replicas: 1}}
removed:
  - topic: shop.public.products
  - {topic: shop.old, accept: [data-loss]}
  - topic: shop.archive
"""
)
RECORDS = {"shop.public.products": 48_200, "shop.public.orders": 700, "shop.old": 3, "shop.metrics": 9_000}


def small(folder: Path) -> dict[str, Any]:
    """A blocked plan of ten changes: dangers accepted and not, a connector and a sink, drift, and a warning."""
    shell = _applied(folder, BEFORE)
    _happen(folder, {**RECORDS, "shop.audit": 12}, {"shop.public.products": "stock-api", "shop.metrics": "dwh-loader"})
    _alter(folder, "shop.public.customers", {"retention.ms": "86400000"})
    return _planned(shell, AFTER)


def large(folder: Path, count: int = 5000) -> dict[str, Any]:
    """A blocked plan of `count` changes, of one topic each: of five, three are created, one changes, one is deleted."""
    made = range(2 * count // 5)
    changed, new = made[: len(made) // 2], range(len(made), count)
    before = "".join(f"  bulk.t{n:05}: {{config: {{retention.ms: 1d}}}}\n" for n in made)
    after = "".join(f"  bulk.t{n:05}: {{config: {{retention.ms: {_period(n)}}}}}\n" for n in [*changed, *new])
    gone = "".join(f"  - topic: bulk.t{n:05}\n" for n in made[len(made) // 2 :])
    shell = _applied(folder, f"version: 1\nstack: bulk\ntopics:\n{before}")
    _happen(folder, {f"bulk.t{n:05}": n for n in made if n % 20 == 0}, {})
    return _planned(shell, f"version: 1\nstack: bulk\ntopics:\n{after}removed:\n{gone}")


def _period(number: int) -> str:
    return "12h" if number % 50 == 0 else f"{2 + number % 28}d"


def _applied(folder: Path, stack: str) -> Shell:
    folder.mkdir(parents=True, exist_ok=True)
    shell = Shell(folder, {"KPLAN_VAR_db_password": SECRET}, (SECRET,))
    shell.write("kplan.yaml", "version: 1\nenvironments:\n  local: {}\n")
    shell.write("stack.yaml", stack)
    shell.kplan("apply", "stack.yaml", "--yes", "--brief")
    return shell


def _planned(shell: Shell, stack: str) -> dict[str, Any]:
    shell.write("stack.yaml", stack)
    document: dict[str, Any] = shell.kplan("plan", "stack.yaml", "--format", "json", expect=3).json
    return document


def _happen(folder: Path, records: dict[str, int], readers: dict[str, str]) -> None:
    """Others write and read: topics by their number of records, and by a group that is 12 records behind."""
    from kplan.servers.simulated import SimulatedTopics

    topics = SimulatedTopics(folder / ".kplan" / "local.db")
    try:
        for name, number in records.items():
            topics.produce(name, number)
        for name, group in readers.items():
            topics.subscribe(group, name, 12)
    finally:
        topics.close()


def _alter(folder: Path, name: str, config: dict[str, str]) -> None:
    """Somebody changes a topic's config, not by kplan."""
    from kplan.model import Action, Address, AttrDiff, Change, Topic
    from kplan.servers.simulated import SimulatedTopics

    topics, address = SimulatedTopics(folder / ".kplan" / "local.db"), Address("topic", name)
    try:
        now = topics.read([name]).resources[address]
        assert isinstance(now, Topic)
        after = replace(now, config={**now.config, **config})
        diffs = tuple(AttrDiff(f"/config/{key}", now.config.get(key), value) for key, value in config.items())
        assert topics.act([Change(address, Action.UPDATE, now, after, diffs)], {})[address].ok
    finally:
        topics.close()
