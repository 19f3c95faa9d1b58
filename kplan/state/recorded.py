"""Read the ledger of a snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from kplan.diagnostics import KplanError, Unsupported
from kplan.model import EMPTY, Address, Owned
from kplan.model.history import PastChange, RunSummary
from kplan.model.journal import Entry
from kplan.state.base import (
    Holder,
    Lock,
    Overview,
    Record,
    ReportKeys,
    UnknownKind,
    Unreadable,
    ignore_keys,
    refuse_unknown_kind,
)


class RecordedStore:
    """Read the ledger of the snapshot at `where`; it has no runs and no lock."""

    topic = ""

    def __init__(self, where: str, ledger: Mapping[Address, Owned], unknown: Mapping[str, str] = EMPTY) -> None:
        """`unknown` are the stacks of the records of unknown kinds, by address."""
        self.where = where
        self._ledger = ledger
        self._unknown = unknown

    def overview(self, report_keys: ReportKeys = ignore_keys) -> Overview:
        return Overview(self._ledger, unreadable=[_describe_unknown(*record) for record in self._unknown.items()])

    def ledger(self) -> Mapping[Address, Owned]:
        return self._ledger

    def runs(self) -> Sequence[str]:
        return ()

    def summaries(self) -> Sequence[RunSummary]:
        return ()

    def changes(self, address: Address) -> Mapping[str, Sequence[PastChange]]:
        return {}

    def entries(self, run: str) -> Sequence[Entry]:
        return ()

    def open_runs(self) -> Sequence[str]:
        return ()

    def records(self) -> Sequence[Record]:
        return ()

    def find_obstacle(self) -> KplanError | None:
        return None

    def holder(self, stack: str) -> Holder | None:
        return None

    def connect_lock(self, stack: str, holder: Holder) -> None:
        """Do nothing: no server has this lock."""

    def lock(self, stack: str, holder: Holder, timeout: float) -> AbstractContextManager[Lock]:
        raise Unsupported("a snapshot is only read", help="apply to the environment itself")

    def close(self) -> None: ...


def _describe_unknown(address: str, stack: str) -> Unreadable:
    message = f"the record of {address} cannot be read"
    try:
        refuse_unknown_kind(address)
    except UnknownKind as cause:
        message = f"{message}: {cause}"
    return Unreadable(stack, message, is_unknown=True)
