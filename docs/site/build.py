"""Build the documentation as a site into build/site: `make site`. A link that leads nowhere is an error."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "build" / "site-source"
PAGES = ("*.md", "docs/*.md", "docs/reference/*.md", "stacks/estate/*.md", "tests/faults/*.md")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(?=[)#])")
COMMENT = re.compile(r"^<!--.*-->\n", re.MULTILINE)  # what tests of the pages read


def main() -> int:
    """Copy the pages and the files that they link, and build the site."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for page in sorted({page for pattern in PAGES for page in ROOT.glob(pattern)}):
        text = page.read_text("utf-8")
        for link in LINK.findall(text):
            linked = (page.parent / link).resolve()
            if linked.is_file() and linked.suffix != ".md" and linked.is_relative_to(ROOT):
                copy(linked)
        target = SOURCE / page.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(COMMENT.sub("", text), "utf-8")
    config = Path(__file__).with_name("mkdocs.yml")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", str(config)]
    process = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # a notice about its next version, not about the pages
    return subprocess.run(command, cwd=ROOT, env=process, check=False).returncode


def copy(file: Path) -> None:
    """Copy a file to the place that it has in the repository."""
    target = SOURCE / file.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


if __name__ == "__main__":
    sys.exit(main())
