"""Ask a person at the terminal before something is changed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kplan.cli.session import Session

YES = "yes"


def ask(session: Session, request: str, expected: str = YES, help: str = "use --yes") -> None:
    """Return when the person typed the expected word. Raises Declined, also where there is no terminal."""
    from kplan.diagnostics import Declined

    if session.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Declined("there is no terminal to confirm on", help=help)
    try:
        answer = input(f"\n{request}: ").strip()
    except (EOFError, KeyboardInterrupt):
        answer = ""
        session.say()
    if answer == expected:
        return
    only = f" Only the word {expected} counts." if answer.lower() in ("y", YES) else ""
    raise Declined(f"Nothing was changed.{only}", is_answer=True)
