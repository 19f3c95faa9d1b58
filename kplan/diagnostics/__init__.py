"""Problems: those in a user's files are values that are collected; failures of servers and machines are exceptions.

The error tree (class, exit code when nothing was changed yet):

    KplanError                 1
    ├── Unreachable            1   RETRIABLE  a server did not answer; the request was not sent
    ├── Timeout                1   RETRIABLE  no answer in time; whether it took effect is unknown
    ├── Busy                   1   RETRIABLE  refused for now: rebalance, no leader, throttled, 5xx
    ├── Denied                 1   FATAL      authentication or authorization
    ├── Rejected               4   FATAL      the server says that the request is wrong
    ├── Conflict               4   EXPECTED   already exists or already gone; live state decides
    ├── Unsupported            1   FATAL      this server or client cannot do it
    ├── Invalid                4   FATAL      files with errors; carries the diagnostics
    ├── Blocked                3   FATAL      a danger, `protect`, `max_changes` or a policy
    ├── Stale                  5   FATAL      a saved plan no longer fits
    ├── Locked                 6   FATAL      someone else holds the stack
    ├── InterruptedRun         8   FATAL      an earlier run has no end: recover it first
    ├── JournalBroken          8   FATAL      the store cannot be written or read
    ├── Declined               9   FATAL      the person said no, or there is nobody to ask
    └── Interrupted          130   FATAL      stopped by the person before any change
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum

from kplan.diagnostics import codes
from kplan.diagnostics.codes.code import Code
from kplan.patterns import late_pattern
from kplan.values import dataclass

MAX_NUMBER_DIGITS = 60  # digits of a number in a sentence
NUMBERS = late_pattern(rf"\d{{{MAX_NUMBER_DIGITS},}}")
MAX_TEXT_LENGTH = 4_000  # characters of a sentence of a problem
MAX_NAMES = 3  # addresses that a problem of many names in its text


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A place in a file: lines and columns count from 1, `end_column` is exclusive. Line 0: the whole file."""

    path: str
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem with its cause and its remedy.

    `summary` has no words of the user's, so that it can be searched; `detail` has them; `label` follows the underline
    of the snippet; `help` is what to do. A problem that one line causes for several resources has the first
    of them in `address`, and all in `addresses`.
    """

    code: str
    severity: Severity
    summary: str
    detail: str = ""
    help: str = ""
    span: Span | None = None
    address: str = ""
    path: str = ""
    label: str = ""
    addresses: tuple[str, ...] = ()

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR

    def __str__(self) -> str:
        """Return one line without control characters: `shop.yaml:20:7: K104 unknown topic config: retention (…)`."""
        place_and_problem = ": ".join(
            filter(None, (str(self.span or self.address), f"{self.code} {self.summary}", self.detail))
        )
        text = f"{place_and_problem} ({self.help})" if self.help else place_and_problem
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)

    def with_span(self, span: Span | None) -> Diagnostic:
        """Return the same problem at `span`, unless it has a place already."""
        return self if self.span or span is None else replace(self, span=span)


def error(
    code: Code,
    summary: str,
    detail: str = "",
    *,
    help: str = "",
    span: Span | None = None,
    address: object = "",
    path: str = "",
    label: str = "",
) -> Diagnostic:
    return _diagnostic(Severity.ERROR, code, summary, detail, help, span, address, path, label)


def warning(
    code: Code,
    summary: str,
    detail: str = "",
    *,
    help: str = "",
    span: Span | None = None,
    address: object = "",
    path: str = "",
    label: str = "",
) -> Diagnostic:
    return _diagnostic(Severity.WARNING, code, summary, detail, help, span, address, path, label)


def _diagnostic(
    severity: Severity,
    code: Code,
    summary: str,
    detail: str,
    help: str,
    span: Span | None,
    address: object,
    path: str,
    label: str,
) -> Diagnostic:
    return Diagnostic(
        code.number, severity, summary, _shorten(detail), _shorten(help), span, str(address), path, _shorten(label)
    )


def _shorten(text: str) -> str:
    """Return a text short enough to read: values may have millions of characters, numbers thousands of digits."""
    if len(text) > MAX_NUMBER_DIGITS:
        text = NUMBERS.sub(lambda found: f"{found[0][:20]}… ({len(found[0]):,} digits)", text)
    return text if len(text) <= MAX_TEXT_LENGTH else f"{text[: MAX_TEXT_LENGTH - 1]}…"


def sort_diagnostics(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return errors first, then by place, each once; what one line causes for many resources is one problem."""
    merged = _merge_resources(dict.fromkeys(diagnostics))
    return tuple(sorted(merged, key=lambda d: (d.severity, d.span or Span(""), d.code, d.address, d.detail)))


def _merge_resources(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the problems; those at one place that differ only in the resource become one with all addresses."""
    groups: dict[tuple[object, ...], list[Diagnostic]] = {}
    for number, diagnostic in enumerate(diagnostics):
        is_single = not diagnostic.address or diagnostic.span is None or bool(diagnostic.addresses)
        groups.setdefault((number,) if is_single else (*merge_key(diagnostic), diagnostic.span), []).append(diagnostic)
    return [_merge_group(group) if len(group) > 1 else group[0] for group in groups.values()]


def merge_key(diagnostic: Diagnostic) -> tuple[object, ...]:
    """Return what two problems have in common that differ only in the resource and the place."""
    d, name = diagnostic, diagnostic.address.partition("/")[2]
    detail = d.detail.replace(name, "\0") if name else d.detail
    return d.code, d.severity, d.summary, detail, d.help, d.path, d.label


def _merge_group(group: list[Diagnostic]) -> Diagnostic:
    """Return one problem for all resources of the group."""
    addresses = tuple(dict.fromkeys(each.address for each in group))
    if len(addresses) == 1:
        return group[0]
    detail = "\n".join(filter(None, (group[0].detail, f"{len(addresses)} resources: {join_first_names(addresses)}")))
    return replace(group[0], detail=detail, addresses=addresses)


def join_first_names(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are: `a, b, c and 22 more`."""
    hidden_count = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {hidden_count} more" if hidden_count > 0 else "")


class ErrorClass(StrEnum):
    """What to do about a failure: EXPECTED is success in disguise, RETRIABLE may pass, FATAL will not."""

    EXPECTED = "EXPECTED"
    RETRIABLE = "RETRIABLE"
    FATAL = "FATAL"


class KplanError(Exception):
    """A failure outside the user's files: one sentence, the remedy in `help` and its origin in `cause`.

    `entry` is its code with the explanation. `applied` is False when the request cannot have taken effect, None when
    that is unknown.
    """

    exit_code = 1
    error_class = ErrorClass.FATAL
    entry = codes.K399
    applied: bool | None = False

    def __init__(self, message: str, *, help: str = "", code: Code | None = None, applied: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.entry = code or type(self).entry
        self.applied = type(self).applied if applied is None else applied

    @property
    def code(self) -> str:
        return self.entry.number

    def diagnostic(self, address: object = "", span: Span | None = None) -> Diagnostic:
        return error(self.entry, self.entry.title, self.message, help=self.help, address=address, span=span)


class Unreachable(KplanError):
    """A server does not answer."""

    error_class = ErrorClass.RETRIABLE
    entry = codes.K310


class Timeout(KplanError):
    """No answer in time, so the outcome is unknown."""

    error_class = ErrorClass.RETRIABLE
    entry = codes.K311
    applied = None

    def __init__(self, message: str, *, help: str = "", code: Code | None = None) -> None:
        super().__init__(message, help=help, code=code)
        self.applied = None


class Busy(KplanError):
    """The server cannot do it right now."""

    error_class = ErrorClass.RETRIABLE
    entry = codes.K312


class Denied(KplanError):
    """Not allowed."""

    entry = codes.K313


class Rejected(KplanError):
    """The server refuses this request."""

    exit_code = 4
    entry = codes.K301


class Conflict(KplanError):
    """The resource already exists, or was already removed."""

    exit_code = 4
    error_class = ErrorClass.EXPECTED
    entry = codes.K314


class Unsupported(KplanError):
    """This server or client cannot do it."""

    entry = codes.K315


class CapabilityMissing(Unsupported):
    """The cluster, or an extra of kplan, lacks what a stack declares."""

    exit_code = 4


class Invalid(KplanError):
    """The files have errors."""

    exit_code = 4
    entry = codes.K100

    def __init__(self, diagnostics: Iterable[Diagnostic], message: str = "the files have errors") -> None:
        super().__init__(message)
        self.diagnostics = sort_diagnostics(diagnostics)

    def __str__(self) -> str:
        """Return the message and the problems, one a line: what a traceback and pytest show."""
        return "\n".join([self.message, *(f"  {each}" for each in self.diagnostics)])


class Blocked(KplanError):
    """The plan is blocked."""

    exit_code = 3
    entry = codes.K400


class Stale(KplanError):
    """The saved plan no longer fits."""

    exit_code = 5
    entry = codes.K520


class Locked(KplanError):
    """Someone else holds this stack."""

    exit_code = 6
    entry = codes.K601


class InterruptedRun(KplanError):
    """An earlier run has no end."""

    exit_code = 8
    entry = codes.K605


class JournalBroken(KplanError):
    """The journal cannot be written or read."""

    exit_code = 8
    entry = codes.K602


class Declined(KplanError):
    """Declined. `is_answer`: a person was asked, and said no."""

    exit_code = 9
    entry = codes.K603

    def __init__(self, message: str, *, help: str = "", is_answer: bool = False) -> None:
        super().__init__(message, help=help)
        self.is_answer = is_answer


class Interrupted(KplanError):
    """Interrupted before any change."""

    exit_code = 130
    entry = codes.K604
