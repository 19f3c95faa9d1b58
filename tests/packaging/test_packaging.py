"""The wheel and the sdist: what is inside, and that they install and run where there is nothing else.

The wheel is installed with its dependencies into an environment of its own for this Python, and for each other version
that kplan supports and this machine has.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kplan import __version__
from tests.services.fixtures import without

pytestmark = pytest.mark.xdist_group("packaging")  # of processes side by side one builds and installs
ROOT = Path(__file__).parents[2]
SUPPORTED = ("3.11", "3.12", "3.13")
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
STACK = """\
version: 1
stack: shop
variables: {db_password: {type: string, env: DB_PASSWORD, sensitive: true}}
connectors:
  shop:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.db_password }}"}
    tables: [orders]
"""
TEST = """\
def test_it(kplan_cluster):
    assert kplan_cluster.plan("shop.yaml").summary.add == 3
"""


def run(*words: str | Path, folder: Path, expect: int = 0, **more: str) -> str:
    """What a program prints that sees neither this checkout nor the settings of this process."""
    known = {"PATH": os.defpath, "HOME": str(Path.home()), "DB_PASSWORD": "only-a-test-7f3a"}
    kept = {
        k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_", "HTTP")) or k.lower().endswith("_proxy")
    }
    ended = subprocess.run([str(word) for word in words], cwd=folder, text=True, capture_output=True, timeout=300,
                           env={**kept, **known, **more}, stdin=subprocess.DEVNULL)  # fmt: skip
    assert ended.returncode == expect, f"{words}\n{ended.stdout[-2000:]}{ended.stderr[-4000:]}"
    return ended.stdout


# -- what is built ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the sdist of this checkout."""
    pytest.importorskip("hatchling", reason="the build backend is not installed: `make setup` does that")
    made: Path = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", made, folder=ROOT, PYTHONDONTWRITEBYTECODE="1")
    return made


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


def contents(wheel: Path) -> Mapping[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_has_all_that_runs_and_nothing_else(wheel: Path) -> None:
    tracked = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kplan").rglob("*")
               if path.is_file() and "__pycache__" not in path.parts}  # fmt: skip
    schemas = {f"kplan/schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")}
    inside = {name for name in contents(wheel) if ".dist-info/" not in name}
    assert inside == tracked | schemas
    needed = {"kplan/py.typed", "kplan/schemas/stack.v1.json", "kplan/connectors/debezium-mysql.yaml",
              "kplan/render/templates/plan.html.j2"}  # fmt: skip
    assert needed <= inside


def test_the_sdist_builds_the_same_wheel(built: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for name in ("LICENSE", "CHANGELOG.md", "Makefile", "tests/conftest.py", "docs/library.md", "stacks/demo.py"):
        assert (source / name).is_file(), name
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again", folder=source)
    assert contents(next((tmp_path / "again").glob("*.whl"))) == contents(wheel)


def test_the_metadata_is_valid_and_complete(wheel: Path) -> None:
    from packaging.metadata import Metadata
    from trove_classifiers import classifiers

    inside = contents(wheel)
    about = f"kplan-{__version__}.dist-info"
    metadata = Metadata.from_email(inside[f"{about}/METADATA"])  # raises where a field is wrong
    assert (metadata.name, str(metadata.version)) == ("kplan", __version__)
    assert str(metadata.requires_python) == ">=3.11"
    assert (metadata.license_expression, metadata.license_files) == ("Apache-2.0", ["LICENSE"])
    assert inside[f"{about}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert metadata.description_content_type == "text/markdown"
    assert {"postgres", "mysql", "terraform"} <= set(metadata.provides_extra or ())
    given = set(metadata.classifiers or ())
    assert given <= set(classifiers)
    assert {f"Programming Language :: Python :: {version}" for version in SUPPORTED} <= given
    points = inside[f"{about}/entry_points.txt"].decode()
    assert "kplan = kplan.__main__:main" in points
    assert "[pytest11]\nkplan = kplan.pytest_plugin" in points


def test_the_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## \[(.+?)\] - (\S+)$", text, re.MULTILINE)
    assert versions[0][0] == __version__
    dates = [date for _, date in versions[0 if versions[0][1] != "unreleased" else 1 :]]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in dates)
    assert dates == sorted(dates, reverse=True)


# -- where it is installed --------------------------------------------------------------------------------------------
@functools.cache
def interpreter(version: str) -> Path | None:
    """A Python of that version: this one, one on PATH, or pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    on_path = shutil.which(f"python{version}")
    found = [*([sys.executable] if version == OWN else []), *([on_path] if on_path else []),
             *sorted(pyenv.glob(f"{version}.*/bin/python"))]  # fmt: skip
    for each in map(Path, found):
        said = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
        ended = subprocess.run([each, "-c", said], text=True, capture_output=True)
        if (ended.returncode, ended.stdout.strip()) == (0, version):  # a shim of pyenv may lead nowhere
            return each
    return None


def installed(version: str, wheel: Path, folder: Path) -> Path | str:
    """The `python` of a new environment that has the wheel and what it needs; or why that cannot be had."""
    base = interpreter(version)
    if base is None:
        return f"this machine has no Python {version}"
    run(base, "-m", "venv", "--without-pip", folder, folder=folder.parent)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "--quiet"]
    try:
        more = ["pytest"] if version == OWN else []
        run(*pip, "--no-compile", "--only-binary=:all:", wheel, *more, folder=folder)
    except AssertionError as e:
        if re.search(r"No matching distribution|Connection|Temporary failure", str(e)):
            return f"the packages that kplan needs cannot be had for Python {version}"
        raise
    return python


@pytest.fixture(scope="session")
def environments(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Path | str]]:
    """Where the wheel is installed, by version of Python; made two at a time."""
    folder = tmp_path_factory.mktemp("environments")
    with ThreadPoolExecutor(2) as pool:
        made = {version: pool.submit(installed, version, wheel, folder / version) for version in SUPPORTED}
        yield {version: future.result() for version, future in made.items()}
    shutil.rmtree(folder, ignore_errors=True)


def python_of(version: str, environments: Mapping[str, Path | str]) -> Path:
    found = environments[version]
    if isinstance(found, str):
        if version == OWN:
            without(found)
        pytest.skip(found)
    return found


@pytest.mark.parametrize("version", SUPPORTED)
def test_the_wheel_plans_and_applies(version: str, environments: Mapping[str, Path | str], tmp_path: Path) -> None:
    python = python_of(version, environments)
    kplan = functools.partial(run, python.with_name("kplan"), folder=tmp_path)
    (tmp_path / "shop.yaml").write_text(STACK)
    assert f"kplan {__version__}\nPython {version}." in kplan("version")
    assert "Plan: 3 to add" in kplan("plan", "shop.yaml", "--report", "html=plan.html", "--out", "plan.json")
    assert "<html" in (tmp_path / "plan.html").read_text()
    assert "Applied 3 of 3" in kplan("apply", "plan.json")
    where = "import kplan; print(kplan.plan(kplan.load('shop.yaml')).summary.unchanged, kplan.__file__)"
    assert run(python, "-c", where, folder=tmp_path).startswith(f"3 {python.parents[1]}")


def test_pytest_finds_the_fixture(environments: Mapping[str, Path | str], tmp_path: Path) -> None:
    python = python_of(OWN, environments)
    (tmp_path / "shop.yaml").write_text(STACK)
    (tmp_path / "test_it.py").write_text(TEST)
    assert "1 passed" in run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=tmp_path)


def test_type_checkers_see_the_types(environments: Mapping[str, Path | str], tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    python = python_of(OWN, environments)
    shutil.copy(ROOT / "stacks" / "plan_from_python.py", tmp_path)
    (tmp_path / "wrong.py").write_text("import kplan\n\nkplan.plan('shop.yaml')\nkplan.aply\n")
    mypy = functools.partial(run, sys.executable, "-m", "mypy", "--strict", "--python-executable", python,
                             "--cache-dir", tmp_path / "cache", folder=tmp_path)  # fmt: skip
    mypy("plan_from_python.py")
    said = mypy("wrong.py", expect=1)
    assert re.findall(r"wrong.py:(\d+): error: .*\[([\w-]+)\]", said) == [("3", "arg-type"), ("4", "attr-defined")]
