"""Plans in pull and merge requests: the comment, the plan that is applied after the merge, the action, the template,
and the manual. The hosting services are fakes on this machine; everything else is what runs in a job."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from kplan.ci.hosting import MAX_COMMENT_LENGTH, GitHub, GitLab, Host, NotPermitted, Refused, shorten_body, upsert
from kplan.cli import COMMANDS, cli
from kplan.diagnostics import Busy, Timeout, Unreachable
from tests.fakes.hosting import JOB_TOKEN, LOST, OTHER, TOKEN, Answer, FakeGitHub, FakeGitLab
from tests.shell import Shell

ROOT = Path(__file__).parents[3]
MARKER = "<!-- kplan:v1 stack=shop env=prod -->"
BODY = f"{MARKER}\n### plan\nnew\n"
SECRET = "canary-5517-only-a-test"
HEAD, MERGED = "a" * 40, "b" * 40


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    fake = FakeGitHub()
    yield fake
    fake.close()


@pytest.fixture
def gitlab() -> Iterator[FakeGitLab]:
    fake = FakeGitLab()
    yield fake
    fake.close()


@dataclass
class Pair:
    """A fake and its client."""

    fake: FakeGitHub | FakeGitLab
    host: Host

    def say(self, body: str, mine: bool = True) -> None:
        if isinstance(self.fake, FakeGitHub):
            self.fake.say(body, *(("github-actions[bot]", "Bot") if mine else ("mallory", "User")))
        else:
            self.fake.say(body, *(() if mine else (OTHER,)))

    @property
    def bodies(self) -> list[str]:
        return [comment.body for comment in self.fake.comments]

    def upsert(self, body: str = BODY, **more: Any) -> str:
        """What was done; time does not pass."""
        self.slept: list[float] = []
        return upsert(self.host, body, sleep=self.slept.append, **more)[0]


@pytest.fixture(params=["github", "gitlab"])
def pair(request: pytest.FixtureRequest) -> Pair:
    fake = request.getfixturevalue(request.param)
    if isinstance(fake, FakeGitHub):
        return Pair(fake, GitHub(fake.url, fake.repository, TOKEN, 17))
    return Pair(fake, GitLab(fake.api, "team/streams", TOKEN, 17))


# -- one comment, updated in place ------------------------------------------------------------------------------------
def test_the_first_plan_is_a_new_comment_and_the_next_one_replaces_it(pair: Pair) -> None:
    pair.say("looks good")
    assert pair.upsert() == "created"
    assert pair.upsert(BODY.replace("new", "newer")) == "updated"
    assert pair.upsert(BODY.replace("new", "newer")) == "unchanged"
    assert pair.bodies == ["looks good", BODY.replace("new", "newer")]


def test_the_comment_is_found_on_a_later_page(pair: Pair) -> None:
    for number in range(230):
        pair.say(f"comment {number}")
    pair.say(f"{MARKER}\nold")
    for number in range(30):
        pair.say(f"later {number}")
    assert pair.upsert() == "updated"
    assert pair.bodies[230] == BODY and len(pair.bodies) == 261
    assert sum(call.startswith("GET") and call.endswith(("comments", "notes")) for call in pair.fake.requests) == 3


def test_other_stacks_and_environments_have_comments_of_their_own(pair: Pair) -> None:
    pair.say(BODY.replace("prod", "dev"))
    pair.say(f"a quote:\n{BODY}")
    assert pair.upsert() == "created"
    assert len(pair.bodies) == 3


def test_a_comment_that_someone_else_began_with_our_line_is_not_ours(pair: Pair) -> None:
    """They could change it after the plan was written into it."""
    pair.say(f"{MARKER}\nmine now", mine=False)
    assert pair.upsert() == "created"
    assert pair.bodies == [f"{MARKER}\nmine now", BODY]


def test_a_persons_token_finds_that_persons_comment(github: FakeGitHub) -> None:
    github.personal = True
    github.say(f"{MARKER}\nold", "ann", "User")
    assert upsert(GitHub(github.url, github.repository, TOKEN, 17), BODY)[0] == "updated"


def test_lines_that_the_service_ends_in_its_own_way_are_no_change(pair: Pair) -> None:
    pair.say(BODY.replace("\n", "\r\n").rstrip())
    assert pair.upsert() == "unchanged"


def test_without_changes_a_comment_is_updated_and_not_made_when_asked(pair: Pair) -> None:
    assert pair.upsert(create=False) == "skipped"
    assert pair.bodies == []
    pair.say(f"{MARKER}\n3 to add")
    assert pair.upsert(create=False) == "updated", "the old plan must not stay there"


# -- refusals ---------------------------------------------------------------------------------------------------------
def test_a_missing_permission_is_named(pair: Pair) -> None:
    for status, message in ((403, "Resource not accessible by integration"), (404, "Not Found"), (401, "Bad token")):
        pair.fake.fault("^POST", Answer(status, {"message": message}))
        with pytest.raises(NotPermitted) as refused:
            pair.upsert()
        assert f"answers {status} to POST" in refused.value.message and message in refused.value.message
        words = "pull-requests: write" if isinstance(pair.fake, FakeGitHub) else "scope `api`"
        assert words in refused.value.help and refused.value.exit_code == 1
        assert not pair.slept, "asking again does not help"


def test_trouble_of_the_service_is_waited_out(pair: Pair) -> None:
    pair.fake.fault("^GET.*(comments|notes)", Answer(502, {}), Answer(503, None))
    assert pair.upsert() == "created"
    assert pair.slept == [1.0, 4.0]


def test_trouble_that_lasts_is_told(pair: Pair) -> None:
    pair.fake.fault("^POST", *[Answer(500, {"message": "Server Error"})] * 3)
    with pytest.raises(Busy, match=r"answers 500 to POST .*Server Error"):
        pair.upsert()
    assert pair.bodies == []


def test_a_lost_answer_makes_no_second_comment(pair: Pair) -> None:
    pair.fake.fault("^POST", LOST)
    assert pair.upsert() == "unchanged"
    assert pair.bodies == [BODY]


@pytest.mark.parametrize(
    ("answer", "slept"),
    [
        (Answer(429, {"message": "Too many requests"}, {"Retry-After": "7"}), [7.0]),
        (Answer(403, {"message": "You have exceeded a secondary rate limit"}, {"Retry-After": "20"}), [20.0]),
        (Answer(403, {"message": "You have exceeded a secondary rate limit"}), [60.0]),
        (Answer(429, {}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}), [1.0]),
    ],
)
def test_a_limit_of_requests_is_kept(answer: Answer, slept: list[float], pair: Pair) -> None:
    pair.fake.fault("^GET.*(comments|notes)", answer)
    assert pair.upsert() == "created"
    assert pair.slept == slept


def test_a_limit_that_lasts_long_is_told_at_once(pair: Pair) -> None:
    pair.fake.fault("^GET.*(comments|notes)", Answer(429, {"message": "slow down"}, {"Retry-After": "3000"}))
    with pytest.raises(Busy, match="slow down") as refused:
        pair.upsert()
    assert "3000 s" in refused.value.help and not pair.slept


def test_a_body_that_is_refused_is_told_in_the_services_words(pair: Pair) -> None:
    pair.fake.fault("^POST", Answer(422, {"message": "Validation Failed"}))
    with pytest.raises(Refused, match=r"answers 422 to POST .*Validation Failed"):
        pair.upsert()


def test_an_answer_that_is_no_json_is_told(pair: Pair) -> None:
    pair.fake.fault("^GET.*(comments|notes)", Answer(200, b"<html>a proxy's login</html>"))
    with pytest.raises(Refused, match="not JSON"):
        pair.upsert()


def test_a_next_page_on_another_host_is_not_asked(pair: Pair) -> None:
    link = {"Link": '<http://localhost:1/steal>; rel="next"'}
    pair.fake.fault("^GET.*(comments|notes)", Answer(200, [], link))
    with pytest.raises(Refused, match="another host"):
        pair.upsert()


def test_nobody_there_is_told_without_the_token() -> None:
    with pytest.raises(Unreachable) as refused:
        upsert(GitHub("http://127.0.0.1:9", "team/streams", TOKEN, 17), BODY, sleep=lambda seconds: None)
    assert "127.0.0.1:9" in refused.value.message and TOKEN not in refused.value.message


def test_no_answer_in_time_is_told(github: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    def late(*args: Any, **more: Any) -> None:
        raise requests.ReadTimeout("read timed out")

    monkeypatch.setattr(requests.Session, "request", late)
    with pytest.raises(Timeout):
        upsert(GitHub(github.url, github.repository, TOKEN, 17), BODY, sleep=lambda seconds: None)


def test_a_comment_of_sixty_thousand_characters_is_left_and_a_longer_one_is_cut() -> None:
    fits = f"{MARKER}\n" + "x" * (MAX_COMMENT_LENGTH - len(MARKER) - 1)
    assert shorten_body(fits) == fits
    cut = shorten_body(f"{MARKER}\n" + "a line of the plan\n" * 10_000)
    assert MAX_COMMENT_LENGTH - 200 < len(cut) <= MAX_COMMENT_LENGTH
    assert cut.splitlines()[0] == MARKER and "This is cut" in cut.splitlines()[1]
    assert cut.splitlines()[-1] == "a line of the plan"


# -- kplan comment ----------------------------------------------------------------------------------------------------
def job(github: FakeGitHub, folder: Path) -> dict[str, str]:
    """The variables of a job for pull request 17."""
    event = folder / "event.json"
    event.write_text(json.dumps({"pull_request": {**github.pull(HEAD), "base": {}}}), "utf-8")
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": github.repository,
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_SHA": MERGED,
        "GITHUB_TOKEN": TOKEN,
    }


def shell_in(folder: Path, variables: Mapping[str, str] = {}) -> Shell:
    """A folder whose jobs have these variables alone of those that services set."""
    kept = dict.fromkeys([name for name in os.environ if name.startswith(("GITHUB_", "CI_", "GITLAB_", "GH_"))], "")
    return Shell(folder, {**kept, **variables}, (TOKEN, JOB_TOKEN, SECRET))


def test_in_a_job_everything_but_the_file_is_known(github: FakeGitHub, tmp_path: Path) -> None:
    shell = shell_in(tmp_path, job(github, tmp_path))
    shell.write("pr.md", BODY)
    said = shell.kplan("comment", "pr.md", "--log-level", "debug").out
    assert said == "comment created: https://github.com/team/streams/pull/17#issuecomment-100\n"
    assert [c.body for c in github.comments] == [BODY]


def test_elsewhere_service_and_request_are_said(gitlab: FakeGitLab, tmp_path: Path) -> None:
    shell = shell_in(tmp_path, {"CI_API_V4_URL": gitlab.api, "CI_PROJECT_ID": "1", "KPLAN_GITLAB_TOKEN": TOKEN})
    shell.write("pr.md", BODY)
    assert "comment created" in shell.kplan("comment", "pr.md", "--service", "gitlab", "--request", "17").out
    assert [c.body for c in gitlab.comments] == [BODY]


@pytest.mark.parametrize(
    ("lacks", "words"),
    [
        ("GITHUB_TOKEN", "GITHUB_TOKEN has no value"),
        ("GITHUB_REPOSITORY", "GITHUB_REPOSITORY has no value"),
        ("GITHUB_EVENT_PATH", "not for a pull or merge request"),
        ("GITHUB_ACTIONS", "neither a job of GitHub Actions nor of GitLab CI"),
    ],
)
def test_what_is_missing_is_named(lacks: str, words: str, github: FakeGitHub, tmp_path: Path) -> None:
    shell = shell_in(tmp_path, {**job(github, tmp_path), lacks: ""})
    shell.write("pr.md", BODY)
    ended = shell.kplan("comment", "pr.md", expect=1)
    assert "error[K616]" in ended.err and words in ended.err and "help:" in ended.err
    assert github.requests == []


@pytest.mark.parametrize("text", [None, "no marker", ""])
def test_a_file_that_is_no_plan_is_not_shown(text: str | None, github: FakeGitHub, tmp_path: Path) -> None:
    shell = shell_in(tmp_path, job(github, tmp_path))
    if text is not None:
        shell.write("pr.md", text)
    assert "error[K616]" in shell.kplan("comment", "pr.md", expect=1).err
    assert github.requests == []


def test_a_refusal_is_told_as_any_other_problem(github: FakeGitHub, tmp_path: Path) -> None:
    shell = shell_in(tmp_path, job(github, tmp_path))
    shell.write("pr.md", BODY)
    github.fault("^POST", Answer(403, {"message": "Resource not accessible by integration"}))
    ended = shell.kplan("comment", "pr.md", expect=1)
    assert "error[K614]: the token may not do this on the hosting service" in ended.err
    assert "pull-requests: write" in ended.err


# -- kplan fetch ------------------------------------------------------------------------------------------------------
STACK = """
version: 1
stack: shop
variables: {db_password: {type: string, env: DB_PASSWORD, sensitive: true}}
defaults: {topic: {replication_factor: 3}}
connectors:
  shop:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.db_password }}"}
    tables:
      orders: {partitions: 6}
"""
MORE = STACK.replace("orders:", "customers:\n      orders:")
DANGEROUS = STACK.replace("      orders: {partitions: 6}\n", "      customers:\n")
CONFIG = """
version: 1
environments:
  prod: {variables: {unused: "{{ env.PROD_ONLY }}"}}
"""


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose stack is applied, with a snapshot of that, as the main branch leaves it."""
    shell = shell_in(tmp_path_factory.mktemp("main"), {"PROD_ONLY": "x", "DB_PASSWORD": SECRET})
    shell.write("kplan.yaml", CONFIG)
    shell.write("stacks/shop.yaml", STACK)
    shell.kplan("apply", "stacks", "--env", "prod", "--yes")
    shell.kplan("snapshot", "stacks", "--env", "prod", "--out", "live.json")
    shell.assert_no_secret_on_disk()
    return shell.folder


@pytest.fixture
def work(applied: Path, tmp_path: Path) -> Path:
    """A copy of that repository, without credentials. The simulated cluster has another id at another place."""
    shutil.copytree(applied, tmp_path / "work")
    document = json.loads((tmp_path / "work" / "live.json").read_text("utf-8"))
    from kplan.servers.simulated import SimulatedFile

    document["cluster_id"] = SimulatedFile(tmp_path / "work" / ".kplan" / "prod.db").identity
    (tmp_path / "work" / "live.json").write_text(json.dumps(document), "utf-8")
    return tmp_path / "work"


@pytest.fixture(scope="module")
def saved(applied: Path) -> bytes:
    """A saved plan."""
    shell = shell_in(applied)
    shell.kplan("plan", "stacks", "--env", "prod", "--live", "live.json", "--out", "saved.json")
    return (applied / "saved.json").read_bytes()


def test_the_plan_of_the_merged_pull_request_is_fetched(github: FakeGitHub, saved: bytes, tmp_path: Path) -> None:
    shell = shell_in(tmp_path, {**job(github, tmp_path), "GITHUB_EVENT_PATH": ""})
    github.pulls[MERGED] = [{**github.pull("c" * 40), "merged_at": None}, github.pull(HEAD)]
    github.keep(f"kplan-plan-{HEAD}", {"plan.json": b"{}", "plan.html": b""}, HEAD)
    github.keep(f"kplan-plan-{HEAD}", {"plan.json": saved, "plan.html": b""}, HEAD)
    github.keep(f"kplan-plan-{HEAD}", {"plan.json": b"expired"}, HEAD, expired=True)
    github.keep(f"kplan-plan-{'d' * 40}", {"plan.json": b"another commit's"}, "d" * 40)
    assert "of stack shop" in shell.kplan("fetch", "--out", "plan.json").out
    assert (tmp_path / "plan.json").read_bytes() == saved
    assert github.tokens["127.0.0.1"] == f"Bearer {TOKEN}"
    assert github.tokens["localhost"] == "", "the storage gets no token"


def test_a_plan_from_a_fork_is_not_trusted(github: FakeGitHub, saved: bytes, tmp_path: Path) -> None:
    github.pulls[MERGED] = [github.pull(HEAD, fork=True)]
    github.keep(f"kplan-plan-{HEAD}", {"plan.json": saved}, HEAD, fork=True)
    variables = {**job(github, tmp_path), "GITHUB_EVENT_PATH": ""}
    ended = shell_in(tmp_path, variables).kplan("fetch", expect=1)
    assert "error[K615]" in ended.err and "from a fork" in ended.err
    github.pulls[MERGED] = [github.pull(HEAD)]
    ended = shell_in(tmp_path, variables).kplan("fetch", expect=1)
    assert "has no file" in ended.err, "a fork's run can name its files as it likes"
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"plan.json": b"{}", "other.json": b"{}"}, "exactly one JSON file"),
        ({"plan.json": b"not json"}, "not JSON"),
        ({"plan.json": b'{"format_version": "1.0"}'}, "not a plan of kplan"),
    ],
)
def test_a_file_that_is_no_plan_is_not_kept(
    files: dict[str, bytes], words: str, github: FakeGitHub, tmp_path: Path
) -> None:
    github.keep(f"kplan-plan-{HEAD}", files, HEAD)
    ended = shell_in(tmp_path, job(github, tmp_path)).kplan("fetch", expect=None)
    assert ended.code in (1, 5) and words in ended.err
    assert not (tmp_path / "plan.json").exists()


def test_a_plan_that_was_changed_on_its_way_is_refused(github: FakeGitHub, saved: bytes, tmp_path: Path) -> None:
    document = {**json.loads(saved), "mode": "destroy"}
    github.keep(f"kplan-plan-{HEAD}", {"plan.json": json.dumps(document).encode()}, HEAD)
    assert "K522" in shell_in(tmp_path, job(github, tmp_path)).kplan("fetch", expect=5).err


def test_a_missing_right_to_read_artifacts_is_named(github: FakeGitHub, tmp_path: Path) -> None:
    github.fault("actions/artifacts", Answer(403, {"message": "Resource not accessible by integration"}))
    ended = shell_in(tmp_path, job(github, tmp_path)).kplan("fetch", expect=1)
    assert "K614" in ended.err and "actions: read" in ended.err


def gitlab_job(gitlab: FakeGitLab) -> dict[str, str]:
    return {"GITLAB_CI": "true", "CI_API_V4_URL": gitlab.api, "CI_PROJECT_ID": "1", "CI_COMMIT_SHA": MERGED,
            "KPLAN_GITLAB_TOKEN": TOKEN}  # fmt: skip


def test_the_plan_of_the_merged_merge_request_is_fetched(gitlab: FakeGitLab, saved: bytes, tmp_path: Path) -> None:
    gitlab.merge(MERGED, saved)
    shell_in(tmp_path, gitlab_job(gitlab)).kplan("fetch", "--out", "plan.json")
    assert (tmp_path / "plan.json").read_bytes() == saved
    assert gitlab.tokens["localhost"] == "", "the storage gets no token"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g.merged.clear(), "no merge request was merged as bbbbbbbbbbbb"),
        (lambda g: g.request.update(source_project_id=2), "from a fork"),
        (lambda g: g.request.update(head_pipeline=None), "no pipeline of its last commit"),
        (lambda g: g.jobs.pop(), "no job kplan-plan that succeeded"),
    ],
)
def test_a_merge_request_without_a_plan_is_told(
    change: Callable[[FakeGitLab], Any], words: str, gitlab: FakeGitLab, saved: bytes, tmp_path: Path
) -> None:
    gitlab.merge(MERGED, saved)
    change(gitlab)
    ended = shell_in(tmp_path, gitlab_job(gitlab)).kplan("fetch", expect=1)
    assert "error[K615]" in ended.err and words in ended.err


# -- the action -------------------------------------------------------------------------------------------------------
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")


def commands(folder: Path) -> str:
    """A PATH where `kplan` is the one under test, as the install step leaves it."""
    script = folder / "kplan"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -m kplan "$@"\n'
    )
    script.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@dataclass
class Ran:
    """What came of a job: its exit code, all that was printed, and the steps that ran."""

    code: int = 0
    log: str = ""
    steps: list[str] = field(default_factory=list)


@dataclass
class Runner:
    """Runs the action's steps in a folder as GitHub's runner does, but for installing, which is done already."""

    github: FakeGitHub
    folder: Path
    temp: Path

    def run(self, event: Mapping[str, Any], variables: Mapping[str, str] = {}, **inputs: str) -> Ran:
        given = {key: str(each.get("default", "")) for key, each in ACTION["inputs"].items()}
        given |= {key.replace("_", "-"): value for key, value in inputs.items()}
        assert given.keys() == ACTION["inputs"].keys()
        context: dict[str, Any] = {
            "inputs": given,
            "steps": {},
            "runner": {"temp": str(self.temp)},
            "github": {"token": TOKEN, "sha": MERGED, "repository": self.github.repository, "event": event},
        }
        (self.temp / "event.json").write_text(json.dumps(event), "utf-8")
        given["token"] = self.filled(given["token"], context)
        ran = Ran()
        for step in ACTION["runs"]["steps"]:
            if (
                ran.code
                or not self.value(step.get("if", "true"), context)
                or step["name"] in ("Python", "Install kplan")
            ):
                continue
            ran.steps.append(step["name"])
            if "uses" in step:
                self.upload(step, context)
            else:
                self.shell(step, context, ran, variables)
        return ran

    def shell(self, step: Mapping[str, Any], context: dict[str, Any], ran: Ran, variables: Mapping[str, str]) -> None:
        output, summary = self.temp / "output", self.temp / "summary.md"
        output.write_text("", "utf-8")
        own = {key: self.filled(value, context) for key, value in step.get("env", {}).items()}
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "CI_", "KPLAN_", "KAFKA_"))}
        env = {
            **kept,
            "PATH": commands(self.temp),
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.github.url,
            "GITHUB_REPOSITORY": self.github.repository,
            "GITHUB_EVENT_PATH": str(self.temp / "event.json"),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_SHA": MERGED,
            "GITHUB_WORKSPACE": str(self.folder),
            **variables,
            **own,
        }
        script = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        cwd = self.folder / self.filled(step.get("working-directory", "."), context)
        done = subprocess.run(script, cwd=cwd, env=env, text=True, capture_output=True, timeout=240)
        ran.code, ran.log = done.returncode, ran.log + done.stdout + done.stderr
        pairs = (line.partition("=") for line in output.read_text("utf-8").splitlines())
        context["steps"][step.get("id", step["name"])] = {"outputs": {key: value for key, _, value in pairs}}
        for secret in (TOKEN, SECRET):
            assert secret not in ran.log
        assert "Traceback" not in ran.log

    def upload(self, step: Mapping[str, Any], context: dict[str, Any]) -> None:
        assert step["uses"].startswith("actions/upload-artifact@")
        paths = [Path(path) for path in self.filled(step["with"]["path"], context).split()]
        name, commit = (
            self.filled(step["with"]["name"], context),
            context["github"]["event"]["pull_request"]["head"]["sha"],
        )
        self.github.keep(name, {path.name: path.read_bytes() for path in paths}, commit)

    def filled(self, text: Any, context: Mapping[str, Any]) -> str:
        return EXPRESSION.sub(lambda found: str(self.value(found[1], context)), str(text))

    def value(self, expression: str, context: Mapping[str, Any]) -> Any:
        """The few forms of expressions that the action has: paths, texts, `==`, `!=`, `&&` and `||`."""
        words = re.findall(r"'[^']*'|==|!=|&&|\|\||[\w.-]+", expression)
        spelled = {"&&": "and", "||": "or", "true": "True", "==": "==", "!=": "!="}
        return eval(" ".join(spelled.get(w) or (w if w[0] == "'" else repr(self.path(w, context))) for w in words))

    def path(self, words: str, context: Any) -> Any:
        for key in words.split("."):
            context = context.get(key, "") if isinstance(context, Mapping) else ""
        return context

    @property
    def summary(self) -> str:
        return (self.temp / "summary.md").read_text("utf-8")


@pytest.fixture
def runner(github: FakeGitHub, work: Path, tmp_path: Path) -> Runner:
    (tmp_path / "temp").mkdir()
    return Runner(github, work, tmp_path / "temp")


def opened(github: FakeGitHub, fork: bool = False) -> dict[str, Any]:
    return {"number": 17, "pull_request": github.pull(HEAD, fork)}


INPUTS = {"env": "prod", "live": "live.json"}
PRODUCTION = {"PROD_ONLY": "x", "DB_PASSWORD": SECRET}


@pytest.mark.slow
def test_a_pull_request_is_planned_without_credentials_and_applied_when_it_is_merged(
    runner: Runner, github: FakeGitHub
) -> None:
    (runner.folder / "stacks" / "shop.yaml").write_text(MORE, "utf-8")
    ran = runner.run(opened(github), **INPUTS)
    assert ran.code == 0, ran.log
    assert ran.steps == ["Plan", "Keep the plan", "Comment", "Verdict"]
    (comment,) = github.comments
    assert comment.body.startswith("<!-- kplan:v1 stack=shop env=prod -->\n")
    assert "topic/shop.public.customers" in comment.body and "SNAPSHOT" in comment.body
    assert "topic/shop.public.customers" in runner.summary
    assert [a["name"] for a in github.artifacts] == [f"kplan-plan-{HEAD}"]

    again = runner.run(opened(github), **INPUTS)
    assert again.code == 0 and len(github.comments) == 1, "one comment, updated in place"

    ran = runner.run(opened(github), PRODUCTION, command="apply")
    assert ran.code == 0, ran.log
    assert ran.steps == ["Fetch the reviewed plan", "Apply"]
    assert "2 added" in ran.log or "1 added" in ran.log
    again = runner.run(opened(github), PRODUCTION, command="apply")
    assert again.code == 5 and "already applied" in again.log


@pytest.mark.slow
def test_the_same_with_credentials(runner: Runner, github: FakeGitHub) -> None:
    (runner.folder / "stacks" / "shop.yaml").write_text(MORE, "utf-8")
    ran = runner.run(opened(github), PRODUCTION, env="prod")
    assert ran.code == 0, ran.log
    assert "SNAPSHOT" not in github.comments[0].body
    assert runner.run(opened(github), PRODUCTION, command="apply").code == 0


@pytest.mark.slow
def test_a_danger_that_is_not_accepted_fails_the_job_and_is_shown(runner: Runner, github: FakeGitHub) -> None:
    (runner.folder / "stacks" / "shop.yaml").write_text(DANGEROUS, "utf-8")
    ran = runner.run(opened(github), **INPUTS)
    assert ran.code == 3
    assert "K404" in github.comments[0].body and "not accepted" in github.comments[0].body
    refused = runner.run(opened(github), PRODUCTION, command="apply")
    assert refused.code == 3, "what is blocked is not applied"


@pytest.mark.slow
def test_errors_fail_the_job_and_replace_the_plan_in_the_comment(runner: Runner, github: FakeGitHub) -> None:
    (runner.folder / "stacks" / "shop.yaml").write_text(MORE, "utf-8")
    assert runner.run(opened(github), **INPUTS).code == 0
    (runner.folder / "stacks" / "shop.yaml").write_text(MORE.replace("{partitions", "{partition"), "utf-8")
    ran = runner.run(opened(github), **INPUTS)
    assert ran.code == 4 and "Keep the plan" not in ran.steps
    (comment,) = github.comments
    assert "K106" in comment.body and "topic/shop.public.customers" not in comment.body
    assert "::error" in ran.log and "file=stacks/shop.yaml" in ran.log


@pytest.mark.slow
def test_without_changes_there_is_no_new_comment_when_asked(runner: Runner, github: FakeGitHub) -> None:
    assert runner.run(opened(github), **INPUTS, skip_no_changes="true").code == 0
    assert github.comments == []
    assert runner.run(opened(github), **INPUTS).code == 0
    assert "no changes" in github.comments[0].body.lower()


@pytest.mark.slow
def test_a_pull_request_from_a_fork_is_planned_and_shown_in_the_summary_alone(
    runner: Runner, github: FakeGitHub
) -> None:
    (runner.folder / "stacks" / "shop.yaml").write_text(MORE, "utf-8")
    ran = runner.run(opened(github, fork=True), **INPUTS)
    assert ran.code == 0 and "Comment" not in ran.steps
    assert github.comments == [] and "topic/shop.public.customers" in runner.summary


@pytest.mark.slow
def test_an_input_is_never_run(runner: Runner, github: FakeGitHub) -> None:
    evil = "$(touch stolen) `touch stolen` ; touch stolen"
    for name in ("stacks", "env", "live", "args", "artifact"):
        runner.run(opened(github), **{**INPUTS, name: evil})
    assert not list(runner.folder.rglob("stolen"))
    scripts = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    assert not [script for script in scripts if "${{" in script]


def test_what_kplan_reads_has_no_token() -> None:
    """A stack can show what stands in the environment of the process."""
    (step,) = (step for step in ACTION["runs"]["steps"] if step.get("id") == "plan")
    assert "token" not in json.dumps(step["env"]).lower()


# -- GitLab's template ------------------------------------------------------------------------------------------------
class Pipeline:
    """Runs jobs of the template as GitLab's runner does, but for installing, which is done already."""

    def __init__(self, gitlab: FakeGitLab, folder: Path, temp: Path, **inputs: str) -> None:
        head, jobs = yaml.safe_load_all((ROOT / "templates" / "kplan.gitlab-ci.yml").read_text("utf-8"))
        known = {name: str(each["default"]) for name, each in head["spec"]["inputs"].items()}
        assert inputs.keys() <= known.keys()
        text = re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", lambda found: {**known, **inputs}[found[1]], json.dumps(jobs))
        assert "$[[" not in text
        self.jobs = json.loads(text)
        self.gitlab, self.folder, self.temp = gitlab, folder, temp

    def run(self, name: str, **variables: str) -> Ran:
        given = {"CI_API_V4_URL": self.gitlab.api, "CI_PROJECT_ID": "1", "CI_JOB_TOKEN": JOB_TOKEN, "GITLAB_CI": "true",
                 "CI_PROJECT_DIR": str(self.folder), **variables}  # fmt: skip
        declared = self.jobs[self.jobs[name]["extends"]]["variables"]
        for key, value in declared.items():
            given[key] = re.sub(r"\$\{(\w+)\}", lambda found: given[found[1]], value)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "CI_", "KPLAN_", "KAFKA_"))}
        script = "set -eo pipefail\n" + "\n".join(self.jobs[name]["script"])
        env = {**kept, "PATH": commands(self.temp), **given}
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=env, text=True, capture_output=True, timeout=240
        )
        log = done.stdout + done.stderr
        for secret in (TOKEN, JOB_TOKEN, SECRET):
            assert secret not in log
        return Ran(done.returncode, log)


REQUEST = {"CI_MERGE_REQUEST_IID": "17", "CI_MERGE_REQUEST_PROJECT_ID": "1", "KPLAN_GITLAB_TOKEN": TOKEN}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the template's image has curl, this machine has not")
def test_a_merge_request_is_planned_from_the_newest_snapshot_and_applied_when_it_is_merged(
    gitlab: FakeGitLab, work: Path, tmp_path: Path
) -> None:
    pipeline = Pipeline(gitlab, work, tmp_path, env="prod", live="true")
    early = pipeline.run("kplan-plan", **REQUEST)
    assert early.code == 22 and "404" in early.log, "there is no snapshot yet, says curl"
    (work / "live.json").unlink()
    assert pipeline.run("kplan-snapshot", **PRODUCTION).code == 0

    (work / "stacks" / "shop.yaml").write_text(MORE, "utf-8")
    ran = pipeline.run("kplan-plan", **REQUEST)
    assert ran.code == 0, ran.log
    (comment,) = gitlab.comments
    assert "topic/shop.public.customers" in comment.body and "SNAPSHOT" in comment.body
    for path in pipeline.jobs["kplan-plan"]["artifacts"]["paths"]:
        assert (work / path).is_file()
    assert (work / "plan.xml").is_file()
    assert pipeline.run("kplan-plan", **REQUEST).code == 0 and len(gitlab.comments) == 1

    gitlab.merge(MERGED, (work / "plan.json").read_bytes())
    (work / "plan.json").unlink()
    merged = {"CI_COMMIT_SHA": MERGED, "KPLAN_GITLAB_TOKEN": TOKEN, **PRODUCTION}
    ran = pipeline.run("kplan-apply", **merged)
    assert ran.code == 0, ran.log
    assert "Applied" in ran.log


@pytest.mark.slow
def test_a_merge_request_with_a_danger_fails_with_its_comment(gitlab: FakeGitLab, work: Path, tmp_path: Path) -> None:
    (work / "stacks" / "shop.yaml").write_text(DANGEROUS, "utf-8")
    pipeline = Pipeline(gitlab, work, tmp_path, env="prod")
    assert pipeline.run("kplan-plan", **REQUEST, **PRODUCTION).code == 3
    assert "K404" in gitlab.comments[0].body


@pytest.mark.slow
def test_without_a_token_the_plan_is_made_and_not_shown(gitlab: FakeGitLab, work: Path, tmp_path: Path) -> None:
    pipeline = Pipeline(gitlab, work, tmp_path, env="prod")
    assert pipeline.run("kplan-plan", **PRODUCTION).code == 0
    assert gitlab.comments == [] and (work / "plan.json").is_file()


@pytest.mark.slow
def test_without_changes_the_template_writes_no_comment_when_asked(
    gitlab: FakeGitLab, work: Path, tmp_path: Path
) -> None:
    pipeline = Pipeline(gitlab, work, tmp_path, env="prod", **{"skip-no-changes": "true"})
    assert pipeline.run("kplan-plan", **REQUEST, **PRODUCTION).code == 0
    assert gitlab.comments == []


# -- the manual -------------------------------------------------------------------------------------------------------
MANUAL = (ROOT / "docs" / "ci.md").read_text("utf-8")
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(language: str) -> list[str]:
    return [text for found, text in FENCED.findall(MANUAL) if found == language]


def scripts(data: Any) -> Iterator[str]:
    """What jobs run."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key in ("run", "script"):
                yield from [value] if isinstance(value, str) else value
            else:
                yield from scripts(value)
    elif isinstance(data, list):
        for value in data:
            yield from scripts(value)


def command_lines() -> list[str]:
    """Every `kplan …` of the manual, the action and the template, as one line each."""
    texts = examples("console") + examples("bash")
    texts += [script for text in examples("yaml") for script in scripts(yaml.safe_load(text))]
    texts += [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    _, jobs = yaml.safe_load_all((ROOT / "templates" / "kplan.gitlab-ci.yml").read_text("utf-8"))
    texts += list(scripts(jobs))
    lines = [line.strip().removeprefix("$ ") for text in texts for line in text.replace("\\\n", " ").splitlines()]
    found = [line for line in lines if line.startswith("kplan ")]
    return found + re.findall(r"`(kplan [a-z]+ [^`]+)`", MANUAL)


# What a script puts in place of a variable or an array, so that the line is one that is typed.
SHELL = {r'"?\$\{where\[@\]\}"?': "--env prod", r'"?\$\{made\[@\]\}"?': "--out plan.json", r'"?\$\{flags\[@\]\}"?': "",
         r"\$IN_STACKS": "stacks", r"\$(where|made|skip|IN_ARGS)\b": "", r'"\$\w+(/[\w.]+)?"': "file.json"}  # fmt: skip


def typed(line: str) -> list[str]:
    line = re.split(r"\|\||&&|;| #", line)[0]
    for pattern, stand_in in SHELL.items():
        line = re.sub(pattern, stand_in, line)
    assert "$" not in line, line
    return shlex.split(line)[1:]


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_every_command_line_is_one_that_kplan_takes(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = typed(line)
    assert words[0] in COMMANDS, line
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    command.make_context(f"kplan {words[0]}", words[1:])  # raises UsageError


def test_the_manual_has_command_lines_of_each_kind() -> None:
    assert {typed(line)[0] for line in command_lines()} >= {"validate", "plan", "comment", "fetch", "apply", "snapshot"}


def test_the_yaml_of_the_manual_is_yaml_and_uses_what_there_is() -> None:
    found = [yaml.safe_load(text) for text in examples("yaml")]
    assert len(found) >= 4
    steps = [step for data in found for job in (data.get("jobs") or {}).values() for step in job["steps"]]
    ours = [step for step in steps if "/kplan@" in step.get("uses", "")]
    assert {step.get("with", {}).get("command", "plan") for step in ours} == {"plan", "apply", "install"}
    for step in ours:
        assert step.get("with", {}).keys() <= ACTION["inputs"].keys()
    head, _ = yaml.safe_load_all((ROOT / "templates" / "kplan.gitlab-ci.yml").read_text("utf-8"))
    included = [each for data in found for each in data.get("include") or []]
    assert included
    for each in included:
        assert each.get("inputs", {}).keys() <= head["spec"]["inputs"].keys()


def test_every_script_is_one_that_bash_reads() -> None:
    _, jobs = yaml.safe_load_all((ROOT / "templates" / "kplan.gitlab-ci.yml").read_text("utf-8"))
    for script in [*scripts(jobs), *scripts(ACTION)]:
        done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        assert done.returncode == 0 and not done.stderr, done.stderr


def test_the_manual_names_each_input() -> None:
    assert not [name for name in ACTION["inputs"] if f"`{name}`" not in MANUAL]


# -- the action's installation ----------------------------------------------------------------------------------------
PYTHON = """\
#!/bin/sh
# `python3 -m venv FOLDER` makes a python that writes down what it installs
mkdir -p "$3/bin"
cat > "$3/bin/python" <<END
#!/bin/sh
echo "\\$@" >> "$RUNNER_TEMP/installed"
printf '#!/bin/sh\\nexit 0\\n' > "$3/bin/kplan"
chmod +x "$3/bin/kplan"
END
chmod +x "$3/bin/python"
"""


def install(folder: Path, version: str) -> str:
    """Run the action's installation with a python3 that only writes; return all that was installed so far."""
    [step] = [step for step in ACTION["runs"]["steps"] if step["name"] == "Install kplan"]
    python = folder / "bin" / "python3"
    python.parent.mkdir(exist_ok=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    process = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "RUNNER_TEMP": str(folder), "IN_VERSION": version,
        "GITHUB_PATH": str(folder / "path"), "GITHUB_ACTION_PATH": "/the/action",
    }  # fmt: skip
    subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], env=process, check=True)
    assert (folder / "path").read_text().splitlines()[-1] == str(folder / "kplan" / "bin")
    return (folder / "installed").read_text()


def test_the_action_installs_a_released_version_once_and_again_where_the_cache_is_broken(tmp_path: Path) -> None:
    assert install(tmp_path, "1.2.3").splitlines()[-1].endswith(" kplan==1.2.3")
    assert install(tmp_path, "1.2.3").count("pip install") == 1
    (tmp_path / "kplan" / "bin" / "kplan").write_text("#!/no/such/python\n")
    assert install(tmp_path, "1.2.3").count("kplan==1.2.3") == 2


def test_the_action_installs_itself_where_no_version_is_named(tmp_path: Path) -> None:
    assert install(tmp_path, "").splitlines()[-1].endswith(" /the/action")


def test_the_cache_of_the_action_has_the_folder_of_the_installation_for_each_version_and_python() -> None:
    [cache] = [step for step in ACTION["runs"]["steps"] if step.get("uses", "").startswith("actions/cache@")]
    assert cache["if"] == "inputs.version != ''" and cache["with"]["path"] == "${{ runner.temp }}/kplan"
    assert "inputs.version" in cache["with"]["key"] and "inputs.python-version" in cache["with"]["key"]
