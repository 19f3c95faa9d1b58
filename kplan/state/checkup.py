"""What `kplan doctor` says of the state: where it is, whether it can be kept there, and which runs have no end."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from kplan.diagnostics import Denied, KplanError, codes
from kplan.model import Live
from kplan.model.checkup import CheckResult, ServerCheck, make_failure
from kplan.state.base import Store
from kplan.text import count

SERVER: Final = "State"


def check_state(store: Store, live: Live) -> Iterator[ServerCheck]:
    """Yield the checks; `live` has the topic of the state, where it is in one and is there."""
    make = partial(ServerCheck, SERVER)
    try:
        overview = store.overview()
        obstacle = store.find_obstacle()
    except KplanError as failure:
        result = CheckResult.LACKING if isinstance(failure, Denied) else CheckResult.FAILED
        yield make_failure(SERVER, "reading", failure, result)
        return
    if obstacle is not None:
        yield make_failure(SERVER, "place", obstacle, CheckResult.LACKING)
    else:
        yield from _check_place(store, live)
    stacks = {owned.stack for owned in overview.ledger.values()}
    words = f"{count(len(overview.ledger), 'resource')} of {count(len(stacks), 'stack')}"
    yield make("ledger", CheckResult.OK, words)
    for problem in overview.unreadable:
        yield make("record", CheckResult.LACKING, problem.message, "see `kplan state clean` and `kplan state sign`")
    for run, stack in overview.open_runs.items():
        holder = store.holder(stack)
        if holder is None:
            help = f"see it with `kplan recover --list`, put it back with `kplan recover {run}`"
            yield make(
                "run", CheckResult.LACKING, f"run {run} of stack {stack} was interrupted", help, codes.K605.number
            )
        else:
            words = f"run {run} of stack {stack} is going on: {holder.who}, {holder.command}"
            yield make("run", CheckResult.OK, words)


def _check_place(store: Store, live: Live) -> Iterator[ServerCheck]:
    """Yield where the state is, and whether the loss of one broker would lose it."""
    make = partial(ServerCheck, SERVER, "place")
    topic: Any = next(iter(live.resources.values()), None)
    if not store.topic:
        yield make(CheckResult.OK, f"in the file {store.where}")
    elif topic is None:
        yield make(CheckResult.OK, f"in topic {store.topic}, which the first apply creates")
    else:
        policy, insync = topic.config.get("cleanup.policy", ""), topic.config.get("min.insync.replicas", "1")
        words = f"in topic {store.topic}: {count(topic.replication_factor, 'replica')}, {insync} in sync, {policy}"
        if policy != "compact" or topic.partitions != 1:
            help = "runs refuse it: its settings lose records"
            yield make(CheckResult.LACKING, f"{words}, {count(topic.partitions, 'partition')}", help, codes.K602.number)
        else:
            yield make(CheckResult.OK, words)
