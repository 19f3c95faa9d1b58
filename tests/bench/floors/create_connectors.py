"""The least that an apply of COUNT new connectors can do: PUT each, PARALLEL at a time, and wait for all tasks."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import local

import requests

url, prefix, count, parallel, config = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
kept = local()
names = [f"{prefix}{number:03}" for number in range(count)]


def put(name: str) -> None:
    """Create a connector on this thread's connection; a Connect that is rebalancing (409) is asked again."""
    if not hasattr(kept, "session"):
        kept.session = requests.Session()
    while True:
        answer = kept.session.put(f"{url}/connectors/{name}/config", json=json.loads(config), timeout=60)
        if answer.status_code != 409:
            answer.raise_for_status()
            return
        time.sleep(0.2)


def runs(status: dict) -> bool:
    """Whether a connector and its only task are running."""
    parts = [status["connector"], *status["tasks"]]
    return len(parts) == 2 and all(part["state"] == "RUNNING" for part in parts)


with ThreadPoolExecutor(parallel) as pool:
    list(pool.map(put, names))
while True:
    found = requests.get(f"{url}/connectors", params={"expand": "status"}, timeout=60).json()
    if all(name in found and runs(found[name]["status"]) for name in names):
        break
    time.sleep(0.1)
