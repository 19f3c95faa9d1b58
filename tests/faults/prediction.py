"""Compares predicted with registered schemas at each value of each mode alone, on PostgreSQL and MariaDB.

python -m tests.faults.prediction [--engine postgres]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.services.connect import ConnectWorker
from tests.services.downloads import converter_path, plugin_path
from tests.services.kafka import KafkaCluster
from tests.services.mariadb import MariaDB
from tests.services.postgres import Postgres
from tests.services.predictions import Lab
from tests.services.registry import Registry

BATCH = 5  # connectors at a time


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", action="append", choices=["postgres", "mariadb"])
    engines = parser.parse_args(arguments).engine or ["postgres", "mariadb"]
    with KafkaCluster() as kafka, Registry() as registry, ThreadPoolExecutor(2) as pool:
        plugins = f"{plugin_path()},{converter_path()}"
        with ConnectWorker(kafka.bootstrap, plugin_path(), {"plugin.path": plugins}) as connect:
            servers = {"postgres": Postgres, "mariadb": MariaDB}
            running = {engine: pool.submit(servers[engine]().__enter__) for engine in engines}
            labs = [Lab(engine, kafka, connect, registry, server.result()) for engine, server in running.items()]
            try:
                return max([_compare(lab) for lab in labs])
            finally:
                for lab in labs:
                    lab.server.__exit__(None, None, None)


def _compare(lab: Lab) -> int:
    """Print what differs, and return 1 if something does."""
    lab.prepare()
    listed = lab.list_variants()
    refused = [variant for variant in listed if variant and lab.refuses(variant)]
    variants = [variant for variant in listed if variant not in refused]
    differences = []
    for start in range(0, len(variants), BATCH):
        differences += lab.compare(variants[start : start + BATCH])
    columns = sum(len(table.columns) for table in lab.tables)
    print(f"{lab.engine}: {columns} columns, {len(variants)} variants, {len(differences)} differences;", end=" ")
    print("refused by the plugin:", ", ".join(f"{k}: {v}" for each in refused for k, v in each.items()) or "none")
    print(*differences, sep="\n")
    return bool(differences)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
