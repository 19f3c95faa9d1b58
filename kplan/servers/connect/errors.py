"""What Connect's failures mean.

Connect answers 500 for temporary failures and 409 for two different ones, so their messages distinguish them (`RULES`).
"""

from __future__ import annotations

import json
import re

from kplan.diagnostics import Busy, Conflict, Denied, KplanError, Rejected, Timeout, Unsupported, codes
from kplan.kinds.connector.sensitivity import CAUSED_BY


class TaskFailed(KplanError):
    """A connector task failed after its configuration was changed."""

    entry = codes.K512

    def __init__(self, message: str, *, help: str = "") -> None:
        super().__init__(message, help=help)
        self.applied = None


class NotSettled(KplanError):
    """A connector did not reach its state in time, or is RUNNING and does not work."""

    entry = codes.K514

    def __init__(self, message: str, *, help: str = "") -> None:
        super().__init__(message, help=help)
        self.applied = None


NO_CLASS = "failed to find any class"
FORWARDING = "io error trying to forward"

# Status, words of the message in lower case, meaning; the first match counts. Status 0: any of 5xx.
# RestClient, HerderRequestHandler, DistributedHerder and Worker of Kafka 3.5 to 4.3; Timeout: it may have taken effect.
RULES: tuple[tuple[int, str, type[KplanError]], ...] = (
    (400, "must be in the stopped state", Busy),  # a stop is under way: KIP-875
    (400, "", Rejected),
    (404, "", Conflict),
    (405, "", Unsupported),
    (408, "", Timeout),
    (409, "already exists", Conflict),
    (409, "", Busy),  # rebalance, stale configuration, no known leader
    (425, "", Busy),
    (429, "", Busy),
    (500, "rebalance is expected", Busy),
    (500, "tasks haven't stopped completely", Busy),
    (500, NO_CLASS, Rejected),
    (500, "is expected to be", Rejected),  # offsets of another shape
    (500, FORWARDING, Timeout),  # for 10 s after the leader was killed
    (500, "request timed out", Timeout),  # after 90 s
    (501, "", Unsupported),
    (503, "", Busy),
    (0, "", Timeout),
)


def classify(status: int, message: str) -> type[KplanError]:
    """Return what an unsuccessful answer means."""
    if status in (401, 403, 407):
        return Denied
    # Without Connect's own words (`Connector x not found`, `HTTP 404 Not Found`) a starting worker answered:
    # Jetty's page, or its `Not Found` to a client that accepts JSON (seen with 4.3.1).
    if status == 404 and message.lower() in ("", "not found"):
        return Busy
    for rule_status, words, kind in RULES:
        if (rule_status == status or (rule_status == 0 and status >= 500)) and words in message.lower():
            return kind
    return Rejected


def is_temporary(failure: KplanError) -> bool:
    """Return whether a rebalance or a start is the cause, which ends within the time that settling may take."""
    return isinstance(failure, Busy) or FORWARDING in failure.message.lower()


def connect_message(body: str) -> str:
    """Return Connect's own message in an error's body; empty for an answer of Jetty or a proxy."""
    try:
        data = json.loads(body)
    except ValueError:
        return ""
    message = data.get("message") if isinstance(data, dict) else None
    return remove_lists(message) if isinstance(message, str) else ""


def html_title(body: str) -> str:
    """Return the title of an HTML page, which is all that is worth showing."""
    import html

    match = re.search(r"<title>(.*?)</title>", body, re.DOTALL | re.IGNORECASE)
    return " ".join(html.unescape(match[1]).split())[:200] if match else ""


def remove_lists(message: str) -> str:
    """Return Connect's message without the list of all plugins and the hint at its own endpoint."""
    message = message.split(", available connectors are:")[0]
    return message.split("\nYou can also find the above list of errors")[0].strip()


def condense(trace: str | None) -> str:
    """Return the first line of a Java trace and its last cause, in one line, with short class names.

    They are complete: callers mask secrets first and shorten them afterwards (`sensitivity.masked_causes`).
    """
    lines = [line.strip() for line in (trace or "").splitlines() if line.strip()]
    if not lines:
        return ""
    causes = [line.removeprefix("Caused by:").strip() for line in lines if line.startswith("Caused by:")]
    first = _shorten_class(lines[0])
    last = _shorten_class(causes[-1]) if causes else ""
    return first if not last or last in first else f"{first}{CAUSED_BY}{last}"


def _shorten_class(line: str) -> str:
    return re.sub(r"^(?:[a-z_][\w]*\.)+(?=[A-Z])", "", line)
