"""kplan state: the records of the ledger and the journal"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kplan.cli.asking import ask
from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING, parse_lock_timeout
from kplan.cli.options import option
from kplan.cli.session import Session

if TYPE_CHECKING:
    from kplan.app.state import SensitiveRecords
    from kplan.project.environment import Environment
    from kplan.state.base import Record, Store


@click.group("state", help="Clean or sign the records of the ledger and the journal, or rename a Connect.")
def command() -> None:
    """Group the commands; apply, destroy and recover write the state, and these commands correct it."""


@command.command(
    "clean",
    help="Remove the values of sensitive settings from records that an earlier kplan wrote. Exit 2 if a record had "
    "to be left: a damaged one, or one of a run that `kplan recover` has to end first.",
)
@LOADING
@option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@option("--lock-timeout", metavar="TIME", default="60s", show_default=True, help="How long to wait for each lock.")
@SHOWING
@run_command
def clean(session: Session, yes: bool, lock_timeout: str) -> int:
    from kplan.app.state import clean_records, find_sensitive_records, read_passwords
    from kplan.project.loading import load_environment

    timeout = parse_lock_timeout(lock_timeout)
    environment = load_environment(session.request)
    session.runtime.learn(environment)
    with session.open(environment) as opened:
        store = opened.store
        passwords = read_passwords(opened, session.runtime)
        records = find_sensitive_records(store, passwords, session.runtime)
        _show_sensitive(session, store, records)
        if records.to_write:
            _confirm(
                session, f"write {_count_records(len(records.to_write))} without these values to {store.where}", yes
            )
            for stack in records.stacks:
                number = clean_records(store, stack, passwords, timeout, session.runtime)
                session.say(f"stack {stack}: {_count_records(number)} written without these values")
            _show_old_versions(session, environment)
    return 2 if records.damaged or records.open_runs else 0


@command.command(
    "sign",
    help="Sign the records of the ledger and the journal with KPLAN_KEY, once, when the key is new. Lists the "
    "records without a signature by this key and signs only those. Exit 2 if a record had to be left: a damaged one, "
    "or one that changed meanwhile.",
)
@LOADING
@option("--verbose", is_flag=True, help="List every record, not only their number.")
@option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@option("--lock-timeout", metavar="TIME", default="60s", show_default=True, help="How long to wait for each lock.")
@SHOWING
@run_command
def sign(session: Session, yes: bool, lock_timeout: str) -> int:
    from kplan.app.state import sign_records

    timeout = parse_lock_timeout(lock_timeout)
    _refuse_without_key()
    store = session.open_store(session.load_environment())
    try:
        records = store.records()
        unsigned = [record for record in records if record.fault]
        _list_unsigned(session, store, records, unsigned)
        left_count = len(_show_damaged(session, records))
        if unsigned:
            _confirm(session, f"sign {_count_records(len(unsigned))} in {store.where}", yes)
        for stack in dict.fromkeys(record.stack for record in unsigned):
            records_of_stack = [record for record in unsigned if record.stack == stack]
            number = sign_records(store, stack, records_of_stack, timeout, session.runtime)
            session.say(f"stack {stack}: {_count_records(number)} signed")
            left_count += _show_changed(session, stack, len(records_of_stack) - number)
    finally:
        store.close()
    return 2 if left_count else 0


@command.command(
    "rename-server",
    help="Rename a Connect in the ledger, where kplan.yaml calls it NEW from now on. Nothing live is changed. A "
    "connector that goes to another Connect needs `moved:` instead.",
)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@LOADING
@option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@option("--lock-timeout", metavar="TIME", default="60s", show_default=True, help="How long to wait for each lock.")
@SHOWING
@run_command
def rename(session: Session, old: str, new: str, yes: bool, lock_timeout: str) -> int:
    from kplan.app.state import find_connectors_of, refuse_unfit_names, rename_server
    from kplan.render.text import clean as printable

    timeout = parse_lock_timeout(lock_timeout)
    environment = session.load_environment()
    refuse_unfit_names(environment, old, new)
    store = session.open_store(environment)
    try:
        connectors = find_connectors_of(store, old)
        for owned in connectors:
            session.say(printable(f"stack {owned.stack}  {owned.address}"))
        if not connectors:
            session.say(f"No connector of {old} is in {store.where}.")
            return 0
        _confirm(session, f"rename {old} to {new} in {_count_records(len(connectors))} of {store.where}", yes)
        for stack in dict.fromkeys(owned.stack for owned in connectors):
            number = rename_server(store, stack, old, new, timeout, session.runtime)
            session.say(f"stack {stack}: {_count_records(number)} renamed")
    finally:
        store.close()
    return 0


def _refuse_without_key() -> None:
    from kplan.diagnostics import Invalid, codes, error

    if not os.environ.get("KPLAN_KEY"):
        help = "set KPLAN_KEY to the secret that plan and apply have"
        raise Invalid([error(codes.K622, "there is no key to sign with", "KPLAN_KEY is not set", help=help)])


def _list_unsigned(session: Session, store: Store, records: Sequence[Record], unsigned: Sequence[Record]) -> None:
    """Show for each stack which records would be signed, and which of its runs have no end."""
    from kplan.app.state import find_open_runs
    from kplan.render.text import clean as printable
    from kplan.state.signing import UNSIGNED
    from kplan.text import count

    if not unsigned:
        session.say(f"No record without a signature by this key is in {store.where}.")
    open_runs = find_open_runs([record for record in records if record.run])
    for stack in dict.fromkeys(record.stack for record in unsigned):
        records_of_stack = [record for record in unsigned if record.stack == stack]
        of_runs = [record for record in records_of_stack if record.run]
        numbers = (
            f"{count(len(records_of_stack) - len(of_runs), 'record')} of the ledger, {len(of_runs)} of the journal"
        )
        session.say(printable(f"stack {stack}: {numbers}"))
        if wrong := [record for record in records_of_stack if record.fault != UNSIGNED]:
            session.say(f"    {_count_records(len(wrong))} with another signature")
        for run in dict.fromkeys(record.run for record in of_runs if record.run in open_runs):
            session.say(printable(f"    run {run} has no end: `kplan recover` acts on its content"))
        for record in records_of_stack if session.display.verbose else ():
            session.say(printable(f"    {record.name} {record.fault}"))


def _show_changed(session: Session, stack: str, changed: int) -> int:
    if changed:
        session.note(
            f"stack {stack}: {_count_records(changed)} changed meanwhile and left; run `kplan state sign` again"
        )
    return changed


def _show_sensitive(session: Session, store: Store, records: SensitiveRecords) -> None:
    """Show what would be changed, without values, and what is left."""
    from kplan.diagnostics import codes, warning
    from kplan.render.text import clean as printable

    for record, settings in records.to_write:
        session.say(printable(f"stack {record.stack}  {record.name}: {', '.join(settings)}"))
    if not records.to_write:
        session.say(f"No value of a sensitive setting is in {store.where}.")
    _show_damaged(session, records.damaged)
    session.show([
        warning(codes.K620, "an open run keeps its values", f"run {run} needs them to be rolled back",
                help=f"end it with `kplan recover {run}`, then clean again")
        for run in records.open_runs
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


def _confirm(session: Session, action: str, yes: bool) -> None:
    if not yes:
        ask(session, f"Type yes to {action}")


def _show_old_versions(session: Session, environment: Environment) -> None:
    if environment.kafka and not environment.sqlite:
        session.say(
            f"Topic {environment.kafka_topic} keeps the earlier versions of these records until Kafka compacts it: the "
            "segment that holds them is closed by the first record after `segment.ms` (one day, as kplan creates the "
            "topic), and then the log cleaner removes them."
        )


def _count_records(records: int) -> str:
    from kplan.text import count

    return count(records, "record")
