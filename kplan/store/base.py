"""What a store does; the same suite of tests runs on every one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from kplan.diagnostics import Timeout
from kplan.journal import Entry
from kplan.model import Address, Owned


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a stack: what the one who is refused gets to see."""

    who: str  # user@host
    run: str
    command: str
    since: str  # UTC, ISO 8601
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One stored record of the ledger or the journal, as JSON. `key` is what the store calls it.

    `address` is that of a ledger's record; `run` and `seq` are those of one of the journal. `damage` says why it cannot
    be read; its `data` is empty then.
    """

    key: str
    stack: str
    data: Mapping[str, Any]
    address: str = ""
    run: str = ""
    seq: int = 0
    damage: str = ""

    @property
    def name(self) -> str:
        """The record as people call it."""
        return self.address or f"entry {self.seq} of run {self.run}"


class Unended(Timeout):
    """Readers wait for the end of a write of `stacks` that nobody makes any more. Who takes their locks makes it."""

    code = "K617"

    def __init__(self, message: str, stacks: Sequence[str]) -> None:
        super().__init__(message, help="`kplan recover` ends it")
        self.stacks = tuple(stacks)


class Lock(Protocol):
    """Held for one stack. While it is held, and only then, the store may be written for that stack."""

    def write(self, entries: Sequence[Entry] = (), ledger: Mapping[Address, Owned | None] | None = None) -> None:
        """All of it is durable when this returns, or none. None for an address: its record is removed.

        Raises JournalBroken, also when the lock was lost: then nothing may be changed any more.
        """

    def rewrite(self, records: Sequence[Record]) -> None:
        """Replace stored records of the stack, each by one of the same key. Raises JournalBroken, as `write` does."""


class Store(Protocol):
    """The ledger, the journal and the lock of one environment. Reading needs no lock and creates nothing."""

    where: str  # for people: `.kplan/local.db`, `__kplan`
    topic: str  # the topic that holds the state; empty where it is in a file

    def ledger(self) -> Mapping[Address, Owned]:
        """Every stack's records, as of now."""

    def runs(self) -> Sequence[str]:
        """Ids of the runs the journal has, oldest first."""

    def entries(self, run: str) -> Sequence[Entry]: ...

    def open_runs(self) -> Sequence[str]:
        """Ids of the runs that have a beginning and no end."""

    def records(self) -> Sequence[Record]:
        """Return every record of the ledger and the journal, damaged ones too, oldest first."""

    def holder(self, stack: str) -> Holder | None:
        """Who holds the lock now."""

    def lock(self, stack: str, holder: Holder, timeout: float) -> AbstractContextManager[Lock]:
        """Holds the lock inside the `with`. Raises Locked, with who holds it, after `timeout` seconds.

        A process that is killed frees it.
        """

    def close(self) -> None: ...
