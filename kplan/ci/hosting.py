"""The service that hosts the repository: comments on a pull or merge request, and the plan reviewed in one.

GitHub: https://docs.github.com/en/rest/issues/comments, …/rest/actions/artifacts, …/rest/commits/commits.
GitLab: https://docs.gitlab.com/api/notes, …/api/job_artifacts, …/api/commits, …/api/merge_requests.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import requests

from kplan.diagnostics import Busy, Denied, KplanError, Timeout, Unreachable, codes
from kplan.model import EMPTY
from kplan.servers.http_limits import MIB, TooLarge, create_limited_session, has_timed_out
from kplan.servers.http_sessions import BearerAuth
from kplan.values import dataclass

MARKER = "<!-- kplan:v1 "
MAX_COMMENT_LENGTH = 60_000  # characters of a comment; GitHub takes 65,536
MAX_ANSWER_BYTES = 64 * MIB  # bytes of an answer, a plan's file included
FILE_TIMEOUT_S = 300.0  # for a whole file, at 0.2 MB/s the largest one
RETRY_DELAYS_S = (1.0, 4.0)  # before the second and the third attempt
MAX_WAIT_S = 90.0  # a limit that lasts longer is reported, not waited for
MAX_PAGES = 100  # of a hundred each


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment that the token's own user wrote."""

    id: str
    body: str
    url: str = ""


class Host(Protocol):
    """A pull or merge request on its service."""

    def comments(self) -> Iterator[Comment]:
        """Yield our comments, the oldest first."""

    def write(self, body: str, comment: Comment | None) -> str:
        """Replace the text of the comment, or write a new one; return its URL."""


class Refused(KplanError):
    """The service refuses the request."""

    entry = codes.K615


class MissingContext(KplanError):
    """What to write, or where, cannot be determined."""

    entry = codes.K616


class NotPermitted(Denied):
    """The token does not have the permission."""

    entry = codes.K614


# -- one comment, updated in place ------------------------------------------------------------------------------------
def upsert(
    host: Host, body: str, *, create: bool = True, sleep: Callable[[float], None] = time.sleep
) -> tuple[str, str]:
    """Write the comment; return what was done (`updated`, `unchanged`, `created`, `skipped`) and the comment's URL.

    The comment is recognized by its first line. After a temporary failure it is searched again before anything is
    written, because an answer may have been lost.
    """
    for delay in (*RETRY_DELAYS_S, None):
        try:
            return _upsert_once(host, body, create)
        except (Busy, Timeout, Unreachable) as e:
            wait = e.after if isinstance(e, Limited) else 0.0
            if delay is None or wait > MAX_WAIT_S:
                raise
            sleep(max(delay, wait))
    raise AssertionError("the last try returns or raises")


def _upsert_once(host: Host, body: str, create: bool) -> tuple[str, str]:
    marker = body.partition("\n")[0]
    existing = next((c for c in host.comments() if c.body.partition("\n")[0].rstrip() == marker), None)
    if existing is None and not create:
        return "skipped", ""
    if existing is not None and _is_same_text(existing.body, body):
        return "unchanged", existing.url
    return ("updated" if existing else "created"), host.write(body, existing)


def _is_same_text(text: str, other: str) -> bool:
    return [line.rstrip() for line in text.strip().splitlines()] == [
        line.rstrip() for line in other.strip().splitlines()
    ]


def shorten_body(body: str) -> str:
    """Return the text, cut at a line's end where a service would refuse it; then its second line says so."""
    if len(body) <= MAX_COMMENT_LENGTH:
        return body
    marker, _, rest = body.partition("\n")
    note = "**This is cut: the comment would be too long. The whole plan is in the run's files.**\n\n"
    kept = rest[: MAX_COMMENT_LENGTH - len(marker) - len(note) - 1]
    return f"{marker}\n{note}{kept.rpartition(chr(10))[0]}\n"


# -- requests ---------------------------------------------------------------------------------------------------------
class Api:
    """Sends requests to one service and explains its refusals; the token is in no message."""

    def __init__(self, base: str, token: str, headers: Mapping[str, str] = EMPTY, timeout: float = 30.0) -> None:
        self.base = base.rstrip("/")
        self._timeout = timeout
        self._session = create_limited_session(MAX_ANSWER_BYTES)
        self._session.headers.update({"User-Agent": "kplan", **headers})
        self._session.auth = BearerAuth(token)

    def request_json(self, method: str, path: str, needs: str, body: Any = None, **parameters: Any) -> Any:
        """Return the JSON of the answer. `needs` names the permission that the request takes."""
        return _parse_json(self._send(method, self.base + path, needs, json=body, params=parameters))

    def iter_pages(self, path: str, needs: str, **parameters: Any) -> Iterator[Any]:
        """Yield the JSON of each page, following the `Link` header, which both services send."""
        url, query = self.base + path, {**parameters, "per_page": 100}
        for _ in range(MAX_PAGES):
            answer = self._send("GET", url, needs, params=query)
            yield _parse_json(answer)
            url, query = answer.links.get("next", {}).get("url", ""), {}
            if not url:
                return
            if urlsplit(url).netloc != urlsplit(self.base).netloc:  # no other host may see the token
                raise Refused(f"{urlsplit(self.base).netloc} names a next page on another host")

    def download(self, url: str, needs: str) -> bytes:
        """Return the file at `url`, which may be on another host."""
        answer = self._send("GET", url if "://" in url else self.base + url, needs, FILE_TIMEOUT_S)
        return answer.content

    def _send(self, method: str, url: str, needs: str, seconds: float | None = None, **more: Any) -> requests.Response:
        """Send the request and read the whole answer, which may take `seconds`."""
        host, seconds = urlsplit(url).netloc, seconds or self._timeout
        try:
            answer = self._session.request(method, url, timeout=(self._timeout, seconds), **more)
        except TooLarge as e:
            raise Refused(f"{host}: {e}", code=codes.K333) from e
        except requests.RequestException as e:
            if isinstance(e, requests.Timeout) or has_timed_out(e):
                raise Timeout(f"{host} has not answered within {seconds:g} s") from e
            raise Unreachable(
                f"{host}: {_innermost_reason(e)}", help="check the network of this runner, and its proxy"
            ) from e
        if answer.status_code >= 400:
            raise _refusal(answer, method, needs)
        return answer


def _innermost_reason(e: BaseException) -> str:
    """Return the innermost reason, which names neither the URL's query nor a header."""
    inner = getattr(e.args[0], "reason", None) if e.args else None
    reason = str(inner or type(e).__name__)
    return reason.rpartition(": ")[2] if ": " in reason else reason


def _parse_json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError as e:
        raise Refused(f"{urlsplit(answer.url).netloc} gives an answer that is not JSON") from e


def _refusal(answer: requests.Response, method: str, needs: str) -> KplanError:
    """Return the error that the status means, with the service's own message."""
    request = f"{urlsplit(answer.url).netloc} answers {answer.status_code} to {method} {urlsplit(answer.url).path}"
    message = f"{request}: {_service_message(answer)}"
    if answer.status_code == 429 or _is_rate_limit(answer):
        return Limited(message, _seconds_to_wait(answer))
    if answer.status_code >= 500:
        return Busy(message, help="the service has a problem; run the job again later")
    if answer.status_code == 401:
        return NotPermitted(message, help=f"the token is wrong or has expired; {needs}")
    if answer.status_code in (403, 404):  # 404 stands for a thing that the token may not even see
        return NotPermitted(message, help=needs)
    return Refused(message)


class Limited(Busy):
    """Too many requests; more are allowed after `after` seconds."""

    def __init__(self, message: str, after: float) -> None:
        super().__init__(message, help=f"the service's limit of requests is used up; run again in {after:.0f} s")
        self.after = after


def _is_rate_limit(answer: requests.Response) -> bool:
    """Return whether the answer is a rate limit.

    GitHub sends 403 too: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    is_used_up = answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
    return answer.status_code == 403 and (is_used_up or "rate limit" in answer.text[:2000].lower())


def _seconds_to_wait(answer: requests.Response) -> float:
    """Return the seconds to wait: what the service says, or a minute."""
    for header, now in (("retry-after", 0.0), ("x-ratelimit-reset", time.time()), ("ratelimit-reset", time.time())):
        value = answer.headers.get(header, "")
        if value.isdigit() and (now == 0 or answer.headers.get("x-ratelimit-remaining", "0") == "0"):
            return max(0.0, float(value) - now)
    return 60.0


def _service_message(answer: requests.Response) -> str:
    """Return the service's message, in one line."""
    try:
        data = answer.json()
    except ValueError:
        data = None
    message = (
        data.get("message") or data.get("error_description") or data.get("error") if isinstance(data, dict) else None
    )
    text = message if isinstance(message, str) else json.dumps(message) if message else answer.reason or "nothing more"
    return " ".join(text.split())[:300]


# -- GitHub -----------------------------------------------------------------------------------------------------------
class GitHub:
    """A pull request (`number`) of the repository `OWNER/NAME`."""

    def __init__(self, api: str, repository: str, token: str, number: int = 0) -> None:
        self._api = Api(
            api,
            token,
            {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"},
        )
        self._path = f"/repos/{repository}"
        self._repository = repository
        self._number = number
        self._user: str | None = None

    WRITES = (
        "to comment, the job needs `permissions: {pull-requests: write}`; in a pull request from a fork the token only "
        "reads, whatever the workflow says"
    )
    READS = "to find the reviewed plan, the job needs `permissions: {actions: read, pull-requests: read}`"

    def comments(self) -> Iterator[Comment]:
        """Yield our comments: a job's own token writes them as a bot, any other token as its user."""
        for page in self._api.iter_pages(f"{self._path}/issues/{self._number}/comments", self.WRITES):
            for comment in page:
                author = comment.get("user") or {}
                is_ours = author.get("login") == self.user if self.user else author.get("type") == "Bot"
                if is_ours:
                    yield Comment(str(comment["id"]), comment.get("body") or "", comment.get("html_url", ""))

    @property
    def user(self) -> str:
        """Return the token's user; empty for a job's own token, which must not ask."""
        if self._user is None:
            try:
                self._user = str(self._api.request_json("GET", "/user", self.WRITES).get("login", ""))
            except NotPermitted:
                self._user = ""
        return self._user

    def write(self, body: str, comment: Comment | None) -> str:
        if comment:
            path, method = f"{self._path}/issues/comments/{comment.id}", "PATCH"
        else:
            path, method = f"{self._path}/issues/{self._number}/comments", "POST"
        return str(self._api.request_json(method, path, self.WRITES, {"body": body}).get("html_url", ""))

    def fetch_reviewed_plan(self, commit: str, artifact: str, event: Mapping[str, Any]) -> bytes:
        """Return the plan's file of the pull request that was merged as `commit`."""
        pull = event.get("pull_request") or self._find_merged_request(commit)
        head = pull["head"]
        if (head.get("repo") or {}).get("full_name") != self._repository:
            raise Refused(f"pull request {pull['number']} comes from a fork", help=FORK)
        name = f"{artifact}-{head['sha']}"
        path = f"{self._path}/actions/artifacts"
        artifacts = [a for page in self._api.iter_pages(path, self.READS, name=name) for a in page["artifacts"]]
        valid_artifacts = [
            a for a in artifacts if not a.get("expired") and _is_from_commit(a.get("workflow_run") or {}, head["sha"])
        ]
        if not valid_artifacts:
            raise Refused(f"pull request {pull['number']} has no file {name}, or it has expired", help=NO_PLAN)
        newest = max(valid_artifacts, key=lambda a: str(a.get("created_at", "")))
        return _unzip(self._api.download(newest["archive_download_url"], self.READS))

    def _find_merged_request(self, commit: str) -> Mapping[str, Any]:
        pulls = self._api.request_json("GET", f"{self._path}/commits/{commit}/pulls", self.READS)
        merged_pulls = [pull for pull in pulls if pull.get("merged_at")]
        if not merged_pulls:
            raise Refused(f"no pull request was merged as {commit[:12]}", help=NO_PLAN)
        newest: Mapping[str, Any] = max(merged_pulls, key=lambda pull: str(pull["merged_at"]))
        return newest


def _is_from_commit(run: Mapping[str, Any], commit: str) -> bool:
    """Return whether a run of this commit of this repository made it: a fork's run can produce anything."""
    is_same_repository = (
        run.get("head_repository_id") == run.get("repository_id") and run.get("repository_id") is not None
    )
    return is_same_repository and run.get("head_sha") == commit


def _unzip(data: bytes) -> bytes:
    """Return the only JSON file of an artifact."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [info for info in archive.infolist() if info.filename.endswith(".json")]
            if len(names) != 1 or names[0].file_size > MAX_ANSWER_BYTES:
                raise Refused("the artifact does not hold exactly one JSON file", help=NO_PLAN)
            return archive.read(names[0])
    except zipfile.BadZipFile as e:
        raise Refused("the artifact is not a zip file", help=NO_PLAN) from e


FORK = "a fork's plan is not trusted: plan on the main branch, have that reviewed, and apply it"
NO_PLAN = "plan on the main branch, have that reviewed, and apply it"


# -- GitLab -----------------------------------------------------------------------------------------------------------
class GitLab:
    """A merge request (`number`, its iid) of a project (its number, or its path)."""

    def __init__(self, api: str, project: str, token: str, number: int = 0) -> None:
        self._api = Api(api, token)
        self._path = f"/projects/{quote(project, safe='')}"
        self._number = number

    NEEDS = (
        "the token needs the scope `api` and at least the role Reporter in this project (a project access token does); "
        "CI_JOB_TOKEN can do neither"
    )

    def comments(self) -> Iterator[Comment]:
        me = self._api.request_json("GET", "/user", self.NEEDS).get("id")
        path = f"{self._path}/merge_requests/{self._number}/notes"
        for page in self._api.iter_pages(path, self.NEEDS, sort="asc", order_by="created_at"):
            for note in page:
                if not note.get("system") and (note.get("author") or {}).get("id") == me:
                    yield Comment(str(note["id"]), note.get("body") or "")

    def write(self, body: str, comment: Comment | None) -> str:
        path = f"{self._path}/merge_requests/{self._number}/notes"
        if comment:
            self._api.request_json("PUT", f"{path}/{comment.id}", self.NEEDS, {"body": body})
        else:
            self._api.request_json("POST", path, self.NEEDS, {"body": body})
        return ""

    def fetch_reviewed_plan(self, commit: str, job: str, file: str) -> bytes:
        """Return the plan's file that `job` made for the merge request that was merged as `commit`."""
        path = f"{self._path}/repository/commits/{commit}/merge_requests"
        merged_requests = [mr for mr in self._api.request_json("GET", path, self.NEEDS) if mr.get("state") == "merged"]
        if not merged_requests:
            raise Refused(f"no merge request was merged as {commit[:12]}", help=NO_PLAN)
        request = self._api.request_json("GET", f"{self._path}/merge_requests/{merged_requests[0]['iid']}", self.NEEDS)
        if request.get("source_project_id") != request.get("target_project_id"):
            raise Refused(f"merge request {request['iid']} comes from a fork", help=FORK)
        pipeline = request.get("head_pipeline") or {}
        if not pipeline.get("id"):
            raise Refused(f"merge request {request['iid']} has no pipeline of its last commit", help=NO_PLAN)
        pages = self._api.iter_pages(f"{self._path}/pipelines/{pipeline['id']}/jobs", self.NEEDS)
        jobs = [each for page in pages for each in page if each.get("name") == job and each.get("status") == "success"]
        if not jobs:
            raise Refused(f"pipeline {pipeline['id']} has no job {job} that succeeded", help=NO_PLAN)
        newest = max(each["id"] for each in jobs)
        return self._api.download(f"{self._path}/jobs/{newest}/artifacts/{quote(file)}", self.NEEDS)
