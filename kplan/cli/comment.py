"""kplan comment"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kplan.cli.command import calls
from kplan.cli.flags import SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session

if TYPE_CHECKING:
    from kplan.ci.hosting import GitHub, GitLab

SERVICE = option(
    "--service",
    type=click.Choice(["github", "gitlab"]),
    default=None,
    help="The hosting service; in a job of one of them it is known.",
)


@click.command(
    "comment",
    help="Show a plan in its pull or merge request: FILE, which `kplan plan --report md=FILE` made, becomes a comment, "
    "or replaces the one of an earlier plan. The token is taken from GITHUB_TOKEN, or KPLAN_GITLAB_TOKEN.",
)
@click.argument("path", metavar="FILE")
@SERVICE
@option(
    "--request", metavar="NUMBER", type=click.IntRange(1), default=None, help="The request; in its own job it is known."
)
@option(
    "--update-only", is_flag=True, help="Write no new comment, as for a plan without changes; replace what is there."
)
@SHOWING
@calls
def command(session: Session, path: str, service: str | None, request: int | None, update_only: bool) -> int:
    from kplan.ci.hosting import fitting, upsert

    body = fitting(_body(Path(path)))
    host = host_of(session, service, request or request_of(os.environ))
    done, url = upsert(host, body, create=not update_only)
    session.say(f"comment {done}{f': {url}' if url else ''}")
    return 0


def _body(path: Path) -> str:
    """The comment. Raises Unknown where the file does not begin with the line by which kplan finds it again."""
    from kplan.ci.hosting import MARKER, Unknown

    try:
        body = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise Unknown(f"{path} cannot be read: {getattr(e, 'strerror', None) or 'it is no text'}") from e
    if not body.startswith(MARKER):
        raise Unknown(f"{path} is no plan in Markdown", help=f"make it with `kplan plan --report md={path}`")
    return body


# -- where this runs --------------------------------------------------------------------------------------------------
def service_of(asked: str | None) -> str:
    """`github` or `gitlab`, as asked for, or by the variables that jobs have there. Raises Unknown."""
    from kplan.ci.hosting import Unknown

    known = "github" if os.environ.get("GITHUB_ACTIONS") else "gitlab" if os.environ.get("GITLAB_CI") else ""
    service = asked or known
    if not service:
        raise Unknown("this is neither a job of GitHub Actions nor of GitLab CI", help="say --service")
    return service


def host_of(session: Session, service: str | None, number: int = 0) -> GitHub | GitLab:
    """The request `number` on its service, reached with the token of the process's environment."""
    from kplan.ci.hosting import GitHub, GitLab

    env = os.environ
    if service_of(service) == "github":
        api = env.get("GITHUB_API_URL") or "https://api.github.com"
        repository, token = needed(env, "GITHUB_REPOSITORY"), needed(env, "GITHUB_TOKEN", "GH_TOKEN")
        session.secrets.add([token])
        return GitHub(api, repository, token, number)
    api = env.get("CI_API_V4_URL") or "https://gitlab.com/api/v4"
    project, token = needed(env, "CI_PROJECT_ID"), needed(env, "KPLAN_GITLAB_TOKEN", "GITLAB_TOKEN")
    session.secrets.add([token])
    return GitLab(api, env.get("CI_MERGE_REQUEST_PROJECT_ID") or project, token, number)


def request_of(process: Mapping[str, str]) -> int:
    """The number of the request that the job is for. Raises Unknown where it is for none."""
    from kplan.ci.hosting import Unknown

    given = process.get("CI_MERGE_REQUEST_IID", "")
    event = event_of(process)
    number = (event.get("pull_request") or event.get("issue") or {}).get("number") or (given.isdigit() and int(given))
    if not isinstance(number, int) or not number:
        raise Unknown("this job is not for a pull or merge request", help="run it for one, or say --request NUMBER")
    return number


def event_of(process: Mapping[str, str]) -> Mapping[str, Any]:
    """What has started a job of GitHub Actions; empty elsewhere."""
    try:
        event = json.loads(Path(process.get("GITHUB_EVENT_PATH", "")).read_bytes())
    except (OSError, ValueError):
        return {}
    return event if isinstance(event, Mapping) else {}


def needed(process: Mapping[str, str], *names: str) -> str:
    """The value of the first of these variables that has one. Raises Unknown."""
    from kplan.ci.hosting import Unknown

    for name in names:
        if process.get(name):
            return process[name]
    raise Unknown(f"{names[0]} has no value", help="give it to the job's step, under `env:` or `variables:`")
