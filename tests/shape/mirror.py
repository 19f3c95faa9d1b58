"""Which test files of tests/unit do not stand where the tests of their module are looked for.

`tests/unit/P/test_M.py` mirrors the module `kplan/P/M.py` or the package `kplan/P/M/`; what concerns all of a package
`P` is in `tests/unit/P/test_P.py`. Tests of what no single package does are in `tests/unit` itself, and listed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

# The name of the file -> what it tests, of which packages.
CROSS_CUTTING: Mapping[str, str] = {
    "test_advice": "what an error says was meant, whichever of language, project and kinds finds it",
    "test_fuzz": "mutated stacks, environments and plans: language, project and planning",
    "test_hostile_documents": "broken snapshots, plans and records: planning, servers and state",
    "test_imports": "what the packages import of each other",
    "test_later_versions": "unknown keys and words in every document that is read: planning, servers and state",
}


def misplaced_tests(root: Path = ROOT) -> list[str]:
    """Return the test files that mirror neither a module nor a package and are not listed, by path."""
    unit = root / "tests" / "unit"
    homes = (root / "kplan", root / "tests")  # the measures of tests/shape have tests, too
    return [
        path.relative_to(root).as_posix()
        for path in sorted(unit.rglob("test_*.py"))
        if not any(_mirrors(path.relative_to(unit), home) for home in homes)
    ]


def _mirrors(test: Path, home: Path) -> bool:
    name = test.stem.removeprefix("test_")
    folder = home / test.parent
    if test.parent == Path():
        return test.stem in CROSS_CUTTING or (home / f"{name}.py").is_file()
    is_module = (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
    return is_module or (name == folder.name and folder.is_dir())
