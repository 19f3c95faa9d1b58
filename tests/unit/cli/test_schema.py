"""docs/editors.md: its commands work as printed, and what it tells editors to read is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from kplan.language.schema import read_schema

PAGE = (Path(__file__).parents[3] / "docs" / "editors.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [text for said, text in fenced if said == language]


def test_the_commands_write_the_schemas_that_the_lines_name(tmp_path: Path) -> None:
    kplan = f'kplan() {{ "{sys.executable}" -m kplan "$@"; }}\n'
    for block in blocks(""):
        subprocess.run(["bash", "-ec", kplan + block], cwd=tmp_path, check=True, timeout=240)
    schemas = {path.name: json.loads(path.read_text("utf-8")) for path in (tmp_path / "schemas").iterdir()}
    assert schemas == {f"{name}.json": read_schema(name) for name in ("stack.v1", "environments.v1")}
    (line,) = blocks("yaml")
    assert (tmp_path / "stacks" / line.split("$schema=")[1].strip()).resolve().name in schemas
    settings = json.loads(blocks("json")[0])["yaml.schemas"]
    assert {Path(path).name for path in settings} == schemas.keys()
