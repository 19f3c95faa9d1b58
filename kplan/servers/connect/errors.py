"""What Connect's failures mean.

Connect answers 500 for what passes by itself and 409 for two different things, so failures are told apart by their
words (`RULES`).
"""

from __future__ import annotations

import html
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
    """A connector did not get into its state in time, or is RUNNING and does not work."""

    entry = codes.K514

    def __init__(self, message: str, *, help: str = "") -> None:
        super().__init__(message, help=help)
        self.applied = None


NO_CLASS = "failed to find any class"
FORWARDING = "io error trying to forward"

# Status, words of the message in lower case, meaning; the first that fits counts. Status 0: any of 5xx.
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
    """What an answer that is no success means."""
    if status in (401, 403, 407):
        return Denied
    # Without Connect's own words (`Connector x not found`, `HTTP 404 Not Found`) it comes from a worker that starts:
    # Jetty's page, or to who accepts JSON its `Not Found` (seen with 4.3.1).
    if status == 404 and message.lower() in ("", "not found"):
        return Busy
    for known, words, kind in RULES:
        if (known == status or (known == 0 and status >= 500)) and words in message.lower():
            return kind
    return Rejected


def patient(failure: KplanError) -> bool:
    """Whether a rebalance or a start is behind it, so that it passes in the time that settling may take."""
    return isinstance(failure, Busy) or FORWARDING in failure.message.lower()


def said(body: str) -> str:
    """Connect's own message in an error's body; empty for what Jetty or a proxy answers."""
    try:
        data = json.loads(body)
    except ValueError:
        return ""
    message = data.get("message") if isinstance(data, dict) else None
    return concise(message) if isinstance(message, str) else ""


def title(body: str) -> str:
    """The title of an HTML page, which is all there is to say of it."""
    found = re.search(r"<title>(.*?)</title>", body, re.DOTALL | re.IGNORECASE)
    return " ".join(html.unescape(found[1]).split())[:200] if found else ""


def concise(message: str) -> str:
    """Connect's message without the list of all plugins and the hint at its own endpoint."""
    message = message.split(", available connectors are:")[0]
    return message.split("\nYou can also find the above list of errors")[0].strip()


def condense(trace: str | None) -> str:
    """The first line of a Java trace and its last cause, on one line, with short class names.

    They are whole: who shows them masks secrets first and cuts them then (`sensitivity.masked_causes`).
    """
    lines = [line.strip() for line in (trace or "").splitlines() if line.strip()]
    if not lines:
        return ""
    causes = [line.removeprefix("Caused by:").strip() for line in lines if line.startswith("Caused by:")]
    first = _short(lines[0])
    last = _short(causes[-1]) if causes else ""
    return first if not last or last in first else f"{first}{CAUSED_BY}{last}"


def _short(line: str) -> str:
    return re.sub(r"^(?:[a-z_][\w]*\.)+(?=[A-Z])", "", line)
