"""One call of the command line and its terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kplan.cli.flags import Display, LoadFlags, parse_pairs
from kplan.cli.output import write
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.cli.report_flags import Report
    from kplan.diagnostics import Diagnostic
    from kplan.model import Target
    from kplan.model.masks import Mask
    from kplan.project.environment import Environment
    from kplan.project.loading import Loaded, Request
    from kplan.project.secrets import ProviderOutputs
    from kplan.render.progress import ProgressMeter, Ticker
    from kplan.render.text import Context, Style
    from kplan.state.base import Store


@dataclass
class Session:
    """One call of the command line: its flags about files and the terminal, and its state.

    `view` is what standard output holds; `reports` are views that are written as well, None for a command without.
    """

    flags: LoadFlags = LoadFlags()
    display: Display = Display()
    paths: tuple[str, ...] = ()
    view: str = "text"
    reports: tuple[Report, ...] | None = None
    texts: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    unasked: Target | None = None  # no server is asked; these are their addresses, as far as known
    asks_providers: bool = True  # whether providers of secrets run; none does where no server is asked
    takes_project: bool = False  # whether the stacks of the project are meant where none is named
    connect_alone: bool = False  # whether the command needs no brokers where none are named
    environment_name: str = ""  # as far as it is known
    reported: bool = False  # whether the reports were written
    changed: bool = False  # whether this call already applied an earlier stack
    ticker: Ticker | None = None  # while it shows how far the work is

    @cached_property
    def secrets(self) -> Mask:
        """Return all secrets that this call has learned."""
        from kplan.model.masks import Mask

        return Mask()

    @cached_property
    def provider_outputs(self) -> ProviderOutputs:
        """Return the outputs of providers of secrets, which run once in this call."""
        from kplan.project.secrets import ProviderOutputs

        return ProviderOutputs(self.secrets.add)

    @cached_property
    def progress(self) -> ProgressMeter:
        """Return the progress of the servers' clients."""
        from kplan.render.progress import ProgressMeter

        return ProgressMeter()

    @contextlib.contextmanager
    def show_progress(self, lines: bool = False) -> Iterator[None]:
        """Show on a terminal how far long work is, and what it waits for, while the context is open.

        `lines`: report the progress from time to time where there is no terminal, too.
        """
        if self.display.quiet or self.ticker:
            yield
            return
        import shutil

        from kplan.app.logs import retries_shown
        from kplan.render.progress import Ticker
        from kplan.servers import waits

        width, terminal = shutil.get_terminal_size((100, 24)).columns, is_live_terminal(sys.stderr)
        if terminal or lines:
            self.ticker = Ticker(self.progress, self.note, terminal, waits.describe_wait, width=width)
        try:
            show = lambda text: self.note(f"  … {self.secrets.mask(text)}")  # noqa: E731
            with self.ticker or contextlib.nullcontext(), retries_shown(show):
                yield
        finally:
            self.ticker = None

    @property
    def request(self) -> Request:
        from kplan.project.loading import Request

        flags = self.flags
        return Request(
            paths=self.paths,
            env=flags.env,
            flags=parse_pairs(flags.flags),
            var_files=flags.var_files,
            bootstrap=flags.bootstrap,
            connect=flags.connect,
            needs_only_connect=self.connect_alone,
            folder=flags.folder,
            process=dict(os.environ),
            offline_target=self.unasked,
            asks_providers=self.asks_providers,
            outputs=self.provider_outputs,
            takes_project=self.takes_project,
            changed_since=flags.changed_since,
        )

    @property
    def command_line(self) -> str:
        """Return the command as it was typed, without the values of variables, which may be secrets."""
        import shlex

        words = list(sys.argv[1:])
        for i, word in enumerate(words):
            if word.startswith("--var="):
                words[i] = f"--var={word[6:].partition('=')[0]}=…"
            elif i and words[i - 1] == "--var":
                words[i] = f"{word.partition('=')[0]}=…"
        return " ".join(["kplan", *(word if "=…" in word else shlex.quote(word) for word in words)])

    @property
    def as_json(self) -> bool:
        return self.view == "json"

    @property
    def time(self) -> str:
        return format_time()

    def context(self, **known: Any) -> Context:
        """Return what the views need and the plans' documents do not hold."""
        from kplan.render.text import Context

        defaults = {"paths": self.paths, "command_line": self.command_line, "include_unchanged": self.display.verbose}
        links = {"log_url": find_log_url(), "source_url": find_source_url(), "author": find_author()}
        return Context(**{**defaults, "base": find_base(), **links, **known})

    @property
    def style(self) -> Style:
        from kplan.render.text import Style

        verbosity = 1 if self.display.verbose else -1 if self.display.brief else 0
        return Style(self.width, self.use_color(sys.stdout), verbosity)

    @property
    def width(self) -> int:
        import shutil

        if self.display.width:
            return self.display.width
        return max(60, min(200, shutil.get_terminal_size((100, 24)).columns)) if sys.stdout.isatty() else 100

    def use_color(self, stream: Any) -> bool:
        if self.display.no_color or os.environ.get("NO_COLOR"):
            return False
        return os.environ.get("FORCE_COLOR", "0") not in ("", "0") or (
            stream.isatty() and os.environ.get("TERM") != "dumb"
        )

    def say(self, text: str = "") -> None:
        """Write a line to standard output, unless `--quiet` is set."""
        if not self.display.quiet:
            write(text, sys.stdout)

    def write_product(self, text: str) -> None:
        """Write the requested document to standard output, even with `--quiet`."""
        write(text.rstrip("\n"), sys.stdout)

    def note(self, text: str) -> None:
        """Write a line to standard error, unless `--quiet` is set."""
        if self.ticker:
            self.ticker.clear()
        if not self.display.quiet:
            write(text, sys.stderr)

    # -- files and servers ----------------------------------------------------------------------------------------
    @cached_property
    def runtime(self) -> Runtime:
        """Return what the use cases take from this call."""
        from kplan.app.runtime import Runtime

        return Runtime(
            self.secrets,
            current_time,
            os.environ.get("KPLAN_KEY"),
            self.note,
            lambda text: self.note(f"warning: {text}"),
            lambda problem: self.show([problem]),
            lambda what, done, total: self.progress.report(what, done, total),
            self.show_progress,
            self._configure_log,
        )

    def load(self) -> Loaded:
        """Load the stacks, and keep their files' texts to show problems in them."""
        from kplan.app.load import load_stacks

        loaded = load_stacks(self.request, self.runtime)
        self.remember(loaded)
        return loaded

    def load_valid(self) -> Loaded:
        """Load the stacks. Raises Invalid where the files have errors."""
        from kplan.app.load import refuse_errors

        loaded = self.load()
        refuse_errors(loaded)
        return loaded

    def remember(self, loaded: Loaded) -> None:
        """Keep what showing problems needs of the files. Ends the call where --changed-since leaves nothing to do."""
        self.texts, self.environment_name = loaded.texts, loaded.environment.name
        if self.flags.changed_since and not loaded.stacks and not loaded.has_errors:
            self.show(loaded.diagnostics)
            since = f"No stack has changed since {self.flags.changed_since}."
            self.say('{"format_version": "1.0", "plans": []}' if self.as_json else since)
            raise SystemExit(0)

    def load_environment(self) -> Environment:
        """Load the environment alone, where no stack is read; show its warnings."""
        from kplan.app.load import load_environment

        return load_environment(self.request, self.runtime)

    def _configure_log(self) -> None:
        """Log as the flags say; no line holds a secret that is known by then."""
        from kplan.app.logs import configure

        level, file = self.display.log_level, self.display.log_file
        configure(level or "error", self.display.log_format, file, self.secrets, talks=bool(level or file))

    def open(self, environment: Environment) -> OpenEnvironment:
        from kplan.app.opening import open_environment

        return open_environment(environment, self.runtime)

    def open_store(self, environment: Environment) -> Store:
        """Open the state alone, with the key of this process."""
        from kplan.app.opening import open_state

        return open_state(environment, self.runtime)

    # -- problems -------------------------------------------------------------------------------------------------
    def show(self, diagnostics: Sequence[Diagnostic], *, stream: Any = None, closing: str = "") -> None:
        """Show the problems with their places, on standard error unless they are the product, with their count."""
        if not diagnostics:
            return
        from kplan.render import diagnostics as view

        stream = stream or sys.stderr
        diagnostics = self.mask_problems(diagnostics)
        if self.view == "concise":
            text = view.render_concise(diagnostics).rstrip("\n")
        else:
            text = view.render_full(
                diagnostics,
                self.text,
                self.use_color(stream),
                self.width,
                closing=closing,
                counted=bool(closing),
            )
        write(text, stream)

    def text(self, path: str) -> str:
        """Return the file's text as it may be shown."""
        from kplan.app.problems import read_text
        from kplan.language.literals import hide_literals

        if path not in self.shown:
            self.shown[path] = hide_literals(self.texts.get(path) or read_text(path))[0]
        return self.shown[path]

    def mask_problems(self, diagnostics: Sequence[Diagnostic]) -> Sequence[Diagnostic]:
        """Return the problems without the secrets that are written in the files they are about."""
        from kplan.app.problems import mask_problems

        return mask_problems(self.secrets, diagnostics, self.texts)


def current_time() -> datetime:
    """Return the time; SOURCE_DATE_EPOCH fixes it."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(fixed), UTC) if fixed.isdigit() else datetime.now(UTC)


def format_time() -> str:
    return current_time().strftime("%Y-%m-%dT%H:%M:%SZ")


def is_live_terminal(stream: Any) -> bool:
    """Return whether a line on the stream can be written over."""
    return bool(stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI"))


def find_base() -> str:
    """Return the working folder as seen from the root of the repository, which the CI service or a `.git` names."""
    working_folder = Path.cwd().resolve()
    named_roots = (os.environ.get(name, "") for name in ("GITHUB_WORKSPACE", "CI_PROJECT_DIR"))
    roots = [Path(root).resolve() for root in named_roots if root]
    roots += [folder for folder in (working_folder, *working_folder.parents) if (folder / ".git").exists()][:1]
    root = next((root for root in roots if working_folder.is_relative_to(root)), working_folder)
    return working_folder.relative_to(root).as_posix().removeprefix(".")


def find_log_url() -> str:
    """Return the address of this CI run; empty where there is none."""
    server, repository, run = (os.environ.get(f"GITHUB_{name}") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    if server and repository and run:
        return f"{server}/{repository}/actions/runs/{run}"
    return os.environ.get("CI_JOB_URL", "")


def find_source_url() -> str:
    """Return the address of a file at a commit in the CI service's repository; empty where there is none.

    https://docs.github.com/repositories/working-with-files/using-files/getting-permanent-links-to-files
    """
    server, repository = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    if server and repository:
        return f"{server}/{repository}/blob/{{commit}}/{{path}}#L{{line}}"
    project = os.environ.get("CI_PROJECT_URL", "")
    return f"{project}/-/blob/{{commit}}/{{path}}#L{{line}}" if project else ""


def find_author() -> str:
    """Return for whom a CI service runs kplan, and the pull or merge request: `ana, #17`."""
    from kplan.app.runtime import find_author as find

    return ", ".join(filter(None, find(os.environ)))
