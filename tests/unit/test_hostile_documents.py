"""Documents that kplan reads back, broken at random: snapshots, saved plans, and records of the state.

KPLAN_FUZZ sets the number of documents of each kind, KPLAN_FUZZ_SEED the first seed.
"""

from __future__ import annotations

import copy
import io
import json
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kplan.__main__ import run
from kplan.diagnostics import Stale
from kplan.model import Topic
from kplan.planning.document import document_digest, from_json
from tests.unit.execution.test_recovery import Place, died
from tests.unit.language.test_limits import within

TRIES = int(os.environ.get("KPLAN_FUZZ", "80"))
FIRST_SEED = int(os.environ.get("KPLAN_FUZZ_SEED", "1"))
MAX_OUTPUT = 400_000  # characters
DATABASE = ".kplan/local.db"
BEFORE = "version: 1\nstack: s\ntopics: {a: {replication_factor: 3}, c: {replication_factor: 3}}\n"
STACK = """
version: 1
stack: s
topics:
  a: {replication_factor: 3, config: {retention.ms: 7d}}
  b: {replication_factor: 3}
removed: [topic: c]
"""
VALUES: list[Any] = [
    *(None, True, False, -1, 0, 3, 10**30, 1e308, 1.5, float("nan"), float("inf"), "", "x", "x" * 50_000, "9" * 5_000),
    *("\0", "\ud800", "\u202e\x1b[2J\n", "topic/a", "connector/c", "topic/", "topic/../x", "1.0", "2.0", "delete"),
    *("create", "update", "local", "9999-99-99T99:99:99Z", "{{ var.x }}", "sha256:0", [], {}, [[]], [None], {"": None}),
    *({"sensitive": True}, {"ref": 1}, "text", ["a", "a"], {"a": {"b": [1]}}),
]


# -- how a document is broken -----------------------------------------------------------------------------------------
def walk(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place of a document as its container and its key there."""
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, child in list(children):
        yield data, key
        yield from walk(child)


def nest(dice: random.Random) -> Any:
    value: Any = "x"
    for _ in range(dice.choice([10, 100, 400])):
        value = [value] if dice.random() < 0.5 else {"a": value}
    return value


def break_data(data: Any, dice: random.Random) -> Any:
    """Return a copy in which one to three places are dropped, replaced, exchanged, repeated or renamed."""
    data = copy.deepcopy(data)
    for _ in range(dice.choice([1, 1, 2, 3])):
        places = list(walk(data))
        if not places:
            break
        (owner, key), (other, other_key) = dice.choice(places), dice.choice(places)
        kind = dice.random()
        if kind < 0.2:
            del owner[key]
        elif kind < 0.65:
            owner[key] = copy.deepcopy(dice.choice(VALUES))
        elif kind < 0.7:
            owner[key] = nest(dice)
        elif kind < 0.85:
            owner[key] = copy.deepcopy(other[other_key])
        elif isinstance(owner, list):
            owner.extend([owner[key]] * dice.choice([1, 50]))
        else:
            owner[dice.choice(["x", "", "\x1b[2J", str(other_key), str(key).upper()])] = owner.pop(key)
    return data


def break_text(text: bytes, dice: random.Random) -> bytes:
    """Return the text cut off, or with some bytes of it replaced, repeated, or not being UTF-8."""
    at, kind = dice.randrange(len(text)), dice.random()
    if kind < 0.3:
        return text[:at]
    if kind < 0.6:
        return (
            text[:at]
            + dice.choice([b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"{", b"[" * 2_000, b'"', b"1e999"])
            + text[at:]
        )
    if kind < 0.8:
        return text[:at] + text[at + dice.randrange(1, 60) :]
    return text[:at] + text[max(0, at - 200) :]


def broken(document: dict[str, Any], dice: random.Random) -> bytes:
    """Return the file of a broken document; mostly it is still JSON, and its digest fits."""
    if dice.random() < 0.15:
        return break_text(json.dumps(document).encode(), dice)
    found = break_data(document, dice)
    if isinstance(found, dict) and "digest" in found and dice.random() < 0.8:
        with suppress(ValueError, TypeError, AttributeError, KeyError):
            found["digest"] = document_digest(found)
    return json.dumps(found).encode()


# -- what kplan does with it ------------------------------------------------------------------------------------------
@contextmanager
def inside(folder: Path) -> Iterator[None]:
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


def ended(folder: Path, *arguments: str, codes: tuple[int, ...]) -> tuple[int, str]:
    """Run kplan in this process; it ends soon, with one of the codes, and says no more than a person reads."""
    out, err = io.StringIO(), io.StringIO()
    with inside(folder), within(), redirect_stdout(out), redirect_stderr(err):
        code = run(arguments)
    text = out.getvalue() + err.getvalue()
    assert "K399" not in text and "Traceback" not in text, text[-3_000:]
    assert code in codes, f"{arguments} ended with {code}: {text[-2_000:]}"
    assert len(text) < MAX_OUTPUT
    assert "\x1b" not in text and "\u202e" not in text
    return code, text


@dataclass(frozen=True)
class World:
    """A folder with a stack, its applied state, a snapshot, and a saved plan of changes that need no acceptance."""

    folder: Path
    snapshot: dict[str, Any]
    plan: dict[str, Any]
    interrupted: Path  # a state with an open run

    def reset(self, state: Path | None = None) -> None:
        for rest in ("-wal", "-shm"):
            Path(f"{self.folder / DATABASE}{rest}").unlink(missing_ok=True)
        shutil.copyfile(state or self.folder / "clean.db", self.folder / DATABASE)

    def topics(self) -> list[Any]:
        with closing(sqlite3.connect(self.folder / DATABASE)) as database:
            return database.execute(
                "SELECT name, partitions, replicas, config FROM sim_topics ORDER BY name"
            ).fetchall()


def back_up(database: Path, copy: Path) -> None:
    """Write the whole database into one file: its last changes may stand in another one."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("hostile")
    place = Place(folder / "other")
    (folder / "stack.yaml").write_text(BEFORE)
    (folder / "kplan.yaml").write_text("version: 1\nenvironments: {local: {}}\n")
    ended(folder, "apply", "stack.yaml", "--yes", codes=(0,))
    (folder / "stack.yaml").write_text(STACK)
    ended(folder, "snapshot", "stack.yaml", "--out", "live.json", "--facts", "all", codes=(0,))
    ended(folder, "plan", "stack.yaml", "--out", "plan.json", codes=(0,))
    back_up(folder / DATABASE, folder / "clean.db")
    place.apply(Topic("a", 1, 3), name="run0")
    died(place, place.plan(Topic("a", 3, 3, {"retention.ms": "1"}), Topic("b", 1, 3)))
    back_up(folder / "other" / DATABASE, folder / "interrupted.db")
    return World(folder, read_json(folder / "live.json"), read_json(folder / "plan.json"), folder / "interrupted.db")


def try_all(check: Callable[[random.Random], None], tries: int = TRIES) -> None:
    """Call `check` with each seed; a failure names its seed."""
    for seed in range(FIRST_SEED, FIRST_SEED + tries):
        began = time.perf_counter()
        try:
            check(random.Random(seed))
        except BaseException as failure:
            failure.add_note(f"KPLAN_FUZZ_SEED={seed} KPLAN_FUZZ=1 ({time.perf_counter() - began:.1f} s)")
            raise


# -- each kind of document --------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_broken_snapshot_is_refused_or_planned_from(world: World) -> None:
    world.reset()
    views = [(), ("--format", "json"), ("--brief",), ("--format", "md")]

    def check(dice: random.Random) -> None:
        (world.folder / "broken.json").write_bytes(broken(world.snapshot, dice))
        ended(world.folder, "plan", "stack.yaml", "--live", "broken.json", *dice.choice(views), codes=(0, 3, 4, 5))

    try_all(check)


@pytest.mark.slow
def test_a_broken_plan_is_refused_or_shown(world: World) -> None:
    world.reset()
    views = ["text", "json", "md", "html", "concise"]

    def check(dice: random.Random) -> None:
        (world.folder / "broken.json").write_bytes(broken(world.plan, dice))
        ended(world.folder, "show", "broken.json", "--format", dice.choice(views), codes=(0, 4, 5))

    try_all(check)


@pytest.mark.slow
def test_a_broken_plan_is_refused_before_anything_is_changed(world: World) -> None:
    before = None

    def check(dice: random.Random) -> None:
        nonlocal before
        world.reset()
        before = before or world.topics()
        (world.folder / "broken.json").write_bytes(broken(world.plan, dice))
        code, _ = ended(world.folder, "apply", "broken.json", "--yes", codes=(0, 1, 3, 4, 5, 7, 8))
        assert code in (0, 8) or world.topics() == before

    try_all(check)


def break_record(folder: Path, dice: random.Random) -> None:
    """Break one record of the ledger or the journal."""
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        table = dice.choice(["kplan_journal", "kplan_journal", "kplan_ledger", "kplan_runs"])
        rows = database.execute(f"SELECT rowid, record FROM {table}").fetchall()
        if not rows:
            return
        row, record = dice.choice(rows)
        text: str | bytes = json.dumps(break_data(json.loads(record), dice))
        if dice.random() < 0.2:
            text = break_text(record.encode(), dice)
        if dice.random() < 0.1:
            database.execute(
                f"UPDATE {table} SET stack = ? WHERE rowid = ?", (dice.choice(["", "\0", "s", "x\n"]), row)
            )
        database.execute(f"UPDATE {table} SET record = ? WHERE rowid = ?", (text, row))
        database.commit()


@pytest.mark.slow
def test_a_broken_record_is_named_or_recovered(world: World) -> None:
    def check(dice: random.Random) -> None:
        world.reset(world.interrupted)
        break_record(world.folder, dice)
        before = world.topics()
        listed, _ = ended(world.folder, "recover", "--list", codes=(0, 1, 4, 5, 8))
        assert world.topics() == before
        way = dice.choice([("--forward",), (), ()])
        code, _ = ended(world.folder, "recover", "--yes", *way, codes=(0, 1, 3, 4, 5, 6, 7, 8))
        assert code in (0, 7, 8) or world.topics() == before, (listed, code)

    try_all(check, max(1, TRIES // 4))


def deep(levels: int) -> Any:
    return [deep(levels - 1)] if levels else "x"


WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "a step": lambda plan: plan["changes"][0].update(step="x"),
    "a wave": lambda plan: plan["changes"][0].update(wave=[]),
    "a time": lambda plan: plan.update(created_at=7),
    "a line": lambda plan: plan.update(point_of_no_return="x"),
    "depth": lambda plan: plan.update(used_env=deep(400)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_plan_with_values_of_wrong_types_is_refused_though_its_digest_fits(world: World, name: str) -> None:
    document = copy.deepcopy(world.plan)
    WRONG[name](document)
    document["digest"] = document_digest(document)
    with pytest.raises(Stale) as refused:
        from_json(document)
    assert refused.value.code in ("K521", "K522")
