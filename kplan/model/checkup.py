"""What `kplan doctor` finds out about servers: one line for each check, with what to do where something is wrong."""

from __future__ import annotations

from enum import StrEnum

from kplan.diagnostics import KplanError
from kplan.values import dataclass


class CheckResult(StrEnum):
    """How something is.

    What is `absent` only some uses need, and none of these stacks; what is `lacking` they need, and what has `failed`
    stops all that needs the server.
    """

    OK = "ok"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    LACKING = "lacking"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ServerCheck:
    """`subject` of `server` is as `result` and `text` say; `help` is what to do, `code` what `kplan explain` knows."""

    server: str
    subject: str
    result: CheckResult
    text: str
    help: str = ""
    code: str = ""


def make_failure(
    server: str, subject: str, problem: KplanError, result: CheckResult = CheckResult.FAILED
) -> ServerCheck:
    """Return the check whose request failed."""
    return ServerCheck(server, subject, result, problem.message.rstrip("."), problem.help, problem.code)
