"""Make the records for a write of a stack's ledger or journal, given what its topic has already."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

from kplan.diagnostics import JournalBroken
from kplan.model import Address, Owned
from kplan.model.history import past_changes, summarize, surplus, with_change
from kplan.model.journal import Entry
from kplan.state.base import make_ledger_key, make_summary_key
from kplan.state.kafka.log import (
    Log,
    Record,
    make_history_record,
    make_journal_records,
    make_ledger_record,
    make_summary_record,
)
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class StackRecords:
    """Make the records of one stack. `log` has what is written; `logger` gets a warning if a history begins again."""

    stack: str
    log: Log
    logger: logging.Logger

    def make_for_ledger(self, ledger: Mapping[Address, Owned | None]) -> Iterator[Record]:
        """Yield each owned resource's record; None removes the one that this stack has."""
        for address, owned in ledger.items():
            claim = self.log.claims.get(address, {}).get(self.stack)
            if owned is not None:
                yield make_ledger_record(owned, claim.claimed if claim else None)
            elif claim is not None:
                yield make_ledger_key(self.stack, address), None

    def make_for_journal(self, entries: Sequence[Entry]) -> Iterator[Record]:
        """Yield each entry's records; with an `end`, what stays of the run, and the removal of the details of older
        ones."""
        for entry in entries:
            log = self.log.runs.get((self.stack, entry.run))
            if log is not None and any(seq == entry.seq for seq, _ in log.records):
                raise JournalBroken(
                    f"entry {entry.seq} of run {entry.run} is there already", help="see `kplan recover --list`"
                )
            yield from make_journal_records(entry)
        for run in dict.fromkeys(entry.run for entry in entries if entry.event == "end"):
            run_log = self.log.runs.get((self.stack, run))
            earlier = run_log.decode_entries() if run_log is not None else []
            yield from self._make_lasting_records([*earlier, *(entry for entry in entries if entry.run == run)])
            yield from ((key, None) for key in self.log.list_expired_keys(self.stack, run))

    def _make_lasting_records(self, ended: Sequence[Entry]) -> Iterator[Record]:
        """Yield the summary of the run that ends, those that older runs lack, and the history of its changes."""
        all_summaries = [summarize(ended), *(summarize(log.decode_entries()) for log in self.log.list_unsummarized())]
        summaries = [summary for summary in all_summaries if summary is not None]
        yield from map(make_summary_record, summaries)
        existing = [summary for _, summary in self.log.summaries.values()]
        yield from ((make_summary_key(self.stack, run), None) for run in surplus([*existing, *summaries]))
        for address, change in past_changes(ended).items():
            try:
                earlier = self.log.list_changes(self.stack, address)
            except ValueError as cause:
                self.logger.warning("the history of %s begins again: it cannot be read: %s", address, cause)
                earlier = []
            yield make_history_record(self.stack, address, with_change(earlier, change))
