"""Read the ledger where records that cannot be read stop only their own stack."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from kplan.render.text import clean
from kplan.state.base import shorten_problems

if TYPE_CHECKING:
    from kplan.app.runtime import Runtime
    from kplan.model import Address, Owned
    from kplan.state.base import Store


def read_ledger(store: Store, runtime: Runtime, stacks: Collection[str] = ()) -> Mapping[Address, Owned]:
    """Return the ledger, and warn of each record that cannot be read. One of `stacks` raises RecordUnreadable."""
    overview = store.overview()
    overview.refuse_unreadable(stacks)
    for problem in shorten_problems(overview.unreadable):
        runtime.warn(f"{store.where}: {clean(problem.message)} (stack {clean(problem.stack)})")
    return overview.ledger
