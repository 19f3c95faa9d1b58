"""Sends a request until each of its topics is answered for good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kplan.diagnostics import Conflict, ErrorClass
from kplan.model import Topic
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.topic_reader import TopicReader
from kplan.servers.kafka.topic_requests import Failures


@dataclass(frozen=True, eq=False)
class TopicDelivery:
    """Repeats what may pass; the reader says what became of a request whose answer was lost."""

    client: Client
    reader: TopicReader

    def carry_out(
        self,
        names: Iterable[str],
        send: Callable[[Sequence[str]], Failures],
        is_so: Callable[[str, Topic | None], bool],
        *,
        ours_only: bool = False,
        gone_is_fine: bool = False,
    ) -> Failures:
        """Sends until each is answered for good. Live state decides where an answer was lost or says it is so already.

        With `ours_only`, what is so already counts only if an earlier attempt of this call may have done it.
        """
        found: Failures = {}
        maybe: set[str] = set()
        pending, why = list(names), ""
        for attempt in range(1, self.client.attempts + 1):
            if not pending:
                break
            if attempt > 1:
                self.client.pause(attempt - 1, why)
            answers = send(pending)
            maybe |= {name for name, problem in answers.items() if problem is not None and problem.applied is None}
            unclear = [
                n for n, p in answers.items()
                if p is not None and (p.applied is None or (isinstance(p, Conflict) and (n in maybe or not ours_only)))
            ]  # fmt: skip
            live = {} if gone_is_fine and not maybe else self.reader.look_at(unclear, pause=bool(maybe))
            again = []
            for name, problem in answers.items():
                so = name in live and is_so(name, live[name]) and (name in maybe or not ours_only)
                fine = problem is None or so or (gone_is_fine and isinstance(problem, Conflict))
                found[name] = None if fine else problem
                unknown = name in maybe and name not in live and name in unclear
                if not fine and problem is not None and problem.error_class is ErrorClass.RETRIABLE and not unknown:
                    again.append(name)
                    why = problem.message
            pending = again
        for name in maybe:
            if (problem := found[name]) is not None:
                problem.applied = None
        return found
