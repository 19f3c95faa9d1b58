"""`kplan`, and `python -m kplan`: the one place where exceptions become exit codes."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

import click

USAGE = 64  # click's own 2 would read as "there are changes"
TURN_S = 0.0005  # of a thread: with Python's 5 ms, a thread that reads many small parts waits long for those that load
COLLECTED = 50_000  # objects more than before, until Python looks for cycles: its 700 cost a plan a sixth of its time


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line and exits with one of the documented codes; no traceback is shown."""
    gc.set_threshold(COLLECTED)
    sys.setswitchinterval(TURN_S)
    code = run(args)
    _leave_quickly(code)
    sys.exit(code)


def _leave_quickly(code: int) -> None:
    """End the process without taking its objects apart, which costs a plan a tenth of its time.

    Returns where something is still to be done: a thread works, or what was written cannot be flushed.
    """
    import atexit
    import threading

    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        return
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    os._exit(code)


def run(args: Sequence[str] | None = None) -> int:
    from kplan.cli import cli

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
    try:
        result = cli.main(args=args, prog_name="kplan", standalone_mode=False)
        code = result if isinstance(result, int) else 0
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code
    except click.exceptions.Exit as e:
        return e.exit_code
    except click.Abort:
        click.echo("interrupted; nothing was changed", err=True)
        return 130
    except click.ClickException as e:
        hint = _find_hint(e, sys.argv[1:] if args is None else args)
        if hint and isinstance(e, click.NoSuchOption):
            e = click.NoSuchOption(e.option_name, ctx=e.ctx)  # without a similar name that means something else
        e.show()
        if hint:
            click.echo(hint, err=True)
        return USAGE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        click.echo("interrupted; nothing was changed", err=True)
        return 130
    except Exception as e:
        return _report_failure(e)


def _find_hint(e: click.ClickException, args: Sequence[str]) -> str:
    """Return what another tool's flag, or command of a command, is called here; empty where there is no hint."""
    if not isinstance(e, click.UsageError) or e.ctx is None:
        return ""
    from kplan.cli.habits import COMMAND_HINTS, find_flag_hint

    if isinstance(e, click.NoSuchOption):
        known = {name for parameter in e.ctx.command.get_params(e.ctx) for name in parameter.opts}
        return find_flag_hint(args, known)
    words = " ".join([word for word in args if not word.startswith("-")][:2])
    return f"In kplan: {COMMAND_HINTS[words]}" if " " in words and words in COMMAND_HINTS else ""


def _report_failure(e: Exception) -> int:
    from kplan.cli.command import report_failure

    return report_failure(e)


if __name__ == "__main__":
    main()
