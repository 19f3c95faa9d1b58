"""The checkup of a simulated cluster, and of a state with an interrupted run."""

from __future__ import annotations

import pytest

from kplan.app.doctor import examine
from kplan.inspect.checkup import judge
from kplan.model.checkup import CheckResult
from tests.unit.app.conftest import Caller
from tests.unit.app.test_app import interrupted


def test_an_interrupted_run_is_lacking(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = caller.load(caller.topics("a", "a.x"))
    with caller.open(loaded) as opened:
        assert judge(examine(opened)) is CheckResult.OK
    loaded = interrupted(caller, monkeypatch)
    with caller.open(loaded) as opened:
        checks = examine(opened)
    (run,) = [check for check in checks if check.subject == "run"]
    assert run.result is CheckResult.LACKING and run.code == "K605" and "kplan recover" in run.help
    assert judge(checks) is CheckResult.LACKING
