"""The records of the state's topic, and what all of them amount to (schemas/state.v1.json). Without effects.

Keys are `stack/NAME/ADDRESS` (ledger), `stack/NAME/run/ID/SEQ[/PART]` (journal) and `stack/NAME/lock`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from kplan.codec import entry_from_json, entry_to_json, owned_from_json, owned_to_json
from kplan.diagnostics import JournalBroken
from kplan.journal import Entry
from kplan.model import Address, Owned
from kplan.store.base import Holder
from kplan.store.base import Record as Stored

Json = dict[str, Any]
Record = tuple[str, Json | None]  # None: the key is removed (a tombstone)

VERSION: Final = 1
KEPT_RUNS: Final = 20  # finished ones, of each stack
MOST_ITEMS: Final = 200  # of an entry, in one record
MOST_BYTES: Final = 700_000  # of them; a topic's usual limit is 1 MiB a batch


def dumped(data: Json) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def ledger_key(stack: str, address: Address) -> str:
    return f"stack/{stack}/{address}"


def ledger_record(owned: Owned, claimed: int | None) -> Record:
    """`claimed` is the offset of the claim, which compaction removes with the record that first had it."""
    value = {"v": VERSION, **owned_to_json(owned), **({} if claimed is None else {"claimed": claimed})}
    return ledger_key(owned.stack, owned.address), value


def lock_record(stack: str, holder: Holder, state: str) -> Record:
    return f"stack/{stack}/lock", {
        "v": VERSION, "state": state, "who": holder.who, "run": holder.run, "command": holder.command,
        "since": holder.since, "pid": holder.pid,
    }  # fmt: skip


def journal_records(entry: Entry) -> list[Record]:
    """The entry, split where it has more than MOST_ITEMS items or MOST_BYTES bytes of them."""
    data = {"v": VERSION, **entry_to_json(entry)}
    parts = list(_parts(data["items"])) or [[]]
    key = f"stack/{entry.stack}/run/{entry.run}/{entry.seq}"
    if len(parts) == 1:
        return [(key, data)]
    about = [data["about"], *({} for _ in parts[1:])]
    return [(f"{key}/{n}", {**data, "items": items, "about": about[n], "part": n, "parts": len(parts)})
            for n, items in enumerate(parts)]  # fmt: skip


def _parts(items: Sequence[Json]) -> Iterator[list[Json]]:
    part: list[Json] = []
    size = 0
    for item in items:
        more = len(dumped(item))
        if part and (len(part) == MOST_ITEMS or size + more > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += more
    if part:
        yield part


@dataclass(slots=True)
class Claim:
    """What one stack says of an address. Of several, the lowest `claimed` (an offset) is the owner's."""

    claimed: int
    owned: Owned


@dataclass(slots=True)
class RunLog:
    """The records of one run by `(seq, part)`, as they are in the topic. `first` and `last` are offsets.

    They were read once, to know that they can be; what they hold takes ten times the memory, and is seldom asked for.
    """

    stack: str
    run: str
    first: int
    last: int
    records: dict[tuple[int, int], bytes] = field(default_factory=dict)
    ends: set[tuple[int, int]] = field(default_factory=set)  # of the records, those with the event `end`
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return bool(self.ends)

    def entries(self) -> list[Entry]:
        """Raises ValueError for what is no entry, and for one of which a part is not there."""
        whole: dict[int, list[Json]] = {}
        for seq, part in sorted(self.records):
            whole.setdefault(seq, []).append(json.loads(self.records[seq, part]))
        return [self._joined(seq, parts) for seq, parts in sorted(whole.items())]

    def _joined(self, seq: int, parts: Sequence[Json]) -> Entry:
        wanted = parts[0].get("parts", 1)
        if len(parts) != wanted:
            raise ValueError(f"entry {seq} of run {self.run} has {len(parts)} of {wanted} parts")
        items = [item for part in parts for item in part["items"]]
        return entry_from_json(self.run, self.stack, seq, {**parts[0], "items": items})


@dataclass(slots=True)
class Log:
    """What the topic's records amount to, applied in the order of their offsets."""

    claims: dict[Address, dict[str, Claim]] = field(default_factory=dict)
    runs: dict[tuple[str, str], RunLog] = field(default_factory=dict)
    locks: dict[str, tuple[str, Holder]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)  # key -> where and why
    foreign: set[str] = field(default_factory=set)

    def put(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Applies one record. What cannot be read is remembered until a good record of its key comes."""
        text = (key or b"").decode(errors="replace")
        match text.split("/"):
            case ["stack", stack, "lock"] if stack:
                take: Callable[[Json | None], None] = lambda data: self._lock(stack, data)  # noqa: E731
            case ["stack", stack, "run", run, seq, *part] if _numbers(seq, *part) and len(part) < 2:
                at = int(seq), int(part[0]) if part else 0
                take = lambda data: self._entry(offset, text, (stack, run), at, data, value or b"")  # noqa: E731
            case ["stack", stack, "topic" | "connector" as kind, *name] if stack and "".join(name):
                take = lambda data: self._claim(offset, stack, Address(kind, "/".join(name)), data)  # noqa: E731
            case _:
                self.foreign.add(text)
                return
        self.broken.pop(text, None)
        try:
            take(_read(value))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as cause:
            self.broken[text] = f"the record at offset {offset} (key {text}) cannot be read: {cause}"

    def _lock(self, stack: str, data: Json | None) -> None:
        if data is None:
            self.locks.pop(stack, None)
            return
        who, run, command, since, state = (str(data[key]) for key in ("who", "run", "command", "since", "state"))
        self.locks[stack] = state, Holder(who, run, command, since, int(data["pid"]))

    def _entry(self, offset: int, key: str, run: tuple[str, str], at: tuple[int, int], data: Json | None,
               value: bytes) -> None:  # fmt: skip
        log = self.runs.get(run)
        if data is None:
            if log is not None:
                log.records.pop(at, None)
                log.ends.discard(at)
                log.keys.pop(key, None)
                if not log.keys:
                    del self.runs[run]
            return
        if log is None:
            log = self.runs[run] = RunLog(*run, offset, offset)
        log.keys[key] = at  # what is torn is there, too: its run is not to be forgotten
        log.last = offset
        entry = entry_from_json(run[1], run[0], at[0], data)
        log.records[at] = value
        if entry.event == "end":
            log.ends.add(at)

    def _claim(self, offset: int, stack: str, address: Address, data: Json | None) -> None:
        if data is None:
            self.claims.get(address, {}).pop(stack, None)
            return
        owned = owned_from_json(address, data)
        if owned.stack != stack:
            raise ValueError(f"it names stack {owned.stack}, not {stack}")
        claimed = min(offset, int(data.get("claimed", offset)))
        self.claims.setdefault(address, {})[stack] = Claim(claimed, owned)

    def ledger(self) -> dict[Address, Owned]:
        """The rightful owner's record of each address: of several claims, the one with the lowest offset."""
        self.refuse_broken(lambda key: key.split("/")[2] in ("topic", "connector"))
        return {address: min(claims.values(), key=lambda each: each.claimed).owned
                for address, claims in sorted(self.claims.items()) if claims}  # fmt: skip

    def known_runs(self) -> list[RunLog]:
        self.refuse_broken(lambda key: key.split("/")[2] == "run")
        return sorted(self.runs.values(), key=lambda each: each.first)

    def records(self) -> list[Stored]:
        """Return every record of the ledger and the journal by its key, those that cannot be read too."""
        found = []
        for address, claims in sorted(self.claims.items()):
            for stack, claim in sorted(claims.items()):
                key, value = ledger_record(claim.owned, claim.claimed)
                found.append(Stored(key, stack, value or {}, address=str(address)))
        for log in sorted(self.runs.values(), key=lambda each: each.first):
            for key, at in sorted(log.keys.items(), key=lambda item: item[1]):
                if at in log.records:
                    found.append(Stored(key, log.stack, json.loads(log.records[at]), run=log.run, seq=at[0]))
        good = [record for record in found if record.key not in self.broken]
        return [*good, *(_damaged(key, why) for key, why in self.broken.items() if not key.endswith("/lock"))]

    def refuse_broken(self, matters: Callable[[str], bool]) -> None:
        """Raises JournalBroken where a record that matters cannot be read."""
        wrong = [why for key, why in self.broken.items() if matters(key)]
        if wrong:
            raise JournalBroken("; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""),
                                help="with a newer kplan's record, use that kplan; else find out what the record was, "
                                "then write its key anew or produce an empty value for it")  # fmt: skip

    def of(self, stack: str) -> Log:
        """A copy of what is this stack's alone, for its holder to go on with."""
        claims = {address: {stack: each[stack]} for address, each in self.claims.items() if stack in each}
        runs = {key: replace(log, records=dict(log.records), ends=set(log.ends), keys=dict(log.keys))
                for key, log in self.runs.items() if key[0] == stack}  # fmt: skip
        return Log(claims, runs)

    def forgotten(self, stack: str, ending: str) -> list[str]:
        """Keys of the finished runs that are too many once the run `ending` has ended as well."""
        finished = [log for (owner, run), log in self.runs.items() if owner == stack and run != ending and log.ended]
        finished.sort(key=lambda each: each.last, reverse=True)
        return [key for log in finished[KEPT_RUNS - 1 :] for key in log.keys]


def _damaged(key: str, why: str) -> Stored:
    _, stack, kind, name, *rest = [*key.split("/"), "", ""]
    if kind == "run":
        return Stored(key, stack, {}, run=name, seq=int(rest[0] or 0), damage=why)
    return Stored(key, stack, {}, address="/".join(key.split("/")[2:]), damage=why)


def _numbers(*texts: str) -> bool:
    return all(text.isascii() and text.isdigit() for text in texts)


def _read(value: bytes | None) -> Json | None:
    if not value:
        return None
    data = json.loads(value)
    if not isinstance(data, dict):
        raise ValueError(f"it is no object, but {type(data).__name__}")
    version = data.get("v")
    if not isinstance(version, int) or version < 1:
        raise ValueError("it has no version")
    if version > VERSION:
        raise ValueError(f"it was written by a newer kplan (format {version}, this one knows {VERSION})")
    return data
