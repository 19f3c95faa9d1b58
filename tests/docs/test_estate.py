"""stacks/estate without a server: its simulated environment, and the others as a pull request plans them.

tests/services/test_estate.py follows the rest of its README on real servers.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.guides import Reader, only_shown
from tests.shell import Shell

ROOT = Path(__file__).parents[2]
ESTATE = ROOT / "stacks" / "estate"
README = (ESTATE / "README.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL))
EMPTY_CLUSTER = {
    "cluster_id": "5L6g3nShT-eMCtK", "bootstrap": "kafka:9093", "brokers": 3, "simulated": "",
    "connect_url": "http://connect:8083", "connect_version": "4.3.1",
    "connects": [{"alias": "sinks", "url": "http://connect-sinks:8083", "version": "4.3.1"}],
}  # fmt: skip


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shutil.copytree(ESTATE, tmp_path / "estate", ignore=shutil.ignore_patterns(".kplan"))
    return Shell(tmp_path / "estate")


def refuse_programs(shell: Shell, folder: Path) -> None:
    """Put programs into PATH that leave a trace: no plan without servers may run one."""
    folder.mkdir()
    for name in ("vault", "sops"):
        (folder / name).write_text(f"#!/bin/sh\ntouch {folder / 'ran'}\nexit 1\n")
        (folder / name).chmod(0o755)
    shell.environment["PATH"] = f"{folder}:/usr/bin:/bin"


def write_snapshot(shell: Shell, environment: str, topics: dict[str, object] | None = None) -> None:
    """Write what stands for a snapshot of an environment in which these topics are all there is."""
    shell.kplan("snapshot", "teams", "--env", "dev", "--out", "dev.json")
    taken = json.loads((shell.folder / "dev.json").read_text("utf-8"))
    shell.write("live.json", json.dumps({**taken, **EMPTY_CLUSTER, "env": environment, "topics": topics or {}}))


def test_the_simulated_environment_is_as_the_page_shows_it(shell: Shell) -> None:
    Reader(shell).follow(SECTIONS["dev, simulated"])


def test_two_environments_differ_as_the_page_shows_it(shell: Shell) -> None:
    Reader(shell).follow(SECTIONS["staging and prod compared"])


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_an_environment_validates_and_plans_without_servers_and_passwords(
    shell: Shell, environment: str, tmp_path: Path
) -> None:
    refuse_programs(shell, tmp_path / "bin")
    write_snapshot(shell, environment)
    where = ("--env", environment, *(("--var-file", "secrets.prod.yaml") if environment == "prod" else ()))
    assert "25 resources are valid" in shell.kplan("validate", "teams", *where).out
    planned = shell.kplan("plan", "teams", *where, "--live", "live.json", "--brief").out
    assert "25 to add, 0 to change, 0 to delete" in " ".join(planned.split())
    assert "connector/sinks/orders-archive" in planned
    assert not (tmp_path / "bin" / "ran").exists()


def test_what_production_forbids_is_refused(shell: Shell) -> None:
    text = (shell.folder / "teams" / "platform.yaml").read_text("utf-8")
    shell.write("teams/platform.yaml", text.replace("partitions: 3\n", "partitions: 3\n    replication_factor: 2\n"))
    assert "error[K213]" in shell.kplan("validate", "teams", "--env", "prod", expect=4).out
    shell.kplan("validate", "teams", "--env", "staging")


def test_the_internal_topics_of_the_sinks_are_refused(shell: Shell) -> None:
    topic = {"partitions": 25, "replication_factor": 3, "config": {}}
    write_snapshot(shell, "staging", {"sinks-offsets": topic})
    platform = (shell.folder / "teams" / "platform.yaml").read_text("utf-8")
    shell.write("teams/platform.yaml", f"{platform}removed: [{{topic: sinks-offsets}}]\n")
    where = ("--env", "staging", "--live", "live.json", "--accept", "delete:*")
    assert "error[K234]" in shell.kplan("plan", "teams/platform.yaml", *where, expect=4).err


def test_the_page_shows_nothing_that_no_test_runs() -> None:
    assert not only_shown(README)
    assert {title for title, text in SECTIONS.items() if "$ kplan" in text} == {
        "dev, simulated", "dev, on your machine", "staging", "prod", "staging and prod compared",
    }  # fmt: skip


def test_the_page_names_the_files_that_there_are() -> None:
    table = README.partition("| environment |")[0]
    named = set(re.findall(r"`([\w/.-]+\.\w+)`", table))
    there = {path.relative_to(ESTATE).as_posix() for path in ESTATE.rglob("*") if path.is_file()}
    assert named <= there
    assert {path for path in there if not path.startswith(".kplan")} - named == {"README.md", "teams/audit.avsc"}


def test_no_environment_has_a_password_in_its_file() -> None:
    """Those of staging and prod come from outside, and the files of addresses have none."""
    environments = yaml.safe_load((ESTATE / "kplan.yaml").read_text("utf-8"))["environments"]
    found = [
        value
        for name in ("staging", "prod")
        for place in (environments[name]["kafka"], *environments[name]["connect"].values())
        for key, value in place.items()
        if key.endswith(("password", "secret"))
    ]
    assert len(found) == 4 and all(value.startswith(("{{ env.", "{{ secret.")) for value in found)
    for file in ("staging.env", "prod.env"):
        names = re.findall(r"^(\w+)=", (ESTATE / file).read_text("utf-8"), re.MULTILINE)
        assert names and not any(re.search("SECRET|PASSWORD|TOKEN$", name) for name in names)
