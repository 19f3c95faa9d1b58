"""`kplan --profile FILE COMMAND`: where the time of one call went."""

from __future__ import annotations

import sys
import time

import click

from kplan.cli.output import save, write


def profile_call(context: click.Context, path: str) -> None:
    """Record the command of this context; write the profile when it ends, whatever came of it."""
    from kplan.app.profile import profiling

    def finish() -> None:
        ended = time.monotonic()
        from kplan.render.profile import render_lines, render_page, render_trace

        command = " ".join(["kplan", context.invoked_subcommand or ""]).strip()
        if path.endswith(".json"):
            text = render_trace(recorder)
        elif path.endswith(".html"):
            text = render_page(recorder, ended, f"{command}: where the time went")
        else:
            text = "\n".join(render_lines(recorder, ended)) + "\n"
        try:
            save(path, text)
        except OSError as e:
            write(f"warning: the profile is not written: {path}: {e.strerror or e}", sys.stderr)
        else:
            write(f"profile: {path}", sys.stderr)

    context.call_on_close(finish)  # after the recording, which was opened later
    recorder = context.with_resource(profiling())
