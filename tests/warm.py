"""Prepare a process from which `tests.shell` forks kplan: import this, and kplan is imported and has compiled.

A kplan that starts anew spends nine tenths of its time on imports, and on schemas and templates that it compiles.
These are the same in every run, so they are done here once, by a few runs of kplan on the stacks below. Nothing else
of these runs stays: no thread, no folder, no log.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import logging
import os
import pkgutil
import tempfile
import threading
from pathlib import Path

import kplan
from kplan.__main__ import run

STACK = """\
version: 1
stack: warm
variables: {db_password: {type: string, sensitive: true, default: not-a-password}}
topics: {warm.orders: {partitions: 3, config: {retention.ms: 7d}}}
connectors:
  warm-postgres:
    template: debezium-postgres
    topic_prefix: pg
    database: {hostname: pg, name: inventory, user: cdc, password: "{{ var.db_password }}"}
    tables: {public.orders: }
  warm-mysql:
    template: debezium-mysql
    topic_prefix: my
    database: {hostname: my, name: inventory, user: cdc, password: "{{ var.db_password }}"}
    config: {database.server.id: 5400}
    tables: {inventory.orders: }
  warm-sink: {class: org.apache.kafka.connect.file.FileStreamSinkConnector, config: {file: a, topics: warm.orders}}
"""
CHANGED = STACK.replace("7d", "1d").replace("partitions: 3", "partitions: 6")
WRONG = "version: 1\nstack: wrong\ntopics: {a: {partition: 3, config: {retention.ms: soon}}}\n"
COMMANDS = (
    "validate wrong.yaml", "validate stack.yaml", "apply stack.yaml --yes", "plan changed.yaml", "drift stack.yaml",
    *(f"plan changed.yaml --format {view}" for view in ("json", "md", "html")),
    "plan changed.yaml --report sarif=plan.sarif --report junit=plan.xml",
    "status stack.yaml", "explain K206",
)  # fmt: skip


def import_all() -> None:
    """Import every module of kplan but those that are programs or plugins of others."""
    for module in pkgutil.walk_packages(kplan.__path__, "kplan."):
        if module.name not in ("kplan.__main__", "kplan.pytest_plugin"):
            importlib.import_module(module.name)


def run_each_once() -> None:
    """Run COMMANDS in a folder that is gone afterwards, with their output thrown away."""
    before = Path.cwd()
    for name in [name for name in os.environ if name.startswith(("KPLAN_", "KAFKA_"))]:
        del os.environ[name]  # each fork is given its own
    with tempfile.TemporaryDirectory(prefix="kplan-warm-") as folder:
        os.chdir(folder)
        try:
            Path("kplan.yaml").write_text("version: 1\nenvironments:\n  local: {}\n", "utf-8")
            for name, text in (("stack", STACK), ("changed", CHANGED), ("wrong", WRONG)):
                Path(f"{name}.yaml").write_text(text, "utf-8")
            for command in COMMANDS:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    run(command.split())
        finally:
            os.chdir(before)


def leave_nothing_behind() -> None:
    """End what the runs began, and keep what they made out of the garbage collection of each fork."""
    logging.getLogger().handlers.clear()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(10)
    gc.collect()
    gc.freeze()


if __name__ != "__main__":
    # What fails here fails in the test that runs it, which says so better than a process that does not start.
    with contextlib.suppress(Exception):
        import_all()
        run_each_once()
    leave_nothing_behind()
