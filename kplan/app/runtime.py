"""What a use case takes from the process that calls it: known secrets, clock, key, and where it reports."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Final

from kplan.kinds.registry import KINDS, comparison_of
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.diagnostics import Diagnostic
    from kplan.execution.notify import Notifier
    from kplan.model import Stack
    from kplan.model.masks import Mask
    from kplan.project.environment import Environment
    from kplan.servers.base import ReportProgress
    from kplan.state.base import Holder

MAX_WORD: Final = 80  # characters of a name that a CI service gives


def discard(text: str) -> None:
    """Ignore a text."""


def discard_problem(problem: Diagnostic) -> None:
    """Ignore a problem."""


def discard_progress(what: str, done: int, total: int) -> None:
    """Ignore how far work is."""


def do_nothing() -> None:
    """Do nothing."""


def show_no_progress(lines: bool) -> AbstractContextManager[None]:
    """Show no progress while the context is open."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Runtime:
    """`mask` knows every secret of this call; `now` is the clock; `key` signs records and plans, as KPLAN_KEY does.

    `note` and `warn` get sentences for a person, and `show_problem` the problems of files that stop nothing.
    `report_progress` gets how far long work is. `show_progress(lines)` shows that while its context is open; with
    `lines` also where there is no terminal. `secrets_learned` is called whenever the mask has learned more.
    """

    mask: Mask
    now: Callable[[], datetime]
    key: str | None = None
    note: Callable[[str], None] = discard
    warn: Callable[[str], None] = discard
    show_problem: Callable[[Diagnostic], None] = discard_problem
    report_progress: ReportProgress = discard_progress
    show_progress: Callable[[bool], AbstractContextManager[None]] = show_no_progress
    secrets_learned: Callable[[], None] = do_nothing

    @property
    def timestamp(self) -> str:
        """Return the time in ISO 8601, in UTC."""
        return f"{self.now():%Y-%m-%dT%H:%M:%SZ}"

    def learn(self, environment: Environment, stacks: Sequence[Stack] = ()) -> None:
        """Mask the secrets of `environment` and of `stacks` from now on."""
        self.mask.add(environment.secrets)
        for address, resource in ((a, r) for stack in stacks for a, r in stack.resources.items()):
            if KINDS[address.kind].holds_secrets:
                self.mask.add(comparison_of(address).secrets(resource).values())
        self.secrets_learned()

    def notifier(self, environment: Environment) -> Notifier:
        """Return what notifies the receivers of `environment`."""
        from kplan.execution.notify import Notifier
        from kplan.render import messages

        return Notifier(environment.notify, environment.name, self.mask.mask, self.warn, messages)

    def holder(self, command: str) -> Holder:
        """Return who holds the locks of a new run; `command` is shown to those who are refused meanwhile."""
        return identify_holder(command, self.now())


def identify_holder(command: str, now: datetime) -> Holder:
    """Return the user, host and process that run `command`, with the id of a new run."""
    import getpass
    import os
    import secrets
    import socket

    from kplan.state.base import Holder

    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = f"uid {os.getuid()}" if hasattr(os, "getuid") else "someone"
    run = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    who, since = f"{user}@{socket.gethostname()}", f"{now:%Y-%m-%dT%H:%M:%SZ}"
    return Holder(who, run, command, since, os.getpid(), *find_author(os.environ))


def find_author(process: Mapping[str, str]) -> tuple[str, str]:
    """Return for whom a CI service runs kplan, and the pull or merge request; KPLAN_REQUEST names it elsewhere.

    https://docs.github.com/actions/reference/variables-reference, https://docs.gitlab.com/ci/variables/predefined_variables/
    """
    actor = process.get("GITHUB_ACTOR") or process.get("GITLAB_USER_LOGIN") or ""
    pull = re.fullmatch(r"refs/pull/(\d+)/(?:merge|head)", process.get("GITHUB_REF", ""))
    merge = process.get("CI_MERGE_REQUEST_IID", "")
    request = process.get("KPLAN_REQUEST") or (f"#{pull[1]}" if pull else f"!{merge}" if merge else "")
    return actor[:MAX_WORD], request[:MAX_WORD]
