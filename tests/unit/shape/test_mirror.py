"""A test file is where the tests of its module are looked for, or it is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shape.mirror import CROSS_CUTTING, misplaced_tests

MODULES = ("kplan/api.py", "kplan/render/html.py", "kplan/servers/kafka/__init__.py", "kplan/servers/kafka/errors.py")


@pytest.mark.parametrize(("test", "is_misplaced"), [
    ("test_api.py", False), ("render/test_html.py", False), ("servers/kafka/test_errors.py", False),
    ("servers/test_kafka.py", False), ("servers/kafka/test_kafka.py", False), ("render/test_render.py", False),
    ("test_html.py", True), ("render/test_htm.py", True), ("servers/test_errors.py", True),
    ("views/test_views.py", True),
    *((f"{name}.py", False) for name in CROSS_CUTTING),
])  # fmt: skip
def test_a_test_file_mirrors_a_module_or_a_package(test: str, is_misplaced: bool, tmp_path: Path) -> None:
    for path in (*MODULES, f"tests/unit/{test}"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert misplaced_tests(tmp_path) == ([f"tests/unit/{test}"] if is_misplaced else [])


def test_all_that_is_listed_exists() -> None:
    unit = Path(__file__).parents[1]
    assert all((unit / f"{name}.py").is_file() for name in CROSS_CUTTING)
