"""Import every file of a folder, and judge what came of each: `make corpus DIR`.

A unit is a file, or all files of Terraform in one folder. A folder DIR/OWNER+NAME is a repository; its file `.commit`
names the commit. The table goes to standard output: repository, commit, path, sha256, outcome, and why. The numbers of
outcomes, and of the lines of Debezium stacks and of their JSON, go to standard error.

    exact     a stack without a note
    noted     a stack, and a note about what it does not declare
    nothing   nothing for a stack, and a note about each reason
    refused   an error with a place or a format, and what to do
    unclear   an error without these, or in kplan itself
    lost      a name of the file that is neither in the stack nor in a note
    changing  a stack that was applied on a simulated cluster, and whose second plan is not empty
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.corpus.judge import judge
from tests.corpus.lines import LineCounts, compare_lines, describe_lines

TERRAFORM = (".tf", ".tfvars")
ENDINGS = (*TERRAFORM, ".yaml", ".yml", ".json", ".properties", ".txt")


@dataclass(frozen=True)
class Unit:
    """Files that are imported together, relative to their repository."""

    repository: Path
    path: str
    files: tuple[str, ...]

    @property
    def digest(self) -> str:
        content = b"".join((self.repository / file).read_bytes() for file in self.files)
        return hashlib.sha256(content).hexdigest()


def list_units(root: Path) -> Iterator[Unit]:
    for repository in sorted(path for path in root.iterdir() if path.is_dir()):
        folders: dict[str, list[str]] = {}
        for file in sorted(repository.rglob("*")):
            name = file.relative_to(repository).as_posix()
            if not file.is_file() or not name.endswith(ENDINGS):
                continue
            if name.endswith(TERRAFORM):
                folders.setdefault(name.rpartition("/")[0], []).append(name)
            else:
                yield Unit(repository, name, (name,))
        yield from (
            Unit(repository, f"{folder}/" if folder else "./", tuple(files)) for folder, files in folders.items()
        )


def main(root: Path) -> int:
    outcomes: Counter[str] = Counter()
    counts: list[LineCounts] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:

        def run(numbered: tuple[int, Unit]) -> tuple[Unit, str, str]:
            number, unit = numbered
            target = Path(folder, str(number))
            outcome, reason = judge(unit.repository, unit.files, target)
            if unit.path.endswith(".json") and (target / "stack.yaml").exists():
                original = (unit.repository / unit.path).read_text("utf-8", "replace")
                lines = compare_lines(original, (target / "stack.yaml").read_text("utf-8"))
                counts.extend([lines] if lines else [])
            return unit, outcome, reason

        for unit, outcome, reason in pool.map(run, enumerate(list_units(root))):
            outcomes[outcome] += 1
            commit = unit.repository / ".commit"
            row = (
                unit.repository.name.replace("+", "/", 1),
                commit.read_text().strip() if commit.exists() else "",
                unit.path,
                unit.digest,
                outcome,
                re.sub(r"\s+", " ", reason)[:160],
            )
            print("\t".join(row), flush=True)
    print(", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common()), file=sys.stderr)
    if counts:
        print(describe_lines(counts), file=sys.stderr)
    return 1 if outcomes["unclear"] + outcomes["lost"] + outcomes["changing"] else 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("error: say which folder: make corpus DIR=FOLDER")
    sys.exit(main(Path(sys.argv[1])))
