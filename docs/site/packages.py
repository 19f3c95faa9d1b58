"""Draw the packages of kplan in their order, as ARCHITECTURE.md has it: `python docs/site/packages.py`."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "packages.svg"
BOX, GAP, ROW = (150, 34), 14, 54
STYLE = (
    "text{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#1c2128}"
    "rect{fill:#f5f6f8;stroke:#7d8792}.note{fill:#525b66;font-family:system-ui,sans-serif}"
    "@media(prefers-color-scheme:dark){text{fill:#e2e7ed}rect{fill:#181d24}.note{fill:#a2adb9}}"
)


def read_order() -> list[list[str]]:
    """Return the packages by their lines in ARCHITECTURE.md, the lowest first."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    block = text.partition("## The order of the packages")[2].partition("```\n")[2].partition("```")[0]
    return [re.findall(r"[a-z_]+", line.replace("then", "")) for line in block.strip().splitlines()]


def draw() -> str:
    """Return the picture: a row for each line, what is imported below what imports it."""
    rows = list(reversed(read_order()))
    width = max(len(row) for row in rows) * (BOX[0] + GAP) + GAP
    height = len(rows) * ROW + GAP + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-label="The packages of kplan: each imports from those below it">',
        f"<style>{STYLE}</style>",
    ]
    for number, row in enumerate(rows):
        left = (width - len(row) * (BOX[0] + GAP) + GAP) / 2
        for place, name in enumerate(row):
            x, y = left + place * (BOX[0] + GAP), GAP + number * ROW
            parts.append(f'<rect x="{x:g}" y="{y}" width="{BOX[0]}" height="{BOX[1]}" rx="5"/>')
            parts.append(f'<text x="{x + BOX[0] / 2:g}" y="{y + 22}" text-anchor="middle">{escape(name)}</text>')
    note = "Each package imports from those below it, and in its own row from those to its left."
    parts.append(f'<text class="note" x="{width / 2:g}" y="{height - 10}" text-anchor="middle">{note}</text></svg>\n')
    return "\n".join(parts)


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
