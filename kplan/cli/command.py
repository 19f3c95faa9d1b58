"""How a command is called: its flags become typed values, and its failures exit codes."""

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
GROUPS: dict[str, Callable[..., Any]] = {"planning": PlanFlags, "running": RunFlags}  # by a command's parameter


def calls(function: Callable[..., Any]) -> Callable[..., Any]:
    """Call `function(session, …)` and turn failures into exit codes, with JSON on stdout where that was asked for.

    Its parameters are flags by their names, and groups of flags by those of GROUPS; the session has the others.
    """
    parameters = inspect.signature(function).parameters

    @functools.wraps(function)
    def call(**settings: Any) -> Any:
        own = {name: settings.pop(name) for name in [*settings] if name in parameters}
        for name, group in GROUPS.items():
            if name in parameters:
                own[name] = _take(group, settings)
        session = _session(settings, own)
        try:
            return function(session, **own)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as e:
            return failed(e, session)

    return call


def _session(settings: dict[str, Any], own: dict[str, Any]) -> Session:
    """Return the session that the flags describe which are not the command's own."""
    if settings.get("folder") not in (None, "."):
        os.chdir(settings["folder"])  # every path is relative to it, as with make and git
        settings["folder"] = "."
    asked, view = settings.pop("reports", None), settings.pop("format", "text")
    if asked is not None:
        view, asked = report_flags.settle(asked, view, own.get("out"), running="running" in own)
    paths = tuple(settings.pop("paths", ()))
    session = Session(_take(LoadFlags, settings), _take(Display, settings), paths, view, asked)
    assert not settings, f"no parameter takes {', '.join(settings)}"
    return session


def _take(kind: Callable[..., T], settings: dict[str, Any]) -> T:
    """Build the flags of a kind from those of `settings` that it has, which are removed there."""
    return kind(**{field.name: settings.pop(field.name) for field in fields(kind) if field.name in settings})  # type: ignore[arg-type]


def failed(e: Exception, session: Session | None = None) -> int:
    """Says what went wrong, and with which code to exit."""
    from kplan.diagnostics import Invalid, KplanError

    session = session or Session()
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
    if session.as_json and (session.reported or session.reports is None):
        from kplan.render.views import encode_failure

        write(encode_failure(session.masked(found), code), sys.stdout)
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
