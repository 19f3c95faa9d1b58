"""What a store does; the same suite of tests runs on every one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

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

    def holder(self, stack: str) -> Holder | None:
        """Who holds the lock now."""

    def lock(self, stack: str, holder: Holder, timeout: float) -> AbstractContextManager[Lock]:
        """Holds the lock inside the `with`. Raises Locked, with who holds it, after `timeout` seconds.

        A process that is killed frees it.
        """

    def close(self) -> None: ...
