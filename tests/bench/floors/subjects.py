"""The least that a plan of unchanged subjects asks a registry: one list, then a lookup and the level of each."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

import requests

url, folder = sys.argv[1:]
kept = local()


def ask(path: Path) -> None:
    """Look one schema up, and its level, on this thread's connection."""
    if not hasattr(kept, "session"):
        kept.session = requests.Session()
    subject = path.stem
    body = {"schema": path.read_text("utf-8"), "schemaType": "AVRO"}
    kept.session.post(f"{url}/subjects/{subject}?normalize=true", json=body, timeout=60).raise_for_status()
    kept.session.get(f"{url}/config/{subject}", timeout=60).raise_for_status()


assert isinstance(json.loads(requests.get(f"{url}/subjects", timeout=60).text), list)
with ThreadPoolExecutor(16) as pool:
    list(pool.map(ask, sorted(Path(folder).glob("*.avsc"))))
