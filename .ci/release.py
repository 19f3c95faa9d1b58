"""Make everything of a release in dist/ that needs no login: `make release TAG=v1.2.3`. Nothing is uploaded.

Wheel and sdist, checked and installed once where nothing else is; man pages; a software bill of materials of what an
installation of the wheel has (CycloneDX); checksums; and the notes, which are the version's part of CHANGELOG.md.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
SECTION = r"^## \[{version}\] - (?P<date>\S+)\n(?P<notes>.*?)(?=^## \[|\Z)"


def main(arguments: Sequence[str]) -> int:
    """Make the release of the tag; return the exit code."""
    if len(arguments) != 1:
        print("error: say which tag: make release TAG=v1.2.3", file=sys.stderr)
        return 2
    try:
        make_release(arguments[0])
    except (ValueError, subprocess.CalledProcessError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    return 0


def make_release(tag: str) -> None:
    """Write the files of the release. Raises ValueError where the tag, the version and the changelog disagree."""
    version = read_version()
    if tag != f"v{version}":
        raise ValueError(f"the tag is {tag}, and kplan/version.py says {version}: tag v{version}, or raise the version")
    notes = read_notes(version)
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "hatchling", "build")
    packages = sorted(DIST.iterdir())
    run(sys.executable, "-m", "twine", "check", "--strict", *packages)
    (wheel,) = DIST.glob("*.whl")
    with tempfile.TemporaryDirectory() as made:
        python = install(wheel, Path(made, "venv"))
        printed = run(python, "-m", "kplan", "--version", capture=True)
        if version not in printed:
            raise ValueError(f"the installed wheel says {printed.strip()!r}, not {version}")
        bill = DIST / f"kplan-{version}.cdx.json"
        run(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--output-file", bill, python)
        write_man_pages(version, Path(made, "man"))
    (DIST / "NOTES.md").write_text(notes, "utf-8")
    files = sorted(file for file in DIST.iterdir() if file.name != "NOTES.md")
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (DIST / "SHA256SUMS").write_text("".join(lines), "utf-8")
    print(f"{tag}: {', '.join(file.name for file in sorted(DIST.iterdir()))}")


def read_version() -> str:
    """Return the version that the package will have."""
    (version,) = re.findall(r'__version__ = "([^"]+)"', (ROOT / "kplan" / "version.py").read_text("utf-8"))
    return str(version)


def read_notes(version: str) -> str:
    """Return what CHANGELOG.md says of the version. Raises ValueError where it says nothing, or has no date."""
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    section = re.search(SECTION.format(version=re.escape(version)), changelog, re.MULTILINE | re.DOTALL)
    if section is None or not section["notes"].strip():
        raise ValueError(f"CHANGELOG.md says nothing of version {version}")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", section["date"]):
        raise ValueError(f"CHANGELOG.md has no date for version {version}, but {section['date']!r}")
    return section["notes"].strip() + "\n"


def install(wheel: Path, folder: Path) -> Path:
    """Install the wheel into an environment of its own, and return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    return python


def write_man_pages(version: str, folder: Path) -> None:
    """Write the manual page of each command, as an archive to unpack into share/man/man1."""
    import click
    from click_man.core import generate_man_page

    from kplan.cli import cli

    folder.mkdir()
    waiting = [click.Context(cli, info_name="kplan")]
    while waiting:
        context = waiting.pop()
        page = folder / f"{context.command_path.replace(' ', '-')}.1"
        page.write_text(generate_man_page(context, version), "utf-8")
        if isinstance(context.command, click.Group):
            names = context.command.list_commands(context)
            below = [(name, context.command.get_command(context, name)) for name in names]
            waiting += [click.Context(each, info_name=name, parent=context) for name, each in below if each]
    with tarfile.open(DIST / f"kplan-{version}-man.tar.gz", "w:gz") as archive:
        for page in sorted(folder.iterdir()):
            archive.add(page, page.name)


def run(*words: str | Path, capture: bool = False) -> str:
    """Run a command in the repository; return what it prints where that is asked for."""
    ended = subprocess.run([str(word) for word in words], cwd=ROOT, check=True, text=True,
                           stdout=subprocess.PIPE if capture else None)  # fmt: skip
    return ended.stdout or ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
