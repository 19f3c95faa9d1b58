"""kplan comment"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kplan.cli.command import run_command
from kplan.cli.flags import SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session

if TYPE_CHECKING:
    from kplan.ci.hosting import GitHub, GitLab

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
    from kplan.ci.hosting import shorten_body, upsert

    body = shorten_body(_read_body(Path(path)))
    host = connect_host(session, service, request or find_request(os.environ))
    action, url = upsert(host, body, create=not update_only)
    session.say(f"comment {action}{f': {url}' if url else ''}")
    return 0


def _read_body(path: Path) -> str:
    """Return the comment. Raises MissingContext where the file does not begin with the line that identifies it."""
    from kplan.ci.hosting import MARKER, MissingContext

    try:
        body = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise MissingContext(f"{path} cannot be read: {getattr(e, 'strerror', None) or 'it is not text'}") from e
    if not body.startswith(MARKER):
        raise MissingContext(f"{path} is not a plan in Markdown", help=f"make it with `kplan plan --report md={path}`")
    return body


# -- where this runs --------------------------------------------------------------------------------------------------
def find_service(requested: str | None) -> str:
    """Return `github` or `gitlab`, as requested, or by the variables of its jobs. Raises MissingContext."""
    from kplan.ci.hosting import MissingContext

    detected = "github" if os.environ.get("GITHUB_ACTIONS") else "gitlab" if os.environ.get("GITLAB_CI") else ""
    service = requested or detected
    if not service:
        raise MissingContext("this is neither a job of GitHub Actions nor of GitLab CI", help="use --service")
    return service


def connect_host(session: Session, service: str | None, number: int = 0) -> GitHub | GitLab:
    """Return the request `number` on its service, with the token of the process's environment."""
    from kplan.ci.hosting import GitHub, GitLab

    env = os.environ
    if find_service(service) == "github":
        api = env.get("GITHUB_API_URL") or "https://api.github.com"
        repository, token = read_variable(env, "GITHUB_REPOSITORY"), read_variable(env, "GITHUB_TOKEN", "GH_TOKEN")
        session.secrets.add([token])
        return GitHub(api, repository, token, number)
    api = env.get("CI_API_V4_URL") or "https://gitlab.com/api/v4"
    project, token = read_variable(env, "CI_PROJECT_ID"), read_variable(env, "KPLAN_GITLAB_TOKEN", "GITLAB_TOKEN")
    session.secrets.add([token])
    return GitLab(api, env.get("CI_MERGE_REQUEST_PROJECT_ID") or project, token, number)


def find_request(process: Mapping[str, str]) -> int:
    """Return the number of the request that the job is for. Raises MissingContext where there is none."""
    from kplan.ci.hosting import MissingContext

    merge_request = process.get("CI_MERGE_REQUEST_IID", "")
    event = read_event(process)
    number = (event.get("pull_request") or event.get("issue") or {}).get("number") or (
        merge_request.isdigit() and int(merge_request)
    )
    if not isinstance(number, int) or not number:
        raise MissingContext(
            "this job is not for a pull or merge request", help="run it for one, or use --request NUMBER"
        )
    return number


def read_event(process: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the event that started a job of GitHub Actions; empty elsewhere."""
    try:
        event = json.loads(Path(process.get("GITHUB_EVENT_PATH", "")).read_bytes())
    except (OSError, ValueError):
        return {}
    return event if isinstance(event, Mapping) else {}


def read_variable(process: Mapping[str, str], *names: str) -> str:
    """Return the value of the first of these variables that has one. Raises MissingContext."""
    from kplan.ci.hosting import MissingContext

    for name in names:
        if process.get(name):
            return process[name]
    raise MissingContext(f"{names[0]} has no value", help="set it for the job's step, under `env:` or `variables:`")
