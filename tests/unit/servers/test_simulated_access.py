"""A binding that somebody else creates while kplan works is theirs, whatever becomes of the run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import Unreachable
from kplan.kinds.acl.binding import parse_binding
from kplan.model import Action, Address, Change
from kplan.servers.base import Outcome
from kplan.servers.simulated_access import SimulatedAcls
from kplan.testing import SimulatedCluster
from tests.shell import Shell
from tests.unit.kinds.declared import HEAD

ACT = SimulatedAcls.act  # as it is before a test replaces it
ROOT = Path(__file__).parents[3]
OWN, THEIRS = "User:a/allow/Write/topic/own", "User:a/allow/Write/topic/theirs"
STACK = HEAD + "access: {'User:a': {produce: [own, theirs]}}\ntopics: {bad: }\n"


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    return SimulatedCluster(tmp_path / "kplan")


DIE_AFTER_ACTING = """
import os
from kplan.__main__ import main
from kplan.servers.simulated_access import SimulatedAcls
from tests.unit.servers.test_simulated_access import meddle

act = SimulatedAcls.act
meddle(SimulatedAcls)
SimulatedAcls.act = lambda *arguments: (act(*arguments), os._exit(9))
main()
"""


def database_of(cluster: SimulatedCluster) -> Path:
    return Path(cluster.folder, "cluster.db")


def others_create(database: Path) -> None:
    acls = SimulatedAcls(database)
    binding = parse_binding(THEIRS)
    assert ACT(acls, [Change(binding.address, Action.CREATE, None, binding)], {})[binding.address].ok
    acls.close()


def meddle(backend: Any) -> None:
    """Let others create their binding after the last reading of a run, and right before it looks again."""
    capture = backend.capture

    def capture_late(self: SimulatedAcls, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        if any(change.address.name == THEIRS and change.action is Action.CREATE for change in changes):
            others_create(self.file.path)
        return capture(self, changes)  # type: ignore[no-any-return]

    backend.capture = capture_late


@pytest.fixture
def meddled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedAcls, "capture", SimulatedAcls.capture)  # it is put back afterwards
    meddle(SimulatedAcls)


def live(database: Path) -> set[str]:
    acls = SimulatedAcls(database)
    try:
        return set(acls.read(None).names)
    finally:
        acls.close()


@pytest.mark.usefixtures("meddled")
def test_a_binding_that_came_meanwhile_survives_a_rollback(cluster: SimulatedCluster) -> None:
    plan = cluster.plan(STACK)
    cluster.fail = ["topic/bad"]
    assert cluster.apply(plan).outcome == "rolled_back"
    assert live(database_of(cluster)) == {THEIRS}


@pytest.mark.usefixtures("meddled")
def test_a_binding_that_came_meanwhile_is_adopted_and_released(cluster: SimulatedCluster) -> None:
    plan = cluster.plan(STACK)
    assert cluster.apply(plan).outcome == "applied"
    assert cluster.plan(STACK).changes == () and live(database_of(cluster)) == {OWN, THEIRS}
    assert cluster.destroy(STACK).outcome == "applied"
    assert live(database_of(cluster)) == {THEIRS}


@pytest.mark.usefixtures("meddled")
def test_a_binding_that_was_there_survives_when_no_request_is_answered(
    cluster: SimulatedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both bindings are in doubt then; what was captured right before tells whose they are."""
    plan = cluster.plan(STACK)
    act = SimulatedAcls.act

    def lose_answers(
        self: SimulatedAcls, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        outcomes = act(self, changes, captured)
        if any(change.reason != "undo" for change in changes):
            return {address: Outcome(Unreachable("the connection broke")) for address in outcomes}
        return outcomes

    monkeypatch.setattr(SimulatedAcls, "act", lose_answers)
    assert cluster.apply(plan).outcome == "rolled_back"
    assert live(database_of(cluster)) == {THEIRS}


@pytest.mark.parametrize(("direction", "left"), [("--rollback", {THEIRS}), ("--forward", {OWN, THEIRS})])
def test_a_binding_that_was_there_survives_a_kill(tmp_path: Path, direction: str, left: set[str]) -> None:
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: {}}\n")
    shell.write("stack.yaml", STACK)
    shell.kplan("plan", "stack.yaml", "--out", "plan.json")
    database = tmp_path / ".kplan" / "local.db"
    died = subprocess.run(
        [sys.executable, "-c", DIE_AFTER_ACTING, "apply", "plan.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert died.returncode == 9 and live(database) == {OWN, THEIRS}
    shell.kplan("recover", "--yes", *(["--forward"] if direction == "--forward" else []))
    assert live(database) == left
    shell.kplan("destroy", "stack.yaml", "--yes")
    assert live(database) == {THEIRS}
