"""kplan comment"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kplan.cli.command import run_command
from kplan.cli.flags import SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session

if TYPE_CHECKING:
    from kplan.app.hosting import HostRequest

SERVICE = option(
    "--service",
    type=click.Choice(["github", "gitlab"]),
    default=None,
    help="The hosting service; known in a job of one of them.",
)


@click.command(
    "comment",
    help="Show a plan in its pull or merge request: FILE, which `kplan plan --report md=FILE` made, becomes a comment, "
    "or replaces the one of an earlier plan. The token is taken from GITHUB_TOKEN, or KPLAN_GITLAB_TOKEN.",
)
@click.argument("path", metavar="FILE")
@SERVICE
@option(
    "--request", metavar="NUMBER", type=click.IntRange(1), default=None, help="Number of the request; known in its job."
)
@option("--update-only", is_flag=True, help="Only replace an existing comment, as for a plan without changes.")
@SHOWING
@run_command
def command(session: Session, path: str, service: str | None, request: int | None, update_only: bool) -> int:
    from kplan.app.hosting import publish_comment

    action, url = publish_comment(Path(path), make_host_request(session, service), request, create=not update_only)
    session.say(f"comment {action}{f': {url}' if url else ''}")
    return 0


def make_host_request(session: Session, service: str | None) -> HostRequest:
    """Return where this runs, by the variables of the process; its token is masked from then on."""
    from kplan.app.hosting import HostRequest

    return HostRequest(service, os.environ, lambda token: session.secrets.add([token]))
