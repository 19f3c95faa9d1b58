"""A release can be made from a tag up to the upload, and what makes it in CI is linted."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from kplan import __version__

pytestmark = pytest.mark.xdist_group("packaging")
ROOT = Path(__file__).parents[2]
TAG = f"v{__version__}"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git knows, whose changelog has a date."""
    folder = tmp_path_factory.mktemp("release") / "kplan"
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, text=True, check=True)  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    changelog = folder / "CHANGELOG.md"
    changelog.write_text(
        changelog.read_text().replace(f"[{__version__}] - unreleased", f"[{__version__}] - 2026-01-31")
    )
    return folder


def release(folder: Path, *arguments: str) -> tuple[int, str]:
    ended = subprocess.run([sys.executable, ".ci/release.py", *arguments], cwd=folder, capture_output=True, text=True,
                           timeout=300, check=False)  # fmt: skip
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.slow
def test_a_release_has_all_its_files_and_their_checksums(checkout: Path) -> None:
    code, said = release(checkout, TAG)
    assert code == 0, said
    dist = checkout / "dist"
    names = {file.name for file in dist.iterdir()}
    assert names == {
        "NOTES.md", "SHA256SUMS", f"kplan-{__version__}-man.tar.gz", f"kplan-{__version__}-py3-none-any.whl",
        f"kplan-{__version__}.cdx.json", f"kplan-{__version__}.tar.gz",
    }  # fmt: skip
    for line in (dist / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == digest
    bill = json.loads((dist / f"kplan-{__version__}.cdx.json").read_text())
    components = {each["name"].lower(): each["version"] for each in bill["components"]}
    assert bill["bomFormat"] == "CycloneDX" and components["kplan"] == __version__
    assert {"click", "confluent-kafka", "jsonschema", "requests"} <= components.keys()
    with tarfile.open(dist / f"kplan-{__version__}-man.tar.gz") as archive:
        pages = archive.getnames()
        plan = archive.extractfile("kplan-plan.1")
        assert plan is not None and rb"\-\-out" in plan.read()
    assert {"kplan.1", "kplan-apply.1", "kplan-connector-restart.1"} <= set(pages)
    assert "### Added" in (dist / "NOTES.md").read_text()


def test_a_tag_that_is_not_the_version_is_refused(checkout: Path) -> None:
    code, said = release(checkout, "v9.9.9")
    assert code == 1 and f"the tag is v9.9.9, and kplan/version.py says {__version__}" in said
    assert release(checkout)[0] == 2


def test_a_version_without_a_date_is_refused(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kplan"
    for name in ("kplan/version.py", ".ci/release.py", "CHANGELOG.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    changelog = folder / "CHANGELOG.md"
    changelog.write_text(f"# Changelog\n\n## [{__version__}] - unreleased\n\nMuch.\n")
    assert "has no date" in release(folder, TAG)[1]
    changelog.write_text("# Changelog\n")
    assert "says nothing of version" in release(folder, TAG)[1]


def test_the_workflow_runs_that_command_with_few_rights_and_pinned_actions() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert 'make release "TAG=$TAG"' in [step.get("run") for step in steps]
    assert workflow["permissions"] == {} and all("permissions" in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("file", [".github/workflows/release.yml", "action.yml"])
def test_zizmor_finds_nothing_in_what_runs_at_github(file: str) -> None:
    """Exceptions stand in the files, each with its reason."""
    judged = subprocess.run(["zizmor", "--offline", "--no-progress", file], cwd=ROOT, capture_output=True, text=True,
                            env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}, check=False)  # fmt: skip
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_actions_are_pinned_alike_wherever_they_are_used() -> None:
    """The same action has the same commit and the same version in all files, so that one search updates it."""
    pins: dict[str, set[str]] = {}
    for file in (".github/workflows/release.yml", "action.yml"):
        for action, pin in re.findall(r"uses: (\S+?)@(.+)$", (ROOT / file).read_text(), re.MULTILINE):
            pins.setdefault(action, set()).add(pin)
    assert {"actions/setup-python", "actions/upload-artifact", "actions/cache"} <= pins.keys()
    for action, versions in pins.items():
        [pin] = versions
        assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin), f"{action}: {pin}"


def test_the_image_has_what_the_agent_and_the_databases_need() -> None:
    extras = re.search(r'"\.\[([\w,]+)\]"', (ROOT / "Dockerfile").read_text())
    assert extras and {"agent", "postgres", "mysql"} <= set(extras[1].split(","))


def test_the_hooks_of_pre_commit_are_commands_that_exist() -> None:
    from kplan.cli import COMMANDS

    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert [hook["id"] for hook in hooks] == ["kplan-fmt", "kplan-validate"]
    assert all(hook["entry"].split()[1] in COMMANDS and hook["language"] == "python" for hook in hooks)


def test_the_citation_names_the_version() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
