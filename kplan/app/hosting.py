"""Comment in a pull or merge request, and fetch the plan that was reviewed there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.ci.hosting import GitHub, GitLab
    from kplan.planning.document import Plan


@dataclass(frozen=True, slots=True)
class HostRequest:
    """Where it happens: the service (None: that of this job), the process's variables, and what hides its token."""

    service: str | None
    process: Mapping[str, str]
    hide: Callable[[str], object]


# -- the comment ------------------------------------------------------------------------------------------------------
def publish_comment(path: Path, at: HostRequest, number: int | None, create: bool) -> tuple[str, str]:
    """Make the file a comment of the request, or replace the one of an earlier plan. Return what was done, and where.

    Raises MissingContext where the file, the service or the request is not known.
    """
    from kplan.ci.hosting import shorten_body, upsert

    body = shorten_body(read_comment(path))
    host = connect_host(at.service, at.process, at.hide, number or find_request(at.process))
    return upsert(host, body, create=create)


def read_comment(path: Path) -> str:
    """Return the comment. Raises MissingContext where the file does not begin with the line that identifies it."""
    from kplan.ci.hosting import MARKER, MissingContext

    try:
        body = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise MissingContext(f"{path} cannot be read: {getattr(e, 'strerror', None) or 'it is not text'}") from e
    if not body.startswith(MARKER):
        raise MissingContext(f"{path} is not a plan in Markdown", help=f"make it with `kplan plan --report md={path}`")
    return body


# -- the reviewed plan ------------------------------------------------------------------------------------------------
def fetch_reviewed_plan(at: HostRequest, commit: str | None, artifact: str, file_name: str) -> bytes:
    """Return the saved plan of the request that was merged as the commit; without one, that of this job."""
    from kplan.ci.hosting import GitHub

    merged_commit = commit or read_variable(at.process, "GITHUB_SHA", "CI_COMMIT_SHA")
    host = connect_host(at.service, at.process, at.hide)
    if isinstance(host, GitHub):
        return host.fetch_reviewed_plan(merged_commit, artifact, {} if commit else read_event(at.process))
    return host.fetch_reviewed_plan(merged_commit, artifact, file_name)


def read_plans(data: bytes) -> list[Plan]:
    """Return the plans that the file holds. Raises Stale where it is not a plan that kplan saved."""
    from kplan.diagnostics import Stale, codes
    from kplan.planning.document import from_json

    try:
        document = json.loads(data)
    except ValueError as e:
        raise Stale("the reviewed plan is not JSON", code=codes.K521, help="create the plan again") from e
    documents = document.get("plans", [document]) if isinstance(document, dict) else []
    return [from_json(entry) for entry in documents]


# -- where this runs --------------------------------------------------------------------------------------------------
def find_service(requested: str | None, process: Mapping[str, str]) -> str:
    """Return `github` or `gitlab`, as requested, or by the variables of its jobs. Raises MissingContext."""
    from kplan.ci.hosting import MissingContext

    detected = "github" if process.get("GITHUB_ACTIONS") else "gitlab" if process.get("GITLAB_CI") else ""
    service = requested or detected
    if not service:
        raise MissingContext("this is neither a job of GitHub Actions nor of GitLab CI", help="use --service")
    return service


def connect_host(
    service: str | None, process: Mapping[str, str], hide: Callable[[str], object], number: int = 0
) -> GitHub | GitLab:
    """Return the request `number` on its service, with the token of the process's environment, which `hide` gets."""
    from kplan.ci.hosting import GitHub, GitLab

    if find_service(service, process) == "github":
        api = process.get("GITHUB_API_URL") or "https://api.github.com"
        repository = read_variable(process, "GITHUB_REPOSITORY")
        token = read_variable(process, "GITHUB_TOKEN", "GH_TOKEN")
        hide(token)
        return GitHub(api, repository, token, number)
    api = process.get("CI_API_V4_URL") or "https://gitlab.com/api/v4"
    project = read_variable(process, "CI_PROJECT_ID")
    token = read_variable(process, "KPLAN_GITLAB_TOKEN", "GITLAB_TOKEN")
    hide(token)
    return GitLab(api, process.get("CI_MERGE_REQUEST_PROJECT_ID") or project, token, number)


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
