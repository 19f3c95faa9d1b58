"""Where a comment goes and which plan is fetched, by the variables of a job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kplan.app.hosting import connect_host, find_request, find_service, read_comment, read_plans, read_variable
from kplan.ci.hosting import GitHub, GitLab, MissingContext
from kplan.diagnostics import Stale


def test_the_service_is_that_of_the_job_or_the_requested_one() -> None:
    assert find_service(None, {"GITHUB_ACTIONS": "true"}) == "github"
    assert find_service(None, {"GITLAB_CI": "true"}) == "gitlab"
    assert find_service("gitlab", {"GITHUB_ACTIONS": "true"}) == "gitlab"
    with pytest.raises(MissingContext, match="neither a job of GitHub Actions nor of GitLab CI"):
        find_service(None, {})


def test_the_token_is_hidden_before_it_is_used() -> None:
    hidden: list[str] = []
    github = {"GITHUB_REPOSITORY": "o/r", "GH_TOKEN": "canary-1"}
    assert isinstance(connect_host("github", github, hidden.append, 3), GitHub)
    gitlab = {"CI_PROJECT_ID": "7", "KPLAN_GITLAB_TOKEN": "canary-2"}
    assert isinstance(connect_host("gitlab", gitlab, hidden.append, 3), GitLab)
    assert hidden == ["canary-1", "canary-2"]
    with pytest.raises(MissingContext, match="GITHUB_TOKEN has no value"):
        connect_host("github", {"GITHUB_REPOSITORY": "o/r"}, hidden.append)


def test_the_request_is_that_of_the_event_or_of_the_job(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 12}}), "utf-8")
    assert find_request({"GITHUB_EVENT_PATH": str(event)}) == 12
    assert find_request({"CI_MERGE_REQUEST_IID": "5"}) == 5
    with pytest.raises(MissingContext, match="not for a pull or merge request"):
        find_request({"GITHUB_EVENT_PATH": str(tmp_path / "none.json")})


def test_the_first_variable_with_a_value_counts() -> None:
    assert read_variable({"A": "", "B": "b"}, "A", "B") == "b"


def test_a_file_that_is_not_a_comment_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "plan.md"
    file.write_text("# something else\n", "utf-8")
    with pytest.raises(MissingContext, match="is not a plan in Markdown"):
        read_comment(file)


def test_what_is_not_json_is_not_a_reviewed_plan() -> None:
    with pytest.raises(Stale, match="not JSON"):
        read_plans(b"<html>")
