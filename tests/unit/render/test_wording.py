"""The last sentence of an apply reads well, whatever was done before it."""

from __future__ import annotations

import pytest

from kplan.execution.run import Result
from kplan.model import Action, Address, Change, Target
from kplan.planning.document import Plan
from kplan.planning.order import Step
from kplan.render.wording import summary


@pytest.mark.parametrize(("result", "said"), [
    (Result("applied", "r", done=0, skipped=1), "Nothing was left to do: 1 step was so already."),
    (Result("applied", "r", done=0, skipped=3), "Nothing was left to do: 3 steps were so already."),
    (Result("applied", "r", done=2, skipped=1, actions=(Action.CREATE, Action.UPDATE), seconds=1.0),
     "Applied 2 of 3 in 1.0 s. 1 added, 1 changed. 1 step was so already."),
    (Result("applied", "r", done=1, actions=(Action.ADOPT,), seconds=1.0), "Applied 1 of 1 in 1.0 s. 1 adopted."),
])  # fmt: skip
def test_what_was_so_already_is_a_sentence(result: Result, said: str) -> None:
    steps = tuple(
        Step(n, 1, Change(Address("topic", f"t{n}"), Action.CREATE)) for n in range(result.done + result.skipped)
    )
    assert summary(result, Plan("shop", "local", Target(), steps)) == said
