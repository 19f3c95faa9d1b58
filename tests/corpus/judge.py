"""Judge the import of one unit by its output, its stack, and readers of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]  # of this checkout, whichever kplan is installed
PLACED = re.compile(r"^(?:error\[K\d+\]|  --> )", re.MULTILINE)
SECRET = "only-a-test-7f3a"
SIMULATED = "version: 1\nenvironments:\n  local:\n    simulated: {plugins: any, brokers: 3}\n"
KINDS = ("KafkaTopic", "KafkaConnector", "Connector")
TOPIC = re.compile(
    r'^resource\s+"(?:kafka|confluent_kafka|aiven_kafka)_topic"\s+"([\w-]+)"\s*{(.*?)^}', re.MULTILINE | re.DOTALL
)
NAME = re.compile(r'^\s*(?:topic_)?name\s*=\s*"([^"$]+)"', re.MULTILINE)


def judge(repository: Path, files: Sequence[str], folder: Path) -> tuple[str, str]:
    """Return the outcome and the reason."""
    folder.mkdir()
    for file in files:
        target = folder / "files" / Path(file).name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(repository / file, target)
    names = [f"files/{Path(file).name}" for file in files]
    (folder / "kplan.yaml").write_text(SIMULATED)
    arguments = [part for name in names for part in ("--file", name)]
    ended = _run(folder, "import", *arguments, "--out", "stack.yaml")
    if ended.returncode:
        return _judge_refusal(ended.stderr)
    stack = (folder / "stack.yaml").read_text("utf-8")
    found = [each for path in names for each in _list_names(folder / path)]
    lost = [name for name, label in found if not any(word in stack or word in ended.stderr for word in (name, label))]
    if lost:
        return "lost", ", ".join(lost[:5])
    if reason := _apply(folder, stack):
        return reason
    notes = [line for line in ended.stderr.splitlines() if line.startswith("note: ")]
    return ("noted", notes[0].removeprefix("note: ")) if notes else ("exact", "")


def _judge_refusal(error: str) -> tuple[str, str]:
    if "K399" in error or "Traceback" in error:
        return "unclear", error
    if "K633" in error:
        return ("nothing", "") if "     - " in error or "  - " in error else ("unclear", error)
    is_clear = PLACED.search(error) and ("help:" in error or " --> " in error)
    return ("refused" if is_clear else "unclear"), error.replace("error[", "[")


def _apply(folder: Path, stack: str) -> tuple[str, str] | None:
    """Apply the stack on the simulation, and plan it again; None where that is empty, or cannot be tried."""
    checked = _run(folder, "validate", "stack.yaml")
    if checked.returncode:
        return "unclear", f"the stack is not valid: {checked.stdout}"
    variables = re.findall(r"env: (\w+)", stack)
    values = dict.fromkeys(variables, SECRET)
    applied = _run(folder, "apply", "stack.yaml", "--yes", "--quiet", "--accept", "*:*", **values)
    if applied.returncode:
        return None  # the simulation is not as wide as the cluster that the file is for
    planned = _run(folder, "plan", "stack.yaml", "--detailed-exitcode", **values)
    return ("changing", planned.stdout) if planned.returncode == 2 else None


def _list_names(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the names of topics and connectors, as a reader of its own finds them, and what a note calls each."""
    text = path.read_text("utf-8", "replace")
    if path.suffix == ".tf":
        for label, block in TOPIC.findall(text):
            yield from ((name, f"kafka_topic.{label} is left out") for name in NAME.findall(block)[:1])
        return
    try:
        documents = [json.loads(text)] if path.suffix == ".json" else list(yaml.safe_load_all(text))
    except (ValueError, yaml.YAMLError):
        return
    for document in documents:
        if isinstance(document, dict) and document.get("kind") in KINDS and isinstance(document.get("metadata"), dict):
            spec = document.get("spec") or {}
            name = str(spec.get("topicName") or spec.get("name") or document["metadata"].get("name"))
            yield name, name


def _run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "kplan", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
