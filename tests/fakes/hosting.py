"""GitHub and GitLab as far as kplan uses them, on this machine; they can be made to misbehave.

The shapes of the answers are those of their documentation (docs.github.com/en/rest, docs.gitlab.com/api).
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from tests.fakes.http import Handler, serving

TOKEN = "token-4711-only-a-test"
JOB_TOKEN = "job-token-4712-only-a-test"
ME, OTHER = 1, 2  # users of GitLab


@dataclass
class Answer:
    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


LOST = Answer(500, {"message": "Server Error"})  # although it was done


class Service:
    """`faults`: answers to the next requests that fit a pattern, in place of the right one."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.tokens: dict[str, str] = {}  # by host that was asked
        self.faults: list[tuple[str, Answer]] = []
        self._served = ExitStack()
        self.url = self._served.enter_context(serving(type("ServiceHandler", (_Handler,), {"service": self})))

    def close(self) -> None:
        self._served.close()

    def fault(self, pattern: str, *answers: Answer) -> None:
        self.faults += [(pattern, answer) for answer in answers]

    def answer(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        url = urlsplit(target)
        call = f"{method} {unquote(url.path)}"
        self.requests.append(call)
        self.tokens[headers.get("Host", "").partition(":")[0]] = headers.get("Authorization", "")
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        for number, (pattern, answer) in enumerate(self.faults):
            if re.search(pattern, call):
                del self.faults[number]
                if answer is LOST:
                    self.right(method, unquote(url.path), query, body)
                return answer
        if url.path.startswith("/storage/"):
            return Answer(body=self.stored(unquote(url.path)))
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return Answer(401, {"message": "Bad credentials"})
        return self.right(method, unquote(url.path), query, body)

    def right(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Answer:
        raise NotImplementedError

    def stored(self, path: str) -> bytes:
        raise NotImplementedError

    def page(self, items: list[Any], query: Mapping[str, str], path: str) -> Answer:
        size, number = int(query.get("per_page", "30")), int(query.get("page", "1"))
        shown = items[(number - 1) * size : number * size]
        link = {}
        if number * size < len(items):
            more = urlencode({**query, "per_page": size, "page": number + 1})
            link = {"Link": f'<{self.url}{quote(path)}?{more}>; rel="next"'}
        return Answer(200, shown, link)

    def elsewhere(self, path: str) -> Answer:
        """A redirection to another host, as both services send for files."""
        return Answer(302, None, {"Location": f"http://localhost:{self.url.rpartition(':')[2]}/storage{path}"})


class _Handler(Handler):
    service: Service

    def respond(self) -> None:
        answer = self.service.answer(self.command, self.path, self.read_body(), dict(self.headers.items()))
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send(answer.status, data, answer.headers)

    do_GET = do_POST = do_PATCH = do_PUT = respond


@dataclass
class Written:
    id: int
    body: str
    author: Any


class FakeGitHub(Service):
    """One repository, with a pull request 17; `personal`: the token is a person's and not a job's own."""

    repository = "team/streams"

    def __init__(self) -> None:
        super().__init__()
        self.personal = False
        self.comments: list[Written] = []
        self.artifacts: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.pulls: dict[str, list[Any]] = {}  # by merged commit

    def say(self, body: str, login: str = "github-actions[bot]", kind: str = "Bot") -> Written:
        self.comments.append(Written(len(self.comments) + 100, body, {"login": login, "type": kind}))
        return self.comments[-1]

    def keep(self, name: str, files: Mapping[str, bytes], commit: str, fork: bool = False, **more: Any) -> None:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        number = len(self.artifacts) + 1
        self.files[f"/storage/{number}"] = data.getvalue()
        run = {"id": number, "repository_id": 1, "head_repository_id": 2 if fork else 1, "head_sha": commit}
        url = f"{self.url}/repos/{self.repository}/actions/artifacts/{number}/zip"
        self.artifacts.append(
            {"id": number, "name": name, "expired": False, "created_at": f"2026-01-01T10:00:{number:02}Z",
             "archive_download_url": url, "workflow_run": run, **more}
        )  # fmt: skip

    def stored(self, path: str) -> bytes:
        return self.files[path]

    def right(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Answer:
        here = f"/repos/{self.repository}"
        if path == "/user":
            refusal = Answer(403, {"message": "Resource not accessible by integration"})
            return Answer(200, {"login": "ann"}) if self.personal else refusal
        if path == f"{here}/issues/17/comments" and method == "GET":
            return self.page([self.shown(c) for c in self.comments], query, path)
        if path == f"{here}/issues/17/comments":
            author = ("ann", "User") if self.personal else ("github-actions[bot]", "Bot")
            return Answer(201, self.shown(self.say(json.loads(body)["body"], *author)))
        if (found := re.fullmatch(rf"{here}/issues/comments/(\d+)", path)) and method == "PATCH":
            comment = next(c for c in self.comments if c.id == int(found[1]))
            comment.body = json.loads(body)["body"]
            return Answer(200, self.shown(comment))
        if path == f"{here}/actions/artifacts":
            named = [a for a in self.artifacts if a["name"] == query.get("name", a["name"])]
            listed = self.page(named, query, path)
            return Answer(200, {"total_count": len(named), "artifacts": listed.body}, listed.headers)
        if found := re.fullmatch(rf"{here}/actions/artifacts/(\d+)/zip", path):
            return self.elsewhere(f"/{found[1]}")
        if found := re.fullmatch(rf"{here}/commits/(\w+)/pulls", path):
            return Answer(200, self.pulls.get(found[1], []))
        return Answer(404, {"message": "Not Found"})

    def shown(self, comment: Written) -> dict[str, Any]:
        url = f"https://github.com/{self.repository}/pull/17#issuecomment-{comment.id}"
        return {"id": comment.id, "body": comment.body, "user": comment.author, "html_url": url}

    def pull(self, head: str, fork: bool = False) -> dict[str, Any]:
        """Pull request 17, merged."""
        repository = "stranger/streams" if fork else self.repository
        return {
            "number": 17,
            "merged_at": "2026-01-01T11:00:00Z",
            "head": {"sha": head, "repo": {"full_name": repository}},
        }


class FakeGitLab(Service):
    """One project, `team/streams`, with a merge request 17."""

    project = "/api/v4/projects/team/streams"

    def __init__(self) -> None:
        super().__init__()
        self.comments: list[Written] = []
        self.merged: dict[str, list[Any]] = {}  # by commit
        self.request: dict[str, Any] = {}
        self.jobs: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.packages: dict[str, bytes] = {}

    @property
    def api(self) -> str:
        return f"{self.url}/api/v4"

    def say(self, body: str, author: int = ME) -> Written:
        self.comments.append(Written(len(self.comments) + 100, body, {"id": author}))
        return self.comments[-1]

    def merge(self, commit: str, plan: bytes, fork: bool = False) -> None:
        """Merge request 17 is merged as `commit`; its last pipeline's job made `plan`."""
        self.merged[commit] = [{"iid": 17, "state": "merged"}]
        self.request = {"iid": 17, "source_project_id": 2 if fork else 1, "target_project_id": 1, "sha": "abc",
                        "head_pipeline": {"id": 5, "sha": "abc"}}  # fmt: skip
        self.jobs = [
            {"id": 8, "name": "lint", "status": "success"},
            {"id": 9, "name": "kplan-plan", "status": "success"},
        ]
        self.files["/storage/9/plan.json"] = plan

    def stored(self, path: str) -> bytes:
        return self.files[path]

    def answer(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """A job's own token may do nothing but keep packages."""
        if "/packages/generic/" not in target:
            return super().answer(method, target, body, headers)
        if headers.get("JOB-TOKEN") != JOB_TOKEN:
            return Answer(401, {"message": "401 Unauthorized"})
        if method == "PUT":
            self.packages[target] = body
        return Answer(200 if target in self.packages else 404, self.packages.get(target, b""))

    def right(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Answer:
        path = path.replace("/projects/1/", "/projects/team/streams/")
        notes = f"{self.project}/merge_requests/17/notes"
        if path == "/api/v4/user":
            return Answer(200, {"id": ME, "username": "project_1_bot"})
        if path == notes and method == "GET":
            assert query["sort"] == "asc"
            system = {"id": 1, "body": "assigned to @ann", "system": True, "author": {"id": ME}}
            return self.page([system, *(self.shown(c) for c in self.comments)], query, path)
        if path == notes:
            return Answer(201, self.shown(self.say(json.loads(body)["body"])))
        if (found := re.fullmatch(rf"{notes}/(\d+)", path)) and method == "PUT":
            comment = next(c for c in self.comments if c.id == int(found[1]))
            comment.body = json.loads(body)["body"]
            return Answer(200, self.shown(comment))
        if found := re.fullmatch(rf"{self.project}/repository/commits/(\w+)/merge_requests", path):
            return Answer(200, self.merged.get(found[1], []))
        if path == f"{self.project}/merge_requests/17" and self.request:
            return Answer(200, self.request)
        if path == f"{self.project}/pipelines/5/jobs":
            return self.page(self.jobs, query, path)
        if found := re.fullmatch(rf"{self.project}/jobs/(\d+)/artifacts/(.+)", path):
            return self.elsewhere(f"/{found[1]}/{found[2]}")
        return Answer(404, {"message": "404 Not found"})

    def shown(self, comment: Written) -> dict[str, Any]:
        return {"id": comment.id, "body": comment.body, "system": False, "author": comment.author}
