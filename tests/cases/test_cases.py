"""Each folder here is a case: what a person wrote, what kplan is asked, and what it answers.

    stack.yaml   what is declared, or stacks/ for several
    kplan.yaml   the environments (without it: a simulated cluster of three brokers)
    before*.yaml stacks that are applied first, in the order of their names
    live.json    what happens on the cluster besides kplan, after that:
                 {"topics": {NAME: {"partitions": 1, "config": {}}}, "records": {NAME: 5}, "bytes": {NAME: 5000},
                 "oldest": {NAME: SECONDS}, "readers": {NAME: {GROUP: LAG}}, "idle": {NAME: {GROUP: LAG}},
                 "deleted": [CONNECTOR], "gone": [TOPIC], "bindings": [NAME], "unbound": [NAME],
                 "users": {NAME: [MECHANISM]}, "quotas": {NAME: {LIMIT: NUMBER}},
                 "schemas": {SUBJECT: [FILE]}, "levels": {SUBJECT: LEVEL}}
    args         the command line
    plan.txt     expected on standard output; stderr.txt on standard error, where there is anything; exit: the exit code
    plan.md      expected of the same command with `--format md`, in the cases that have one (an empty file asks for it)
    plan.html    the same with `--format html`, without styles and scripts

`make golden` rewrites the expected files.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplan.kinds.acl.binding import parse_binding
from kplan.kinds.connector.options import ConnectorOptions
from kplan.kinds.quota.quota import Quota
from kplan.kinds.user.user import ScramUser
from kplan.model import Action, Address, AttrDiff, Change, Secret, Topic
from kplan.servers.registry.api import RegisteredSchema
from kplan.servers.simulated_access import SimulatedAcls, SimulatedQuotas, SimulatedUsers
from kplan.servers.simulated_registry import SimulatedRegistry
from tests.shell import Ended, Shell

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/args"))
COMMENTS = sorted(path.parent for path in HERE.glob("*/plan.md"))
PAGES = sorted(path.parent for path in HERE.glob("*/plan.html"))
SECRET = "only-a-test-7f3a"
EPOCH = "1767261600"  # 2026-01-01T10:00:00Z

# What differs from run to run, and what stands for it; of the same length, so that columns are compared, too.
CHANGING = [
    (re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}"), "20260101T100000Z-0000"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2026-01-01T10:00:00Z"),
    (re.compile(r"sha256:[0-9a-f]{64}"), "sha256:" + "0" * 64),
    (re.compile(r'("sha256": ")[0-9a-f]{64}'), r"\g<1>" + "0" * 64),
    (re.compile(r"((?:[Dd]igest|plan) `?)[0-9a-f]{8}\b"), r"\g<1>00000000"),
    (re.compile(r"\b\d+\.\d+ s\b"), "0.0 s"),
    (re.compile(r'("seconds": )[\d.]+'), r"\g<1>0.0"),
    (re.compile(r'("cluster_id": ")[^"]*'), r"\g<1>simulated"),
    (re.compile(r'("last_write": )\d+'), r"\g<1>0"),
    (re.compile(r'("kplan_version": ")[^"]*'), r"\g<1>0.0.0"),
]


DRESS = re.compile(r"<(style|script)\b[^>]*>.*?</\1>\n?|<meta http-equiv=[^>]*>\n?", re.DOTALL)


def normal(text: str) -> str:
    for pattern, stand_in in CHANGING:
        text = pattern.sub(stand_in, text)
    return text


def prepared(case: Path, folder: Path) -> Shell:
    """A folder with the case's files, and a simulated cluster in the state that the case begins with."""
    shell = Shell(folder, {"KPLAN_VAR_db_password": SECRET, "SOURCE_DATE_EPOCH": EPOCH, "COLUMNS": "100"}, (SECRET,))
    for path in case.iterdir():
        if path.is_dir():
            shutil.copytree(path, folder / path.name)
        elif path.name not in ("plan.txt", "plan.md", "plan.html", "stderr.txt", "exit", "args"):
            shutil.copy(path, folder)
    (folder / "kplan.yaml").touch()
    if not (folder / "kplan.yaml").read_text():
        shell.write("kplan.yaml", "version: 1\nenvironments:\n  local: {}\n")
    for path in sorted(folder.glob("before*.yaml")):
        shell.kplan("apply", path.name, "--yes")
        path.unlink()
    if (folder / "live.json").exists():
        happen(folder)
    return shell


def happen(folder: Path) -> None:
    """What others do on the simulated cluster."""
    from kplan.servers.simulated import SimulatedConnectors, SimulatedTopics

    said = json.loads((folder / "live.json").read_text("utf-8"))
    topics = SimulatedTopics(folder / ".kplan" / "local.db")
    try:
        for name, block in said.get("topics", {}).items():
            address, config = Address("topic", name), block.get("config", {})
            now = topics.read([name]).resources.get(address)
            if now is None:
                after = Topic(name, block.get("partitions", 1), block.get("replication_factor", 3), config)
                change = Change(address, Action.CREATE, None, after)
            else:
                after = replace(now, config={**now.config, **config})
                diffs = tuple(AttrDiff(f"/config/{k}", now.config.get(k), v) for k, v in config.items())
                change = Change(address, Action.UPDATE, now, after, diffs)
            assert topics.act([change], {})[address].ok
        for name in said.get("gone", ()):
            address = Address("topic", name)
            assert topics.act([Change(address, Action.DELETE)], {})[address].ok
        for name, count in said.get("records", {}).items():
            for age, new in ((said.get("oldest", {}).get(name, 180), 0), (180, count)):
                topics.produce(name, new, at=(int(EPOCH) - age) * 1000)
            topics.produce(name, 0, at=(int(EPOCH) - 180) * 1000, size=said.get("bytes", {}).get(name, 0))
        for key, active in (("readers", True), ("idle", False)):
            for name, groups in said.get(key, {}).items():
                for group, lag in groups.items():
                    topics.subscribe(group, name, lag, active=active)
    finally:
        topics.close()
    change_access(folder, said)
    change_subjects(folder, said)
    for name in said.get("deleted", ()):
        connectors = SimulatedConnectors(folder / ".kplan" / "local.db")
        gone = Change(
            Address("connector", name), Action.DELETE, options=ConnectorOptions(keep_offsets=True)
        )  # as Connect deletes
        assert connectors.act([gone], {})[gone.address].ok
        connectors.close()


def change_subjects(folder: Path, said: dict[str, Any]) -> None:
    """What others register."""
    registry = SimulatedRegistry(folder / ".kplan" / "local.db")
    for subject, files in said.get("schemas", {}).items():
        for file in files:
            registry.register(subject, RegisteredSchema("avro", (folder / file).read_text("utf-8")))
    for subject, level in said.get("levels", {}).items():
        registry.set_level(subject, level)
    registry.close()


def change_access(folder: Path, said: dict[str, Any]) -> None:
    """What others do to bindings, users and quotas."""
    file = folder / ".kplan" / "local.db"
    bindings = [(Action.CREATE, parse_binding(name)) for name in said.get("bindings", ())]
    bindings += [(Action.DELETE, parse_binding(name)) for name in said.get("unbound", ())]
    users = [
        ScramUser(name, dict.fromkeys(each, 4096), Secret(value="another-7f3a"))
        for name, each in said.get("users", {}).items()
    ]
    quotas = [Quota(name, each) for name, each in said.get("quotas", {}).items()]
    for backend, changes in (
        (SimulatedAcls(file), [Change(b.address, a, b, None if a is Action.DELETE else b) for a, b in bindings]),
        (SimulatedUsers(file), [Change(user.address, Action.CREATE, None, user) for user in users]),
        (SimulatedQuotas(file), [Change(quota.address, Action.CREATE, None, quota) for quota in quotas]),
    ):
        if changes:
            assert all(outcome.ok for outcome in backend.act(changes, {}).values())
        backend.close()


def write(case: Path, name: str, text: str) -> None:
    if text:
        (case / name).write_text(text, "utf-8")
    else:
        (case / name).unlink(missing_ok=True)


def read(case: Path, name: str) -> str:
    path = case / name
    return path.read_text("utf-8") if path.exists() else ""


def run(case: Path, folder: Path, *more: str) -> Ended:
    arguments = shlex.split((case / "args").read_text("utf-8"))
    ended = prepared(case, folder).kplan(*arguments, *more, expect=None)
    return Ended(ended.code, normal(ended.out), normal(ended.err))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_case(case: Path, tmp_path: Path, golden: bool) -> None:
    ended = run(case, tmp_path)
    if golden:
        write(case, "plan.txt", ended.out)
        write(case, "stderr.txt", ended.err)
        write(case, "exit", f"{ended.code}\n")
    assert ended.code == int(read(case, "exit")), ended.all
    assert ended.out == read(case, "plan.txt")
    assert ended.err == read(case, "stderr.txt")
    assert str(tmp_path) not in ended.all, "a path of this machine is shown"


@pytest.mark.parametrize("case", COMMENTS, ids=lambda path: path.name)
def test_comment_of_the_case(case: Path, tmp_path: Path, golden: bool) -> None:
    ended = run(case, tmp_path, "--format", "md")
    if golden:
        (case / "plan.md").write_text(ended.out, "utf-8")
    assert ended.code == int(read(case, "exit")), ended.all
    assert ended.out == read(case, "plan.md")
    assert str(tmp_path) not in ended.out, "a path of this machine is shown"


@pytest.mark.parametrize("case", PAGES, ids=lambda path: path.name)
def test_page_of_the_case(case: Path, tmp_path: Path, golden: bool) -> None:
    ended = run(case, tmp_path, "--format", "html")
    page = re.sub(r"simulated-[0-9a-f]{12}", "simulated", DRESS.sub("", ended.out))
    if golden:
        (case / "plan.html").write_text(page, "utf-8")
    assert ended.code == int(read(case, "exit")), ended.all
    assert page == read(case, "plan.html")
    assert str(tmp_path) not in ended.out, "a path of this machine is shown"


def test_lines_fit_the_width() -> None:
    """But for commands to be copied and views for machines."""
    texts = [case for case in CASES if not re.search("--format|^import", read(case, "args"))]
    long = [f"{case.name}: {line}" for case in texts for line in read(case, "plan.txt").splitlines()
            if len(line) > 100 and " kplan " not in line]  # fmt: skip
    assert not long, "\n".join(long)
