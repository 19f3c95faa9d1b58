"""Encode and decode the records of the state's topic (schemas/state.v1.json). Without effects.

Keys are `stack/NAME/ADDRESS` (ledger), `stack/NAME/run/ID/SEQ[/PART]` (journal), `stack/NAME/runs/ID` (summaries),
`stack/NAME/history/ADDRESS` (the last changes of a resource) and `stack/NAME/lock`. An address is the rest of its key,
unchanged, whatever slashes it has; `run`, `runs`, `history` and `lock` are not kinds of resources.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Final

from kplan.kinds.codec import owned_from_json, owned_to_json, rename_owned
from kplan.kinds.registry import KINDS, find_unknown_kind
from kplan.model import Address, Owned
from kplan.model.codec import entry_from_json, entry_to_json
from kplan.model.history import (
    PastChange,
    RunSummary,
    changes_from_json,
    changes_to_json,
    summarize,
    summary_from_json,
    summary_to_json,
)
from kplan.model.journal import Entry
from kplan.state.base import (
    Holder,
    Overview,
    UnknownKind,
    Unreadable,
    make_history_key,
    make_journal_key,
    make_ledger_key,
    make_summary_key,
    refuse_newer,
    refuse_unknown_kind,
)
from kplan.state.base import Record as Stored
from kplan.state.signing import Signer
from kplan.values import dataclass

Json = dict[str, Any]
Record = tuple[str, Json | None]  # None: the key is removed (a tombstone)

VERSION: Final = 1
MAX_KEPT_RUNS: Final = 20  # finished ones, of each stack
MAX_ITEMS: Final = 200  # of an entry, in one record
PLAIN_BEGINNING: Final = b'{"v":1,'  # of a record of this version
MAX_BYTES: Final = 700_000  # of them; a topic's usual limit is 1 MiB a batch


def is_history(key: bytes | None) -> bool:
    """Return whether the record holds the last changes of a resource."""
    parts = (key or b"").split(b"/", 4)
    return len(parts) == 5 and parts[0] == b"stack" and parts[1] != b"" and parts[2] == b"history"


def encode_json(data: Json) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def make_ledger_record(owned: Owned, claimed: int | None) -> Record:
    """Return the record of a resource. `claimed` is the offset of the claim; compaction removes its record."""
    value = {"v": VERSION, **owned_to_json(owned), **({} if claimed is None else {"claimed": claimed})}
    return make_ledger_key(owned.stack, owned.address), value


def make_summary_record(summary: RunSummary) -> Record:
    return make_summary_key(summary.stack, summary.run), {"v": VERSION, **summary_to_json(summary)}


def make_history_record(stack: str, address: str, changes: Sequence[PastChange]) -> Record:
    return make_history_key(stack, address), {"v": VERSION, **changes_to_json(changes)}


def make_lock_key(stack: str) -> str:
    return f"stack/{stack}/lock"


def make_lock_record(stack: str, holder: Holder, state: str) -> Record:
    return make_lock_key(stack), {
        "v": VERSION, "state": state, "who": holder.who, "run": holder.run, "command": holder.command,
        "since": holder.since, "pid": holder.pid,
    }  # fmt: skip


def make_journal_records(entry: Entry) -> list[Record]:
    """Return the records of the entry, split if it has more than MAX_ITEMS items or MAX_BYTES bytes of them."""
    data = {"v": VERSION, **entry_to_json(entry)}
    parts = list(_split_items(data["items"])) or [[]]
    key = make_journal_key(entry.stack, entry.run, entry.seq)
    if len(parts) == 1:
        return [(key, data)]
    about = [data["about"], *({} for _ in parts[1:])]
    return [(f"{key}/{n}", {**data, "items": items, "about": about[n], "part": n, "parts": len(parts)})
            for n, items in enumerate(parts)]  # fmt: skip


def _split_items(items: Sequence[Json]) -> Iterator[list[Json]]:
    part: list[Json] = []
    size = 0
    for item in items:
        item_size = len(encode_json(item))
        if part and (len(part) == MAX_ITEMS or size + item_size > MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += item_size
    if part:
        yield part


class NewestRecords:
    """The newest record of each key among those that were read, in the order of their offsets.

    It is what compaction leaves, so it means the same, and only it is decoded: right after many runs, brokers still
    have a hundred times as many records. Of a reading that is whole, what was removed is left out.
    """

    def __init__(self, is_whole: bool) -> None:
        self._is_whole = is_whole
        self._records: dict[bytes | None, tuple[int, bytes | None]] = {}
        self.count = self.size = 0  # of all that were read, in bytes

    def add(self, key: bytes | None, offset: int, value: bytes | None) -> None:
        self.count += 1
        self.size += len(key or b"") + len(value or b"")
        self._records.pop(key, None)
        if value or not self._is_whole:
            self._records[key] = offset, value

    def __iter__(self) -> Iterator[tuple[bytes | None, int, bytes | None]]:
        return ((key, offset, value) for key, (offset, value) in self._records.items())


@dataclass(slots=True)
class OwnershipClaim:
    """Hold what one stack states about an address. Of several, the lowest `claimed` (an offset) is the owner's."""

    claimed: int
    owned: Owned
    fault: str = ""  # of its signature


def _find_first(claims: Mapping[str, OwnershipClaim]) -> OwnershipClaim:
    """Return the rightful owner's claim; there is nearly always one alone."""
    if len(claims) == 1:
        return next(iter(claims.values()))
    return min(claims.values(), key=lambda claim: (bool(claim.fault), claim.claimed))


class KnownValues:
    """Remember values of ledger records that were decoded: those of one run often differ in their claims alone."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], Owned] = {}

    def find(self, address: Address, value: bytes) -> tuple[Owned, int | None] | None:
        """Return the record and its `claimed`, where one of the same kind had the same value otherwise."""
        content, claimed = _split_claimed(value)
        known = self._known.get((address.kind, content))
        owned = None if known is None else rename_owned(known, address)
        return None if owned is None else (owned, claimed)

    def add(self, value: bytes, owned: Owned, claimed: int | None) -> None:
        """Remember the record, unless its `claimed` stands where none is looked for."""
        content, number = _split_claimed(value)
        if number == claimed:
            self._known[owned.address.kind, content] = owned


def _split_claimed(value: bytes) -> tuple[bytes, int | None]:
    """Return the record's value without its last field, where that is `claimed`, and the number."""
    content, found, number = value.rpartition(b',"claimed":')
    return (content, int(number[:-1])) if found and number[:-1].isdigit() and number[-1:] == b"}" else (value, None)


@dataclass(slots=True)
class RunLog:
    """Hold the records of one run, as they are in the topic: offset, key and value by `(seq, part)`.

    Their content is decoded when it is needed: it takes ten times the memory, and for a run that has a summary it is
    rarely needed.
    """

    stack: str
    run: str
    first: int  # offsets
    last: int
    records: dict[tuple[int, int], tuple[int, str, bytes]] = field(default_factory=dict)
    signer: Signer = Signer()
    _events: tuple[frozenset[str], tuple[Unreadable, ...]] | None = None

    @property
    def has_end(self) -> bool:
        return "end" in self._inspect()[0]

    @property
    def unreadable(self) -> Sequence[Unreadable]:
        """Return the records that cannot be read."""
        return [problem for problem in self._inspect()[1] if not problem.is_untrusted]

    @property
    def problems(self) -> Sequence[Unreadable]:
        """Return the records that cannot be read or trusted."""
        return self._inspect()[1]

    def _inspect(self) -> tuple[frozenset[str], tuple[Unreadable, ...]]:
        if self._events is None:
            events, problems = set(), []
            for (seq, _), (offset, key, value) in self.records.items():
                try:
                    data = _decode(value) or {}
                    event = entry_from_json(self.run, self.stack, seq, data).event
                except _BAD as cause:
                    problems.append(_make_unreadable(self.stack, key, offset, cause, run=self.run))
                    continue
                if fault := self.signer.find_fault(key, data):
                    problems.append(_make_untrusted(self.stack, key, offset, fault, run=self.run))
                else:
                    events.add(event)
            self._events = frozenset(events), tuple(problems)
        return self._events

    def put(self, at: tuple[int, int], offset: int, key: str, value: bytes | None) -> None:
        self._events = None
        if value:
            self.records[at] = offset, key, value
            self.last = offset
        else:
            self.records.pop(at, None)

    def copy(self) -> RunLog:
        return replace(self, records=dict(self.records))

    def decode_entries(self) -> list[Entry]:
        """Return the entries. Raises ValueError for what is not an entry, and for one with a missing part."""
        parts_by_seq: dict[int, list[Json]] = {}
        for seq, part in sorted(self.records):
            parts_by_seq.setdefault(seq, []).append(_decode(self.records[seq, part][2]) or {})
        return [self._join_parts(seq, parts) for seq, parts in sorted(parts_by_seq.items())]

    def _join_parts(self, seq: int, parts: Sequence[Json]) -> Entry:
        expected = parts[0].get("parts", 1)
        if len(parts) != expected:
            raise ValueError(f"entry {seq} of run {self.run} has {len(parts)} of {expected} parts")
        items = [item for part in parts for item in part["items"]]
        return entry_from_json(self.run, self.stack, seq, {**parts[0], "items": items})


@dataclass(slots=True)
class Log:
    """Hold the state that the topic's records define, in the order of their offsets. Runs are by stack and id."""

    claims: dict[Address, dict[str, OwnershipClaim]] = field(default_factory=dict)
    runs: dict[tuple[str, str], RunLog] = field(default_factory=dict)
    decoded_summaries: dict[tuple[str, str], tuple[int, RunSummary]] = field(default_factory=dict)  # with their offsets
    histories: dict[tuple[str, str], bytes] = field(default_factory=dict)  # by stack and address
    locks: dict[str, tuple[str, Holder]] = field(default_factory=dict)
    broken: dict[str, Unreadable] = field(default_factory=dict)  # by key; those of a journal are in its RunLog
    foreign: set[str] = field(default_factory=set)
    signer: Signer = Signer()
    untrusted: dict[str, Unreadable] = field(default_factory=dict)  # claims that are not signed, by key
    unsigned: set[tuple[str, str]] = field(default_factory=set)  # runs whose summary is not
    _known: KnownValues = field(default_factory=KnownValues)
    _waiting: dict[tuple[str, str], tuple[int, bytes]] = field(default_factory=dict)  # summaries that nobody asked for

    def put(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Apply one record. An unreadable one is kept until a good record of its key comes."""
        text = (key or b"").decode(errors="replace")
        parts = text.split("/")
        stack = parts[1] if len(parts) > 2 and parts[0] == "stack" else ""
        if not stack:
            self.foreign.add(text)
            return
        self.broken.pop(text, None)
        self.untrusted.pop(text, None)
        name = "/".join(parts[3:])
        try:
            match parts[2:]:
                case [kind, *_] if name and kind in KINDS:
                    self._put_claim(offset, stack, text, Address(kind, name), value)
                case ["lock"]:
                    self._put_lock(stack, value)
                case ["run", run, seq, *part] if _are_numbers(seq, *part) and len(part) < 2:
                    at = int(seq), int(part[0]) if part else 0
                    self._put_journal(offset, text, (stack, run), at, value)
                case ["runs", run] if run:
                    self._put_summary(offset, stack, run, value)
                case ["history", _, _, *_] if value:
                    self.histories[stack, name] = value
                case ["history", _, _, *_]:
                    self.histories.pop((stack, name), None)
                case [kind, _, *_] if name and kind not in _OTHERS and find_unknown_kind(f"{kind}/{name}"):
                    if value:
                        refuse_unknown_kind(f"{kind}/{name}")
                case _:
                    self.foreign.add(text)
        except _BAD as cause:
            address = Address(parts[2], name) if parts[2] in KINDS else None
            self.broken[text] = _make_unreadable(stack, text, offset, cause, address)

    def _put_lock(self, stack: str, value: bytes | None) -> None:
        """Apply the record of a lock. One of a newer kplan is ignored: it is not needed."""
        self.locks.pop(stack, None)
        try:
            data = _decode(value)
            if data is not None:
                texts = (str(data[key]) for key in ("who", "run", "command", "since", "state"))
                who, run, command, since, state = texts
                self.locks[stack] = state, Holder(who, run, command, since, int(data["pid"]))
        except _BAD:
            pass

    def _put_journal(
        self, offset: int, key: str, run: tuple[str, str], at: tuple[int, int], value: bytes | None
    ) -> None:
        log = self.runs.get(run)
        if log is None and value:
            log = self.runs[run] = RunLog(*run, offset, offset, signer=self.signer)
        if log is not None:
            log.put(at, offset, key, value)
            if not log.records:
                del self.runs[run]

    def _put_summary(self, offset: int, stack: str, run: str, value: bytes | None) -> None:
        """Apply a summary. One that looks like this kplan's is decoded when it is asked for: plans need few of them."""
        self.decoded_summaries.pop((stack, run), None)
        self._waiting.pop((stack, run), None)
        self.unsigned.discard((stack, run))
        if value and not self.signer.key and value.startswith(PLAIN_BEGINNING) and value.endswith(b"}"):
            self._waiting[stack, run] = offset, value
        else:
            self._decode_summary(offset, stack, run, value)

    def _decode_summary(self, offset: int, stack: str, run: str, value: bytes | None) -> None:
        if (data := _decode(value)) is not None:
            self.decoded_summaries[stack, run] = offset, summary_from_json(run, stack, data)
            if self.signer.find_fault(make_summary_key(stack, run), data):
                self.unsigned.add((stack, run))

    def _find_summary(self, key: tuple[str, str]) -> RunSummary | None:
        """Return the run's summary. One that cannot be read is noted among what is broken."""
        if key in self._waiting:
            offset, value = self._waiting.pop(key)
            try:
                self._decode_summary(offset, *key, value)
            except _BAD as cause:
                text = make_summary_key(*key)
                self.broken[text] = _make_unreadable(key[0], text, offset, cause)
        return self.decoded_summaries[key][1] if key in self.decoded_summaries else None

    @property
    def summaries(self) -> Mapping[tuple[str, str], tuple[int, RunSummary]]:
        """Return the summaries that can be read, with their offsets."""
        for key in [*self._waiting]:
            self._find_summary(key)
        return self.decoded_summaries

    def _put_claim(self, offset: int, stack: str, key: str, address: Address, value: bytes | None) -> None:
        if not value:
            self.claims.get(address, {}).pop(stack, None)
            return
        fault = ""
        known = None if self.signer.key else self._known.find(address, value)  # a signature is one record's own
        if known is None:
            data = _decode(value) or {}
            known = owned_from_json(address, data), int(data["claimed"]) if "claimed" in data else None
            fault = self.signer.find_fault(key, data)
            self._known.add(value, *known)
        owned, claimed = known
        if owned.stack != stack:
            raise ValueError(f"it names stack {owned.stack}, not {stack}")
        first = offset if claimed is None else min(offset, claimed)
        self.claims.setdefault(address, {})[stack] = OwnershipClaim(first, owned, fault)
        if fault:
            self.untrusted[key] = _make_untrusted(stack, key, offset, fault, address)

    def find_owners(self) -> dict[Address, Owned]:
        """Return the rightful owner's record of each address: of several claims, the one with the lowest offset.

        One that is not signed, where there is a key, comes after those that are.
        """
        return {address: _find_first(claims).owned for address, claims in sorted(self.claims.items()) if claims}

    def overview(self) -> Overview:
        """Return what plans need to know of the state."""
        return Overview(self.find_owners(), self.open_runs(), self.list_unreadable())

    def list_runs(self) -> list[RunLog]:
        """Return the runs that have details, oldest first."""
        return sorted(self.runs.values(), key=lambda log: log.first)

    def list_records(self) -> list[Stored]:
        """Return every record of the ledger and the journal by its key, those that cannot be read too."""
        records, _ = [], self.summaries  # which finds those that are damaged
        for address, claims in sorted(self.claims.items()):
            for stack, claim in sorted(claims.items()):
                key, value = make_ledger_record(claim.owned, claim.claimed)
                records.append(Stored(key, stack, value or {}, address=str(address), fault=claim.fault))
        for log in self.list_runs():
            for (seq, _), (_, key, text) in sorted(log.records.items()):
                try:
                    data = _decode(text) or {}
                    entry_from_json(log.run, log.stack, seq, data)
                    fault = self.signer.find_fault(key, data)
                    records.append(Stored(key, log.stack, data, run=log.run, seq=seq, fault=fault))
                except _BAD as cause:
                    records.append(
                        Stored(key, log.stack, {}, run=log.run, seq=seq, damage=f"it cannot be read: {cause}")
                    )
        readable = [record for record in records if record.key not in self.broken]
        return [*readable, *(_make_damaged_record(key, problem.message) for key, problem in self.broken.items())]

    def has_ended(self, log: RunLog) -> bool:
        key = log.stack, log.run
        return (self._find_summary(key) is not None and key not in self.unsigned) or log.has_end

    def open_runs(self) -> dict[str, str]:
        """Return the stacks of the runs that have no end, oldest first. What cannot be read or trusted is left out."""
        return {log.run: log.stack for log in self.list_runs() if not self.has_ended(log) and not log.problems}

    def list_unreadable(self) -> list[Unreadable]:
        """Return what stops a stack: records that cannot be read or trusted, without those of runs that have an end."""
        of_runs = [log.problems for log in self.list_runs() if not self.has_ended(log)]
        problems_of_keys = [*self.broken.values(), *self.untrusted.values()]
        return [*problems_of_keys, *(problem for problems in of_runs for problem in problems)]

    def list_summaries(self) -> list[RunSummary]:
        """Return a summary of every run, oldest first. Of one without, it is made of the journal."""
        summaries = list(self.summaries.values())
        for key, log in self.runs.items():
            if key not in self.summaries and not log.unreadable:
                summary_of_journal = summarize(log.decode_entries())
                summaries += [] if summary_of_journal is None else [(log.first, summary_of_journal)]
        return [summary for _, summary in sorted(summaries, key=lambda pair: (pair[1].began, pair[0]))]

    def list_unsummarized(self) -> Iterable[RunLog]:
        """Return the ended runs without a summary: of a kplan that wrote none."""
        return [log for key, log in self.runs.items() if key not in self.summaries and log.has_end
                and not log.unreadable]  # fmt: skip

    def list_changes(self, stack: str, address: str) -> list[PastChange]:
        """Return the stack's last changes of the resource, newest first. Raises ValueError for an unreadable record."""
        data = _decode(self.histories.get((stack, address)))
        return [] if data is None else changes_from_json(data)

    def find_changes(self, address: str) -> dict[str, list[PastChange]]:
        """Return the last changes of the resource by stack. Raises ValueError for an unreadable record."""
        return {stack: self.list_changes(stack, address) for stack, of in self.histories if of == address}

    def copy_for_stack(self, stack: str) -> Log:
        """Return a copy of what belongs to this stack, for the holder of its lock to continue with."""
        claims = {address: {stack: each[stack]} for address, each in self.claims.items() if stack in each}
        runs = {key: log.copy() for key, log in self.runs.items() if key[0] == stack}
        summaries = {key: each for key, each in self.summaries.items() if key[0] == stack}
        histories = {key: each for key, each in self.histories.items() if key[0] == stack}
        locks = {stack: self.locks[stack]} if stack in self.locks else {}
        unsigned = {key for key in self.unsigned if key[0] == stack}
        return Log(claims, runs, summaries, histories, locks, signer=self.signer, unsigned=unsigned)

    def list_expired_keys(self, stack: str, ending: str) -> list[str]:
        """Return the keys of the finished runs that are too many once the run `ending` has ended as well."""
        finished = [log for (owner, run), log in self.runs.items()
                    if owner == stack and run != ending and self.has_ended(log)]  # fmt: skip
        finished.sort(key=lambda run_log: run_log.last, reverse=True)
        return [key for log in finished[MAX_KEPT_RUNS - 1 :] for _, key, _ in log.records.values()]


_BAD = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
_OTHERS: Final = ("lock", "run", "runs", "history")


def _make_unreadable(stack: str, key: str, offset: int, cause: Exception, address: Address | None = None, run: str = ""
                ) -> Unreadable:  # fmt: skip
    message = f"the record at offset {offset} (key {key}) cannot be read: {cause}"
    return Unreadable(stack, message, address, run, is_unknown=isinstance(cause, UnknownKind))


def _make_untrusted(stack: str, key: str, offset: int, fault: str, address: Address | None = None, run: str = ""
               ) -> Unreadable:  # fmt: skip
    return Unreadable(stack, f"the record at offset {offset} (key {key}) {fault}", address, run, is_untrusted=True)


def _make_damaged_record(key: str, reason: str) -> Stored:
    return Stored(key, key.split("/")[1], {}, address="/".join(key.split("/")[2:]), damage=reason)


def _are_numbers(*texts: str) -> bool:
    return all(text.isascii() and text.isdigit() for text in texts)


def _decode(value: bytes | None) -> Json | None:
    if not value:
        return None
    data = json.loads(value)
    if not isinstance(data, dict):
        raise ValueError(f"it is not an object, but {type(data).__name__}")
    version = data.get("v")
    if not isinstance(version, int) or version < 1:
        raise ValueError("it has no version")
    refuse_newer(version, VERSION)
    return data
