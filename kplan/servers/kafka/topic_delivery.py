"""Sends a request until each of its topics has a final answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from kplan.diagnostics import Conflict, ErrorClass
from kplan.model import Topic
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.topic_reader import TopicReader
from kplan.servers.kafka.topic_requests import Failures
from kplan.values import dataclass


@dataclass(frozen=True, eq=False)
class TopicDelivery:
    """Repeats after temporary failures; the reader decides what a request with a lost answer did."""

    client: Client
    reader: TopicReader

    def deliver(
        self,
        names: Iterable[str],
        send: Callable[[Sequence[str]], Failures],
        has_effect: Callable[[str, Topic | None], bool],
        *,
        ours_only: bool = False,
        gone_is_fine: bool = False,
    ) -> Failures:
        """Send until each has a final answer. Live state decides where an answer was lost or reports a conflict.

        With `ours_only`, an existing effect counts only if an earlier attempt of this call may have caused it.
        """
        failures: Failures = {}
        uncertain: set[str] = set()
        pending, reason = list(names), ""
        for attempt in range(1, self.client.attempts + 1):
            if not pending:
                break
            if attempt > 1:
                self.client.pause(attempt - 1, reason)
            answers = send(pending)
            uncertain |= {name for name, problem in answers.items() if problem is not None and problem.applied is None}
            unclear = [
                n for n, p in answers.items()
                if p is not None
                and (p.applied is None or (isinstance(p, Conflict) and (n in uncertain or not ours_only)))
            ]  # fmt: skip
            live = {} if gone_is_fine and not uncertain else self.reader.read_present(unclear, pause=bool(uncertain))
            to_retry = []
            for name, problem in answers.items():
                is_visible = name in live and has_effect(name, live[name]) and (name in uncertain or not ours_only)
                is_done = problem is None or is_visible or (gone_is_fine and isinstance(problem, Conflict))
                failures[name] = None if is_done else problem
                is_unreadable = name in uncertain and name not in live and name in unclear
                if (
                    not is_done
                    and problem is not None
                    and problem.error_class is ErrorClass.RETRIABLE
                    and not is_unreadable
                ):
                    to_retry.append(name)
                    reason = problem.message
            pending = to_retry
        for name in uncertain:
            if (problem := failures[name]) is not None:
                problem.applied = None
        return failures
