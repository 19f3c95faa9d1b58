"""kplan state: the records of the ledger and the journal"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from kplan.cli.common import LOADING, SHOWING, Session, holder, option
from kplan.cli.common import command as calls

if TYPE_CHECKING:
    from kplan.backends.base import Cluster
    from kplan.environment import Environment
    from kplan.model import Address, Owned
    from kplan.sensitivity import Setting
    from kplan.store.base import Record, Store


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
    from kplan.environment import seconds
    from kplan.loading import load_environment

    try:
        timeout = seconds(session.settings["lock_timeout"])
    except ValueError as e:
        raise click.BadParameter(str(e), param_hint="--lock-timeout")
    environment = load_environment(session.request)
    session.mask(environment)
    cluster, store = session.open(environment)
    try:
        passwords = _passwords(session, cluster, store)
        found = _look(session, store, passwords)
        _describe(session, store, found)
        if found.to_write:
            _ask(session, found)
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


def _look(session: Session, store: Store, passwords: Collection[Setting]) -> Found:
    """Read all records, and say which of them hold values of sensitive settings."""
    from kplan.cleaning import Cleaner, settings_in
    from kplan.secrets import Mask
    from kplan.sensitivity import of_ledger

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
    from kplan.codec import owned_from_json
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
    from kplan.cleaning import connectors_in
    from kplan.diagnostics import KplanError
    from kplan.sensitivity import of_passwords

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
    from kplan.diagnostics import Diagnostic, Severity
    from kplan.render.text import clean as printable

    for record, names in found.to_write:
        session.say(printable(f"stack {record.stack}  {record.name}: {', '.join(names)}"))
    if not found.to_write:
        session.say(f"No value of a sensitive setting is in {store.where}.")
    problems = [
        Diagnostic("K619", Severity.WARNING, "a record of the state is damaged", f"{record.name} of stack "
                   f"{record.stack}: {record.damage}", "it is left as it is: see `kplan explain K619`")
        for record in found.damaged
    ]  # fmt: skip
    problems += [
        Diagnostic("K620", Severity.WARNING, "an open run keeps its values", f"run {run} needs them to be put back",
                   f"end it with `kplan recover {run}`, then clean again")
        for run in found.open_runs
    ]  # fmt: skip
    session.show(problems)


def _ask(session: Session, found: Found) -> None:
    from kplan.diagnostics import Declined

    if session.settings["yes"]:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Declined("there is no terminal to ask on", help="say --yes")
    try:
        answer = input(f"\nType yes to write {_count(len(found.to_write))} without these values: ")
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
    from kplan.words import count

    return count(records, "record")
