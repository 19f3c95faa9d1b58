"""What the commands share: flags, the session they describe, and how problems are shown."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from kplan.cli import reports
from kplan.cli.options import option as option  # the commands have it from here
from kplan.cli.options import several as several
from kplan.cli.output import write

EMPTY: Mapping[str, Any] = {}
if TYPE_CHECKING:
    from kplan.diagnostics import Diagnostic
    from kplan.execution.notify import Notifier
    from kplan.model import Address, Owned, Stack, Target
    from kplan.model.masks import Mask
    from kplan.planning.document import Plan
    from kplan.planning.pipeline import Begun
    from kplan.planning.trust import Listed
    from kplan.project.environment import Environment
    from kplan.project.loading import Loaded, Request
    from kplan.render.progress import Progress, Ticker
    from kplan.render.text import Context, Style
    from kplan.servers.base import Cluster
    from kplan.servers.snapshots import Snapshot
    from kplan.state.base import Holder, Store


def dropped(given: Sequence[str]) -> tuple[str, ...]:
    """The words of --drop, of which several may stand in one."""
    if not given:
        return ()
    from kplan.kinds.connector.debezium.drops import is_word

    words = [word.strip() for each in given for word in each.split(",") if word.strip()]
    for word in words:
        if not is_word(word):
            raise click.BadParameter(f"{word} is none of slot, publication, publication=NAME", param_hint="--drop")
    return tuple(words)


LOADING = several(
    option("--env", metavar="NAME", default="", help="The environment of kplan.yaml; its `default` when left out."),
    option("--var", "flags", metavar="NAME=VALUE", multiple=True, help="Set a variable; may be repeated."),
    option(
        "--var-file",
        "var_files",
        metavar="FILE",
        multiple=True,
        help="A YAML or JSON map of variables; may be repeated.",
    ),
    option("--bootstrap", default="", metavar="HOST:PORT", help="Brokers, instead of the environment's."),
    option("--connect", default="", metavar="URL", help="Kafka Connect, instead of the environment's."),
    option(
        "-C",
        "--dir",
        "folder",
        default=".",
        metavar="DIR",
        type=click.Path(exists=True, file_okay=False),
        help="Work in this folder.",
    ),
)
SHOWING = several(
    option("--no-color", is_flag=True, help="No colours; NO_COLOR says the same."),
    option("--width", type=click.IntRange(40, 400), default=None, help="Columns; the terminal's own, or 100."),
    option("--quiet", "-q", is_flag=True, help="Say only what went wrong."),
    option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
        default=None,
        help="What is logged: DEBUG requests, INFO done, WARNING retried, ERROR final; errors when left out.",
    ),
    option("--log-format", type=click.Choice(["text", "json"]), default="text", help="How the log is written."),
    option("--log-file", type=click.Path(dir_okay=False), default=None, help="Where; standard error when left out."),
)
PLANNING = several(
    option(
        "--target", "targets", metavar="ADDR", multiple=True, help="Only this address (globs, @FILE) and what it needs."
    ),
    option("--exclude", "excluded", metavar="ADDR", multiple=True, help="Leave this address out (globs, @FILE)."),
    option("--replace", "replaced", metavar="ADDR", multiple=True, help="Delete and make anew; always a danger."),
    option(
        "--accept",
        "accepted",
        metavar="ACTION:ADDR",
        multiple=True,
        help="Accept the dangers of one step, such as delete:topic/x.",
    ),
    option(
        "--drop",
        "drop",
        metavar="WHAT",
        multiple=True,
        callback=lambda context, parameter, given: dropped(given),
        help="With each connector that is deleted or made anew, drop this in its database: slot, publication, "
        "publication=NAME; several with commas.",
    ),
    option("--offline", is_flag=True, help="Do not let the servers check the changes."),
    option("--verbose", is_flag=True, help="Show every setting."),
    option("--brief", is_flag=True, help="One line a step."),
)


@dataclass
class Session:
    """One call of the command line: what its flags say, and what was opened for it."""

    settings: dict[str, Any]
    texts: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    stack_names: list[str] = field(default_factory=list)
    needs_connect: bool = False  # whether the stacks or the saved plans have connectors
    listed: dict[str, Callable[[], Listed]] = field(default_factory=dict)  # by the stacks of unsigned saved plans
    snapshot: Snapshot | None = None  # what stands for the servers
    unasked: Target | None = None  # no server is asked; these are their addresses, as far as they are known
    connect_alone: bool = False  # whether the command needs no brokers where none are named
    environment_name: str = ""  # as far as it is known
    reported: bool = False  # whether the reports were written
    changed: bool = False  # whether an earlier stack of this call was applied
    opened: tuple[Cluster, Store] | None = None  # and `begun` is what they are being asked
    begun: Begun | None = None
    receivers: Notifier | None = None  # once the environment is known
    ticker: Ticker | None = None  # while it shows how far the work is

    @cached_property
    def secrets(self) -> Mask:
        """All secrets that this call has come to know."""
        from kplan.model.masks import Mask

        return Mask()

    @cached_property
    def progress(self) -> Progress:
        """How far the work of the servers' clients is."""
        from kplan.render.progress import Progress

        return Progress()

    @contextlib.contextmanager
    def showing_progress(self, lines: bool = False) -> Iterator[None]:
        """While it is open a person is shown on a terminal how far long work is, and what is waited for.

        `lines`: how far it is, is said from time to time where there is no terminal, too.
        """
        if self.settings.get("quiet") or self.ticker:
            yield
            return
        import shutil

        from kplan.app.logs import retries_shown
        from kplan.render.progress import Ticker
        from kplan.servers import waits

        width, terminal = shutil.get_terminal_size((100, 24)).columns, live(sys.stderr)
        if terminal or lines:
            self.ticker = Ticker(self.progress, self.note, terminal, waits.words, width=width)
        try:
            show = lambda text: self.note(f"  … {self.secrets.mask(text)}")  # noqa: E731
            with self.ticker or contextlib.nullcontext(), retries_shown(show):
                yield
        finally:
            self.ticker = None

    @property
    def request(self) -> Request:
        from kplan.project.loading import Request

        s = self.settings
        return Request(
            paths=tuple(s.get("paths") or ()),
            env=s.get("env") or "",
            flags=_pairs(s.get("flags") or ()),
            var_files=tuple(s.get("var_files") or ()),
            bootstrap=s.get("bootstrap") or "",
            connect=s.get("connect") or "",
            connect_alone=self.connect_alone,
            folder=s.get("folder") or ".",
            process=dict(os.environ),
            unasked=self.unasked,
        )

    @property
    def again(self) -> str:
        """The command as it was typed, without the values of variables, which may be secrets."""
        import shlex

        words = list(sys.argv[1:])
        for i, word in enumerate(words):
            if word.startswith("--var="):
                words[i] = f"--var={word[6:].partition('=')[0]}=…"
            elif i and words[i - 1] == "--var":
                words[i] = f"{word.partition('=')[0]}=…"
        return " ".join(["kplan", *(word if "=…" in word else shlex.quote(word) for word in words)])

    @property
    def view(self) -> str:
        """What standard output holds."""
        return self.settings.get("format") or "text"

    @property
    def as_json(self) -> bool:
        return self.view == "json"

    @property
    def time(self) -> str:
        return stamp()

    def context(self, **known: Any) -> Context:
        """What the plans' documents do not say."""
        from kplan.render.text import Context

        given = {"paths": tuple(map(str, self.settings.get("paths") or ())), "again": self.again}
        whole = bool(self.settings.get("verbose"))
        return Context(**{**given, "base": reports.base(), "log": reports.log(), "whole": whole, **known})

    @property
    def style(self) -> Style:
        from kplan.render.text import Style

        verbosity = 1 if self.settings.get("verbose") else -1 if self.settings.get("brief") else 0
        return Style(self.width, self.color(sys.stdout), verbosity)

    @property
    def width(self) -> int:
        import shutil

        chosen = self.settings.get("width")
        if chosen:
            return int(chosen)
        return max(60, min(200, shutil.get_terminal_size((100, 24)).columns)) if sys.stdout.isatty() else 100

    def color(self, stream: Any) -> bool:
        if self.settings.get("no_color") or os.environ.get("NO_COLOR"):
            return False
        return os.environ.get("FORCE_COLOR", "0") not in ("", "0") or (
            stream.isatty() and os.environ.get("TERM") != "dumb"
        )

    def say(self, text: str = "") -> None:
        """The product, on standard output."""
        if not self.settings.get("quiet"):
            write(text, sys.stdout)

    def product(self, text: str) -> None:
        """What was asked for by name, on standard output: `--quiet` does not keep that back."""
        write(text.rstrip("\n"), sys.stdout)

    def readable_ledger(self, store: Store, stacks: Collection[str] = ()) -> Mapping[Address, Owned]:
        """Return the ledger, and warn of each record that cannot be read. One of `stacks` raises RecordUnreadable."""
        from kplan.render.text import clean
        from kplan.state.base import shorten

        overview = store.overview()
        overview.refuse_unreadable(stacks)
        for problem in shorten(overview.unreadable):
            self.note(f"warning: {store.where}: {clean(problem.message)} (stack {clean(problem.stack)})")
        return overview.ledger

    def note(self, text: str) -> None:
        """Talk, on standard error."""
        if self.ticker:
            self.ticker.clear()
        if not self.settings.get("quiet"):
            write(text, sys.stderr)

    def notifier(self, environment: Environment) -> Notifier:
        """Who tells the environment's receivers; the same one for the whole call."""
        from kplan.execution.notify import Notifier

        if self.receivers is None:
            warn = lambda problem: self.note(f"warning: {problem}")  # noqa: E731
            self.receivers = Notifier(environment.notify, environment.name, self.secrets.mask, warn)
        return self.receivers

    # -- files and servers ----------------------------------------------------------------------------------------
    def load(self, ahead: bool = False) -> Loaded:
        """What the files say. `ahead`: servers are asked meanwhile for what does not depend on it."""
        from kplan.diagnostics import Invalid
        from kplan.project.loading import load

        try:
            loaded = load(self.request, self._begin if ahead else lambda environment: None)
        except Invalid as e:
            self.texts = {d.span.path: _read(d.span.path) for d in e.diagnostics if d.span}
            raise
        self.texts, self.environment_name = loaded.texts, loaded.environment.name
        if self.snapshot:
            from kplan.servers.snapshots import refuse_other

            refuse_other(self.snapshot, loaded.environment.name)
        self.mask(loaded.environment, loaded.stacks)
        return loaded

    def load_environment(self, request: Request | None = None) -> Environment:
        """The environment alone, where no stack is read; its warnings are shown and its secrets masked."""
        from kplan.project.loading import load_environment

        environment = load_environment(request or self.request, lambda problem: self.show([problem]))
        self.mask(environment)
        return environment

    def _begin(self, environment: Environment) -> None:
        """The servers of the environment are being asked, unless there are none or a setting of theirs is wrong."""
        if self.snapshot or environment.simulated:
            return
        from kplan.diagnostics import KplanError
        from kplan.planning.pipeline import begin

        self.mask(environment)
        with contextlib.suppress(KplanError):  # it is told after what is wrong in the files
            self.opened = self.open(environment)
            self.begun = begin(*self.opened)

    def mask(self, environment: Environment, stacks: Sequence[Stack] = ()) -> None:
        """From here on no log line holds a secret."""
        from kplan.app.logs import configure
        from kplan.model import Connector

        self.secrets.add(environment.secrets)
        for stack in stacks:
            for resource in stack.resources.values():
                if isinstance(resource, Connector):
                    self.secrets.add_config(resource.config)
        s = self.settings
        style, file = s.get("log_format") or "text", s.get("log_file")
        configure(s.get("log_level") or "error", style, file, self.secrets, talks=bool(s.get("log_level") or file))

    def open(self, environment: Environment) -> tuple[Cluster, Store]:
        from kplan.app.servers import open_cluster, open_snapshot

        if self.snapshot:
            return open_snapshot(self.snapshot, self.settings["live"])
        if self.opened:
            return self.opened
        cluster = open_cluster(
            environment,
            self.secrets,
            lambda text: self.note(f"warning: {text}"),
            self.settings.get("parallel") or 6,
            lambda what, done, total: self.progress.tell(what, done, total),
        )
        return cluster, self.open_store(environment)

    def open_store(self, environment: Environment) -> Store:
        """Open the state alone, with the key of this process."""
        from kplan.app.servers import open_store

        return open_store(environment, os.environ.get("KPLAN_KEY"))

    # -- problems -------------------------------------------------------------------------------------------------
    def show(self, diagnostics: Sequence[Diagnostic], *, stream: Any = None, closing: str = "") -> None:
        """The problems with their places, on standard error unless they are the product; counted at the end of all."""
        if not diagnostics:
            return
        from kplan.render import diagnostics as view

        stream = stream or sys.stderr
        diagnostics = self.masked(diagnostics)
        if self.view == "concise":
            text = view.concise(diagnostics).rstrip("\n")
        else:
            text = view.full(
                diagnostics,
                self.text,
                self.color(stream),
                self.width,
                closing=closing,
                counted=bool(closing),
            )
        write(text, stream)

    def text(self, path: str) -> str:
        """The file's text as it may be shown."""
        from kplan.language.literals import hidden

        if path not in self.shown:
            self.shown[path] = hidden(self.texts.get(path) or _read(path))[0]
        return self.shown[path]

    def masked(self, diagnostics: Sequence[Diagnostic]) -> Sequence[Diagnostic]:
        """The problems without the secrets that are written in the files they are about."""
        from kplan.language.literals import hidden

        mask = self.secrets
        for path in {d.span.path for d in diagnostics if d.span}:
            mask.add(hidden(self.texts.get(path) or _read(path))[1])
        shown = []
        for d in diagnostics:
            texts = mask.mask(d.detail), mask.mask(d.help), mask.mask(d.label)
            if texts == (d.detail, d.help, d.label):
                shown.append(d)
            else:
                shown.append(replace(d, detail=texts[0], help=texts[1], label=texts[2]))
        return shown

    def show_plan(self, plan: Plan, document: dict[str, Any], context: Context) -> None:
        """What is meant first, then what is wrong, then the steps and the verdict. Quiet, only what is wrong."""
        from kplan.render.plain import gist
        from kplan.render.text import blocked, body, header

        for line in header(document, self.style, context):
            self.say(line)
        sys.stdout.flush()
        self.show(plan.diagnostics)
        for line in body(document, self.style, context, gist):
            self.say(line)
        if self.settings.get("quiet") and not document["errored"]:
            for line in blocked(document, replace(self.style, color=self.color(sys.stderr)), context):
                write(line, sys.stderr)

    def show_plans(
        self,
        plans: Sequence[Plan],
        documents: Sequence[dict[str, Any]],
        context: Context,
        notes: Mapping[str, Sequence[str]] = EMPTY,
    ) -> None:
        """Each plan that something is to be said of, and then what is true of all of them. `notes` are by stack."""
        from kplan.render.many import closing, is_shown, own

        for plan, document in zip(plans, documents, strict=True):
            said = notes.get(plan.stack, ())
            if said or is_shown(document, documents, context):
                self.show_plan(plan, document, replace(own(document, documents, context), notes=said))
                if len(plans) > 1:
                    self.say()
        for line in closing(documents, self.style, context) if len(plans) > 1 else ():
            self.say(line)

    def show_view(self, documents: Sequence[Mapping[str, Any]], context: Context) -> None:
        """The plans in the form that was asked for, on standard output."""
        from kplan.render.views import render

        self.product(render(self.view, documents, context))


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Calls `function(session, …)` and turns failures into exit codes, with JSON on stdout where that was asked for."""

    @functools.wraps(function)
    def call(**settings: Any) -> Any:
        if settings.get("folder") not in (None, "."):
            os.chdir(settings["folder"])  # every path is relative to it, as with make and git
            settings["folder"] = "."
        session = Session(settings)
        reports.settle(settings, running="on_failure" in settings)
        try:
            return function(session)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as e:
            return failed(e, session)

    return call


def failed(e: Exception, session: Session | None = None) -> int:
    """Says what went wrong, and with which code to exit."""
    from kplan.diagnostics import Invalid, KplanError

    session = session or Session({})
    if isinstance(e, Invalid):
        found: Sequence[Diagnostic] = e.diagnostics
    elif isinstance(e, KplanError):
        found = [e.diagnostic()]
    else:
        found = [_bug(e)]
    code = e.exit_code if isinstance(e, KplanError) else 1
    if "kplan.app.logs" in sys.modules:  # else nothing is logged yet
        from kplan.app.logs import problems

        problems(found)
    if session.as_json and (session.reported or "reports" not in session.settings):
        from kplan.render.views import failure_as_json

        write(failure_as_json(session.masked(found), code), sys.stdout)
        return code
    if not session.as_json:
        untouched = isinstance(e, KplanError) and code not in (7, 8) and not session.changed
        session.show(found, closing="Nothing was changed." if untouched else " ")
    reports.publish_problems(session, session.masked(found), code)
    return code


def _bug(e: Exception) -> Diagnostic:
    import traceback
    from pathlib import Path

    from kplan.diagnostics import codes, error

    frame = traceback.extract_tb(e.__traceback__)[-1] if e.__traceback__ else None
    place = f" in {frame.name} ({Path(frame.filename).name}:{frame.lineno})" if frame else ""
    if os.environ.get("KPLAN_TRACEBACK"):
        traceback.print_exception(e)
    return error(
        codes.K399,
        "an error in kplan itself",
        f"{type(e).__name__}{place}",
        help="please report it; KPLAN_TRACEBACK=1 shows more, look for secrets before you send that",
    )


def _read(path: str) -> str:
    from kplan.project.reading import read_file

    try:
        return read_file(path).decode("utf-8", "replace")
    except OSError:
        return ""


def _pairs(flags: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for flag in flags:
        name, equals, value = flag.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{name!r} is not NAME=VALUE", param_hint="--var")
        pairs[name] = value
    return pairs


def patterns(values: Sequence[str]) -> tuple[str, ...]:
    """The addresses of --target or --exclude; `@FILE` holds one a line."""
    from kplan.project.reading import read_file

    found: list[str] = []
    for value in values:
        if not value.startswith("@"):
            found.append(value)
            continue
        try:
            lines = read_file(value[1:]).decode().splitlines()
        except (OSError, UnicodeDecodeError) as e:
            raise click.BadParameter(f"{value}: {getattr(e, 'strerror', None) or 'not text'}")
        found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return tuple(found)


def now() -> datetime:
    """The time; SOURCE_DATE_EPOCH fixes it."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(fixed), UTC) if fixed.isdigit() else datetime.now(UTC)


def stamp() -> str:
    return now().strftime("%Y-%m-%dT%H:%M:%SZ")


def holder(command: str) -> Holder:
    """Who runs this, for the one who is refused meanwhile."""
    from kplan.api import holder as made

    return made(command, now())


def commit_of(folder: str) -> str:
    """The commit that the files are at, as the CI service names it; empty where it does not."""
    return (os.environ.get("GITHUB_SHA") or os.environ.get("CI_COMMIT_SHA") or "")[:40]


def planned(
    session: Session, loaded: Loaded, cluster: Cluster, store: Store, mode: str = "apply"
) -> tuple[list[Plan], float]:
    """A plan for each stack in the order in which they are applied, and how long that took."""
    import time

    from kplan.diagnostics import ordered
    from kplan.planning.pipeline import Options, make_all
    from kplan.planning.risk import Accepted

    s = session.settings
    options = Options(
        mode,
        patterns(s.get("targets") or ()),
        patterns(s.get("excluded") or ()),
        tuple(s.get("replaced") or ()),
        Accepted(tuple(s.get("accepted") or ())),
        bool(s.get("offline")),
        os.environ.get("KPLAN_KEY"),
        stamp(),
        commit_of(session.request.folder),
        frozenset(s.get("drop") or ()),
        frozenset(patterns([v for k in ("targets", "excluded") for v in s.get(k) or () if v.startswith("@")])),
    )
    started = time.monotonic()
    with session.showing_progress(lines=True):
        plans = make_all(loaded.stacks, cluster, store, options, session.begun)
    said = dict(zip([stack.name for stack in loaded.stacks], _said(loaded), strict=True))
    found = [tuple(session.masked(ordered([*said[plan.stack], *plan.diagnostics]))) for plan in plans]
    plans = [replace(plan, diagnostics=problems) for plan, problems in zip(plans, found, strict=True)]
    return plans, time.monotonic() - started


def live(stream: Any) -> bool:
    """Whether a line on the stream can be written over."""
    return bool(stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI"))


def _said(loaded: Loaded) -> list[list[Diagnostic]]:
    """What the files' warnings are about, stack by stack; those about no stack's own file belong to the first."""
    own = own_paths(loaded)
    said: list[list[Diagnostic]] = [[] for _ in own]
    for problem in loaded.diagnostics:
        path = os.path.realpath(problem.span.path) if problem.span else ""
        said[own.index(path) if path in own else 0].append(problem)
    return said


def own_paths(loaded: Loaded) -> list[str]:
    """Where each stack's own file really is."""
    from pathlib import Path

    return [os.path.realpath(Path(loaded.environment.folder, stack.path)) for stack in loaded.stacks]
