"""The texts of stack files, and their canonical form."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.app.fmt import UnreadableStack, read_stack_texts
from kplan.project.loading import Request


def test_a_text_is_read_with_line_feeds_and_formatted(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes(b"stack: s\r\nversion: 1\r\ntopics:\r\n    a:\r\n")
    (text,) = read_stack_texts(Request(paths=("s.yaml",), folder=str(tmp_path)))
    assert "\r" not in text.before
    after = text.format()
    assert after.startswith("version: 1\nstack: s\n") and "  a:" in after
    assert text.path.name == "s.yaml"


def test_what_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes(b"\xff\xfe\x00stack")
    with pytest.raises(UnreadableStack, match=r"s\.yaml: not UTF-8 text"):
        list(read_stack_texts(Request(paths=("s.yaml",), folder=str(tmp_path))))
