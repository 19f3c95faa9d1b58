"""How a command is called: flags become typed values, failures become exit codes."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kplan.cli import report_flags, reports
from kplan.cli.flags import Display, LoadFlags, PlanFlags, RunFlags
from kplan.cli.output import write
from kplan.cli.session import Session

if TYPE_CHECKING:
    from kplan.diagnostics import Diagnostic

T = TypeVar("T")
GROUPS: dict[str, Callable[..., Any]] = {
    "planning": PlanFlags,
    "running": RunFlags,
}  # by the name of a command's parameter


def run_command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Call `function(session, …)` and turn failures into exit codes, with JSON on stdout where that was requested.

    Its parameters are flags by their names, and groups of flags by the names of GROUPS; the session has the others.
    """
    parameters = inspect.signature(function).parameters

    @functools.wraps(function)
    def call(**settings: Any) -> Any:
        own = {name: settings.pop(name) for name in [*settings] if name in parameters}
        for name, group in GROUPS.items():
            if name in parameters:
                own[name] = _take_flags(group, settings)
        session = _create_session(settings, own)
        try:
            return function(session, **own)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as e:
            return report_failure(e, session)

    return call


def _create_session(settings: dict[str, Any], own: dict[str, Any]) -> Session:
    """Create the session from the flags that the command does not take itself."""
    if settings.get("folder") not in (None, "."):
        os.chdir(settings["folder"])  # every path is relative to it, as with make and git
        settings["folder"] = "."
    requested_reports, view = settings.pop("reports", None), settings.pop("format", "text")
    if requested_reports is not None:
        view, requested_reports = report_flags.choose_outputs(
            requested_reports, view, own.get("out"), running="running" in own
        )
    paths = tuple(settings.pop("paths", ()))
    session = Session(_take_flags(LoadFlags, settings), _take_flags(Display, settings), paths, view, requested_reports)
    assert not settings, f"no parameter takes {', '.join(settings)}"
    return session


def _take_flags(group: Callable[..., T], settings: dict[str, Any]) -> T:
    """Build a group of flags from those of `settings` that it has, and remove these there."""
    return group(**{field.name: settings.pop(field.name) for field in fields(group) if field.name in settings})  # type: ignore[arg-type]


def report_failure(e: Exception, session: Session | None = None) -> int:
    """Report what went wrong; return the exit code."""
    from kplan.diagnostics import Declined, Invalid, KplanError

    session = session or Session()
    if isinstance(e, Declined) and e.is_answer:
        write(e.message, sys.stderr)
        return e.exit_code
    if isinstance(e, Invalid):
        diagnostics: Sequence[Diagnostic] = e.diagnostics
    elif isinstance(e, KplanError):
        diagnostics = [e.diagnostic()]
    else:
        diagnostics = [_describe_bug(e)]
    code = e.exit_code if isinstance(e, KplanError) else 1
    if "kplan.app.logs" in sys.modules:  # else nothing is logged yet
        from kplan.app.logs import problems

        problems(diagnostics)
    if session.as_json and (session.reported or session.reports is None):
        from kplan.render.views import encode_failure

        write(encode_failure(session.mask_problems(diagnostics), code), sys.stdout)
        return code
    if not session.as_json:
        is_unchanged = isinstance(e, KplanError) and code not in (7, 8) and not session.changed
        session.show(diagnostics, closing="Nothing was changed." if is_unchanged else " ")
    reports.publish_problems(session, session.mask_problems(diagnostics), code)
    return code


def _describe_bug(e: Exception) -> Diagnostic:
    """Return the diagnostic of an error in kplan itself."""
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
        help="please report it; KPLAN_TRACEBACK=1 shows more: check that for secrets before you send it",
    )
