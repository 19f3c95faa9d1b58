"""kplan state: the records of the ledger and the journal"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from kplan.cli.common import LOADING, SHOWING, Session, holder, option
from kplan.cli.common import command as calls

if TYPE_CHECKING:
    from kplan.kinds.connector.sensitivity import Setting
    from kplan.model import Address, Owned
    from kplan.project.environment import Environment
    from kplan.servers.base import Cluster
    from kplan.state.base import Record, Store


@click.group("state", help="Look after the records of the ledger and the journal.")
def command() -> None:
    """The state is written by apply, destroy and recover; these commands correct what is there already."""


@dataclass(frozen=True, slots=True)
class Found:
    """What `clean` found: records to be written again, and those that have to be left."""

    to_write: tuple[tuple[Record, tuple[str, ...]], ...] = ()  # with the names of the settings
    damaged: tuple[Record, ...] = ()
    open_runs: tuple[str, ...] = ()

    @property
    def stacks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(record.stack for record, _ in self.to_write))


@command.command(
    "clean",
    help="Remove the values of sensitive settings from records that an earlier kplan wrote. Exit 2 where a record had "
    "to be left: a damaged one, or one of a run that `kplan recover` has to end first.",
)
@LOADING
@option("--yes", "-y", is_flag=True, help="Do not ask.")
@option("--lock-timeout", metavar="TIME", default="60s", show_default=True, help="How long to wait for each lock.")
@SHOWING
@calls
def clean(session: Session) -> int:
    from kplan.project.loading import load_environment

    timeout = _lock_timeout(session)
    environment = load_environment(session.request)
    session.mask(environment)
    cluster, store = session.open(environment)
    try:
        passwords = _passwords(session, cluster, store)
        found = _look(session, store, passwords)
        _describe(session, store, found)
        if found.to_write:
            _ask(session, f"write {_count(len(found.to_write))} without these values")
            for stack in found.stacks:
                with store.lock(stack, holder("kplan state clean"), timeout) as lock:
                    again = _look(session, store, passwords)  # as of now: a run may have ended meanwhile
                    mine = [record for record, _ in again.to_write if record.stack == stack]
                    lock.rewrite(mine)
                session.say(f"stack {stack}: {_count(len(mine))} written without these values")
            _tell_of_old_versions(session, environment)
    finally:
        cluster.close()
        store.close()
    return 2 if found.damaged or found.open_runs else 0


@command.command(
    "sign",
    help="Sign the records of the ledger and the journal with KPLAN_KEY: once, when the key is new. It lists which "
    "records have no signature by this key, and signs just those. Exit 2 where a record had to be left: a damaged one, "
    "or one that changed meanwhile.",
)
@LOADING
@option("--verbose", is_flag=True, help="List every record, not only how many there are.")
@option("--yes", "-y", is_flag=True, help="Do not ask.")
@option("--lock-timeout", metavar="TIME", default="60s", show_default=True, help="How long to wait for each lock.")
@SHOWING
@calls
def sign(session: Session) -> int:
    timeout = _lock_timeout(session)
    _refuse_without_key()
    store = session.open_store(session.load_environment())
    try:
        records = store.records()
        unsigned = [record for record in records if record.fault]
        _list_unsigned(session, store, records, unsigned)
        left = len(_show_damaged(session, records))
        if unsigned:
            _ask(session, f"sign {_count(len(unsigned))}")
        for stack in dict.fromkeys(record.stack for record in unsigned):
            listed = {record.key: record for record in unsigned if record.stack == stack}
            with store.lock(stack, holder("kplan state sign"), timeout) as lock:
                now = {record.key: record for record in store.records() if record.fault}
                same = [record for key, record in listed.items() if now.get(key) == record]
                lock.rewrite([replace(record, fault="") for record in same])
            session.say(f"stack {stack}: {_count(len(same))} signed")
            left += _tell_of_changed(session, stack, len(listed) - len(same))
    finally:
        store.close()
    return 2 if left else 0


def _refuse_without_key() -> None:
    from kplan.diagnostics import Invalid, codes, error

    if not os.environ.get("KPLAN_KEY"):
        help = "set KPLAN_KEY to the secret that plan and apply have"
        raise Invalid([error(codes.K622, "there is no key to sign with", "KPLAN_KEY is not set", help=help)])


def _list_unsigned(session: Session, store: Store, records: Sequence[Record], unsigned: Sequence[Record]) -> None:
    """Say of each stack which records would be signed, and which of its runs have no end."""
    from kplan.render.text import clean as printable
    from kplan.state.signing import UNSIGNED
    from kplan.text import count

    if not unsigned:
        session.say(f"No record without a signature by this key is in {store.where}.")
    open_runs = _open_runs([record for record in records if record.run])
    for stack in dict.fromkeys(record.stack for record in unsigned):
        mine = [record for record in unsigned if record.stack == stack]
        of_runs = [record for record in mine if record.run]
        numbers = f"{count(len(mine) - len(of_runs), 'record')} of the ledger, {len(of_runs)} of the journal"
        session.say(printable(f"stack {stack}: {numbers}"))
        if wrong := [record for record in mine if record.fault != UNSIGNED]:
            session.say(f"    {_count(len(wrong))} with another signature")
        for run in dict.fromkeys(record.run for record in of_runs if record.run in open_runs):
            session.say(printable(f"    run {run} has no end: `kplan recover` acts on what it says"))
        for record in mine if session.settings["verbose"] else ():
            session.say(printable(f"    {record.name} {record.fault}"))


def _tell_of_changed(session: Session, stack: str, changed: int) -> int:
    if changed:
        session.note(f"stack {stack}: {_count(changed)} changed meanwhile and left; look again with `kplan state sign`")
    return changed


def _lock_timeout(session: Session) -> float:
    from kplan.language.durations import seconds

    try:
        return seconds(session.settings["lock_timeout"])
    except ValueError as e:
        raise click.BadParameter(str(e), param_hint="--lock-timeout")


def _look(session: Session, store: Store, passwords: Collection[Setting]) -> Found:
    """Read all records, and say which of them hold values of sensitive settings."""
    from kplan.kinds.connector.sensitivity import of_ledger
    from kplan.model.masks import Mask
    from kplan.state.cleaning import Cleaner, settings_in

    records = store.records()
    sound = [record for record in records if not record.damage]
    ledger, journal = _ledger(sound), [record for record in sound if record.run]
    shown = [setting for record in journal for setting in settings_in(record.data)]
    hide = lambda values, text: Mask(values).mask(text)  # noqa: E731
    cleaner = Cleaner.of([*of_ledger(ledger), *shown, *passwords], ledger, hide)
    for record in journal:
        cleaner.learn(record.data)
    open_runs = _open_runs(journal)
    to_write, left = [], []
    for record in sound:
        data = cleaner.journal_record(record.data) if record.run else cleaner.ledger_record(record.address, record.data)
        if data == record.data:
            continue
        if record.run in open_runs:
            left.append(record.run)
        else:
            to_write.append((replace(record, data=data), cleaner.named(record.data, data)))
    for values in cleaner.values.values():
        session.secrets.add(values)
    damaged = tuple(record for record in records if record.damage)
    return Found(tuple(to_write), damaged, tuple(dict.fromkeys(left)))


def _ledger(records: Sequence[Record]) -> Mapping[Address, Owned]:
    """The ledger of all stacks, as far as it can be read."""
    from kplan.kinds.codec import owned_from_json
    from kplan.model import Address

    return {
        address: owned_from_json(address, record.data)
        for record in records
        if record.address
        for address in [Address.parse(record.address)]
    }


def _open_runs(records: Sequence[Record]) -> frozenset[str]:
    """The runs without an end. What they have to put back is in their records alone."""
    return frozenset(
        {record.run for record in records} - {record.run for record in records if record.data.get("event") == "end"}
    )


def _passwords(session: Session, cluster: Cluster, store: Store) -> list[Setting]:
    """What the plugins of the connectors in the journal define as passwords, where Connect can be asked."""
    from kplan.diagnostics import KplanError
    from kplan.kinds.connector.sensitivity import of_passwords
    from kplan.state.cleaning import connectors_in

    shown = {c.address: c for r in store.records() if r.run for c in connectors_in(r.data)}
    if cluster.connectors is None or not shown:
        return []
    try:
        return list(of_passwords(cluster.connectors.passwords(list(shown.values()))))
    except KplanError as e:
        session.note(f"warning: Connect does not say which settings are passwords: {e.message}")
        return []


def _describe(session: Session, store: Store, found: Found) -> None:
    """Say what would be changed, without values, and what is left."""
    from kplan.diagnostics import codes, warning
    from kplan.render.text import clean as printable

    for record, names in found.to_write:
        session.say(printable(f"stack {record.stack}  {record.name}: {', '.join(names)}"))
    if not found.to_write:
        session.say(f"No value of a sensitive setting is in {store.where}.")
    _show_damaged(session, found.damaged)
    session.show([
        warning(codes.K620, "an open run keeps its values", f"run {run} needs them to be put back",
                help=f"end it with `kplan recover {run}`, then clean again")
        for run in found.open_runs
    ])  # fmt: skip


def _show_damaged(session: Session, records: Sequence[Record]) -> Sequence[Record]:
    """Show and return the damaged ones of the records."""
    from kplan.diagnostics import codes, warning

    damaged = [record for record in records if record.damage]
    session.show([
        warning(codes.K619, "a record of the state is damaged", f"{record.name} of stack {record.stack}: "
                f"{record.damage}", help=f"it is left as it is: see `kplan explain {codes.K619.number}`")
        for record in damaged
    ])  # fmt: skip
    return damaged


def _ask(session: Session, what: str) -> None:
    from kplan.diagnostics import Declined

    if session.settings["yes"]:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Declined("there is no terminal to ask on", help="say --yes")
    try:
        answer = input(f"\nType yes to {what}: ")
    except (EOFError, KeyboardInterrupt):
        answer = ""
        session.say()
    if answer.strip() != "yes":
        raise Declined("nothing was changed")


def _tell_of_old_versions(session: Session, environment: Environment) -> None:
    if environment.kafka and not environment.sqlite:
        session.say(
            f"Topic {environment.kafka_topic} keeps the earlier versions of these records until Kafka compacts it: the "
            "segment that holds them is closed by the first record after `segment.ms` (one day, as kplan creates the "
            "topic), and then the log cleaner removes them."
        )


def _count(records: int) -> str:
    from kplan.text import count

    return count(records, "record")
