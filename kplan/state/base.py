"""Define what a store does; the same test suite runs on every one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field, replace
from typing import Any, Final, Protocol, TypeAlias

from kplan.diagnostics import JournalBroken, KplanError, Timeout, codes
from kplan.kinds.registry import find_unknown_kind
from kplan.model import Address, Owned
from kplan.model.history import PastChange, RunSummary
from kplan.model.journal import Entry
from kplan.values import dataclass
from kplan.version import __version__


@dataclass(frozen=True, slots=True)
class Holder:
    """Describe who holds a stack, for the one who is refused."""

    who: str  # user@host
    run: str
    command: str
    since: str  # UTC, ISO 8601
    pid: int = 0
    actor: str = ""  # the person for whom a CI service runs kplan; the journal alone has it, and what follows
    request: str = ""  # the pull or merge request, such as `#17`


@dataclass(frozen=True, slots=True)
class Record:
    """Hold one stored record of the ledger or the journal, as JSON. `key` is its name in the store.

    `address` is that of a ledger's record; `run` and `seq` are those of one of the journal. `damage` is why it cannot
    be read; its `data` is empty then. `fault` is why its signature does not count, where the store has a key.
    """

    key: str
    stack: str
    data: Mapping[str, Any]
    address: str = ""
    run: str = ""
    seq: int = 0
    damage: str = ""
    fault: str = ""

    @property
    def name(self) -> str:
        """Return the record's name for people."""
        return self.address or f"entry {self.seq} of run {self.run}"


class UnfinishedWrite(Timeout):
    """Readers wait for the end of a write of `stacks` whose writer is gone. The next holder of their locks ends it."""

    entry = codes.K617

    def __init__(self, message: str, stacks: Sequence[str]) -> None:
        super().__init__(message, help="`kplan recover` ends it")
        self.stacks = tuple(stacks)


class RecordUnreadable(JournalBroken):
    """A record of the state cannot be read, and nothing was changed."""

    exit_code = 1
    entry = codes.K623


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Describe a record that this kplan cannot read, or may not trust. It stops its stack, and no other one.

    It is of a newer kplan, or damaged; `is_untrusted`: there is a key, and the record is not signed with it;
    `is_unknown`: it is of a kind of resource that this kplan does not know.

    With `address` it is one of the ledger: its owner is not known, so a plan of any stack that is about it stops.
    `message` names the record and the cause; `run` is set for a record of a journal.
    """

    stack: str
    message: str
    address: Address | None = None
    run: str = ""
    is_untrusted: bool = False
    is_unknown: bool = False

    def make_error(self, message: str) -> RecordUnreadable:
        """Return the error that refuses the record; `message` names it and the cause."""
        if self.is_untrusted:
            return RecordUnreadable(message, help=UNTRUSTED_HELP, code=codes.K621)
        if self.is_unknown:
            return RecordUnreadable(message, help=UNKNOWN_KIND_HELP, code=codes.K626)
        return RecordUnreadable(message, help=UNREADABLE_HELP)


def shorten_problems(problems: Sequence[Unreadable]) -> list[Unreadable]:
    """Return the problems to be shown: of the records of one stack that are not signed, the first with their number."""
    by_stack: dict[str, list[Unreadable]] = {}
    for problem in problems:
        if problem.is_untrusted:
            by_stack.setdefault(problem.stack, []).append(problem)
    shown = [problem for problem in problems if not problem.is_untrusted]
    return [*shown, *(replace(first, message=first.message + _count_more(rest)) for first, *rest in by_stack.values())]


def _count_more(others: Sequence[object]) -> str:
    return f"; and {len(others)} more" if others else ""


@dataclass(frozen=True, slots=True)
class Overview:
    """Hold the state as of one moment: `open_runs` are the stacks of the runs without an end, by run."""

    ledger: Mapping[Address, Owned]
    open_runs: Mapping[str, str] = field(default_factory=dict)
    unreadable: Sequence[Unreadable] = ()

    def refuse_unknown_kinds(self, stacks: Collection[str]) -> None:
        """Raise RecordUnreadable where one of the stacks owns a resource of a kind that this kplan does not know."""
        unknown_kinds = [problem for problem in self.unreadable if problem.is_unknown]
        replace(self, unreadable=unknown_kinds).refuse_unreadable(stacks)

    def refuse_unreadable(self, stacks: Collection[str], addresses: Collection[Address] = ()) -> None:
        """Raise RecordUnreadable where a record of one of the stacks, or about one of the addresses, cannot be read."""
        problems = [problem for problem in self.unreadable if problem.stack in stacks or problem.address in addresses]
        if not problems:
            return
        first = problems[0]
        owner = f"stack {first.stack}"
        if first.stack not in stacks:
            owner = f"{owner}, which may own {first.address}"
        raise first.make_error(f"{first.message} ({owner}){_count_more(problems[1:])}")


UNREADABLE_HELP: Final = (
    "use the kplan that wrote it, if that is newer; else find out what the record was, and write or remove it"
)
UNKNOWN_KIND_HELP: Final = "use the version of kplan that applied this stack last; other stacks are not affected"
UNTRUSTED_HELP: Final = (
    "set the KPLAN_KEY that signs this state; records that no key has signed yet are listed and signed by "
    "`kplan state sign`"
)


def make_ledger_key(stack: str, address: Address | str) -> str:
    """Return the name of a record, which is its key in a topic and is covered by its signature in any store."""
    return f"stack/{stack}/{address}"


def make_journal_key(stack: str, run: str, seq: int) -> str:
    return f"stack/{stack}/run/{run}/{seq}"


def make_summary_key(stack: str, run: str) -> str:
    return f"stack/{stack}/runs/{run}"


def make_history_key(stack: str, address: str) -> str:
    return f"stack/{stack}/history/{address}"


class UnknownKind(ValueError):
    """A record of the ledger is about a kind of resource that this kplan does not know."""


def refuse_unknown_kind(address: str) -> None:
    """Raise UnknownKind for the address of a ledger's record, with the version of kplan that does not know it."""
    if kind := find_unknown_kind(address):
        raise UnknownKind(f"kplan {__version__} does not know the kind `{kind}`: a later version wrote it")


def refuse_newer(version: object, known_version: int) -> None:
    """Raise ValueError for the version of a record's format that this kplan does not know."""
    if isinstance(version, int) and version > known_version:
        raise ValueError(f"it was written by a newer kplan (format {version}, this one knows {known_version})")


class Lock(Protocol):
    """Allow writing to the store for one stack, for as long as the lock is held."""

    def write(self, entries: Sequence[Entry] = (), ledger: Mapping[Address, Owned | None] | None = None) -> None:
        """Write everything durably, or nothing. None for an address: its record is removed.

        With the `end` of a run its summary is written, and its changes are added to the history of each resource.

        Raises JournalBroken, also when the lock was lost: then nothing may be changed any more.
        """

    def rewrite(self, records: Sequence[Record]) -> None:
        """Replace stored records of the stack, each by one of the same key. Raises JournalBroken, as `write` does.

        One with a `fault` stays without a signature: its content was not reviewed.
        """


ReportKeys: TypeAlias = Callable[[Iterable[str]], object]


def ignore_keys(keys: Iterable[str]) -> None:
    """Do nothing with the keys."""


class Store(Protocol):
    """The ledger, the journal and the lock of one environment. Reading needs no lock and creates nothing."""

    where: str  # for people: `.kplan/local.db`, `__kplan`
    topic: str  # the topic that holds the state; empty where it is in a file

    def overview(self, report_keys: ReportKeys = ignore_keys) -> Overview:
        """Return the ledger, the open runs and what cannot be read or trusted, as of one moment.

        `report_keys` gets the keys of all records, where those are known before the records are.
        With a key a run has ended only where its end is signed, and a claim that is not signed owns nothing that a
        signed one claims.
        """

    def ledger(self) -> Mapping[Address, Owned]:
        """Return every stack's records that can be read, as of now."""

    def runs(self) -> Sequence[str]:
        """Return the ids of the runs whose details the journal has, oldest first."""

    def summaries(self) -> Sequence[RunSummary]:
        """Return every run in short, oldest first; also those whose details are gone."""

    def changes(self, address: Address) -> Mapping[str, Sequence[PastChange]]:
        """Return the last changes of the resource by the stack whose runs made them, newest first."""

    def entries(self, run: str) -> Sequence[Entry]:
        """Return the records of the run's journal, signed or not. Raises RecordUnreadable where one cannot be read."""

    def open_runs(self) -> Sequence[str]:
        """Return the ids of the runs that have a beginning and no end, as far as they can be read."""

    def records(self) -> Sequence[Record]:
        """Return every record of the ledger and the journal, damaged ones too, oldest first."""

    def find_obstacle(self) -> KplanError | None:
        """Return why no run could be recorded here, as far as that shows before the first one."""

    def holder(self, stack: str) -> Holder | None:
        """Return who holds the lock now."""

    def connect_lock(self, stack: str, holder: Holder) -> None:
        """Connect in advance what the lock of `holder` will need. It claims and writes nothing."""

    def lock(self, stack: str, holder: Holder, timeout: float) -> AbstractContextManager[Lock]:
        """Hold the lock inside the `with`. Raises Locked, with its holder, after `timeout` seconds.

        A process that is killed frees it.
        """

    def close(self) -> None: ...
