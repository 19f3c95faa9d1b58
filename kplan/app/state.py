"""Correct the records of the state: remove values of sensitive settings, sign records, rename a Connect in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kplan.diagnostics import Conflict, InterruptedRun, KplanError, codes
from kplan.kinds.codec import owned_from_json
from kplan.kinds.connector.names import DEFAULT, alias_of, rename_connect
from kplan.kinds.connector.sensitivity import of_ledger, of_passwords
from kplan.kinds.registry import parse_address
from kplan.model import Address, Connector
from kplan.model.masks import Mask
from kplan.state.cleaning import Cleaner, find_connectors, find_settings
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.kinds.connector.sensitivity import Setting
    from kplan.model import Owned
    from kplan.project.environment import Environment
    from kplan.state.base import Record, Store


@dataclass(frozen=True, slots=True)
class SensitiveRecords:
    """The records that hold values of sensitive settings and are to be written again, and those that are left."""

    to_write: tuple[tuple[Record, tuple[str, ...]], ...] = ()  # with the names of the settings
    damaged: tuple[Record, ...] = ()
    open_runs: tuple[str, ...] = ()

    @property
    def stacks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(record.stack for record, _ in self.to_write))


# -- cleaning ---------------------------------------------------------------------------------------------------------
def read_passwords(opened: OpenEnvironment, runtime: Runtime) -> list[Setting]:
    """Return what the plugins of the connectors in the journal define as passwords, where Connect can be asked."""
    connectors = opened.cluster.connectors
    shown = {c.address: c for r in opened.store.records() if r.run for c in find_connectors(r.data)}
    if connectors is None or not shown:
        return []
    try:
        return list(of_passwords(connectors.passwords(list(shown.values()))))
    except KplanError as e:
        runtime.warn(f"Connect does not report which settings are passwords: {e.message}")
        return []


def find_sensitive_records(store: Store, passwords: Collection[Setting], runtime: Runtime) -> SensitiveRecords:
    """Read all records, and return which of them hold values of sensitive settings; the values are masked."""
    records = store.records()
    sound = [record for record in records if not record.damage]
    ledger, journal = _read_ledger(sound), [record for record in sound if record.run]
    shown = [setting for record in journal for setting in find_settings(record.data)]
    hide = lambda values, text: Mask(values).mask(text)  # noqa: E731
    cleaner = Cleaner.for_ledger([*of_ledger(ledger), *shown, *passwords], ledger, hide)
    for record in journal:
        cleaner.learn_values(record.data)
    open_runs = find_open_runs(journal)
    to_write, left = [], []
    for record in sound:
        data = (
            cleaner.clean_journal_record(record.data)
            if record.run
            else cleaner.clean_ledger_record(record.address, record.data)
        )
        if data == record.data:
            continue
        if record.run in open_runs:
            left.append(record.run)
        else:
            to_write.append((replace(record, data=data), cleaner.list_removed_settings(record.data, data)))
    for values in cleaner.values.values():
        runtime.mask.add(values)
    damaged = tuple(record for record in records if record.damage)
    return SensitiveRecords(tuple(to_write), damaged, tuple(dict.fromkeys(left)))


def clean_records(
    store: Store, stack: str, passwords: Collection[Setting], lock_timeout: float, runtime: Runtime
) -> int:
    """Write the records of the stack without the values of sensitive settings; return how many these are."""
    with store.lock(stack, runtime.holder("kplan state clean"), lock_timeout) as lock:
        records = find_sensitive_records(store, passwords, runtime)  # as of now: a run may have ended meanwhile
        mine = [record for record, _ in records.to_write if record.stack == stack]
        lock.rewrite(mine)
    return len(mine)


def _read_ledger(records: Sequence[Record]) -> Mapping[Address, Owned]:
    """Return the ledger of all stacks, as far as it can be read."""
    return {
        address: owned_from_json(address, record.data)
        for record in records
        if record.address
        for address in [parse_address(record.address)]
    }


def find_open_runs(records: Sequence[Record]) -> frozenset[str]:
    """Return the runs without an end. What they have to put back is in their records alone."""
    return frozenset(
        {record.run for record in records} - {record.run for record in records if record.data.get("event") == "end"}
    )


# -- renaming a Connect ---------------------------------------------------------------------------------------------
def find_connectors_of(store: Store, alias: str) -> list[Owned]:
    """Return the ledger's connectors of the Connect with that alias."""
    return [
        owned
        for address, owned in sorted(store.ledger().items())
        if address.kind == Connector.kind and (alias_of(address.name) or DEFAULT) == alias
    ]


def refuse_unfit_names(environment: Environment, old: str, new: str) -> None:
    """Raise KplanError unless the environment has a Connect `new`, and none that is called `old`."""
    known = ", ".join(environment.connects)
    if new not in environment.connects:
        raise KplanError(f"this environment has no Connect {new}", code=codes.K218, help=f"it has {known}")
    if old in environment.connects:
        raise KplanError(f"this environment still has a Connect {old}", code=codes.K218,
                         help="a connector leaves a Connect that is there by `moved:`")  # fmt: skip


def rename_server(store: Store, stack: str, old: str, new: str, lock_timeout: float, runtime: Runtime) -> int:
    """Write the stack's connectors of one Connect under the alias `new`; return how many these are.

    Raises InterruptedRun where a run of the stack has no end, Conflict where one of the new addresses is taken.
    """
    with store.lock(stack, runtime.holder("kplan state rename-server"), lock_timeout) as lock:
        if runs := [run for run, of_stack in store.overview().open_runs.items() if of_stack == stack]:
            raise InterruptedRun(f"run {runs[0]} of stack {stack} was interrupted", help="`kplan recover` ends it")
        mine = [owned for owned in find_connectors_of(store, old) if owned.stack == stack]
        renamed = [rename_connect(owned, new) for owned in mine]
        taken = store.ledger().keys() & {owned.address for owned in renamed}
        if taken:
            raise Conflict(f"{min(taken)} is in the ledger already", help="nothing was changed")
        changes: dict[Address, Owned | None] = {owned.address: None for owned in mine}
        lock.write(ledger={**changes, **{owned.address: owned for owned in renamed}})
    return len(mine)


# -- signing ----------------------------------------------------------------------------------------------------------
def sign_records(store: Store, stack: str, listed: Sequence[Record], lock_timeout: float, runtime: Runtime) -> int:
    """Sign those of the listed records of the stack that have not changed meanwhile; return how many these are."""
    with store.lock(stack, runtime.holder("kplan state sign"), lock_timeout) as lock:
        now = {record.key: record for record in store.records() if record.fault}
        same = [record for record in listed if now.get(record.key) == record]
        lock.rewrite([replace(record, fault="") for record in same])
    return len(same)
