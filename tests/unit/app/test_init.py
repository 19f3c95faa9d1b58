"""The files of a new project: what is written, what is kept, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.app.init import NewFiles, is_simulated, write_project
from kplan.diagnostics import KplanError

SHOP = NewFiles("shop", "", "", "")


def save(path: str, text: str) -> None:
    Path(path).write_text(text, "utf-8")


def test_a_new_folder_gets_all_files_and_a_second_time_none(tmp_path: Path) -> None:
    written = list(write_project(tmp_path, SHOP, False, save))
    assert not any(file.is_kept for file in written)
    assert {"kplan.yaml", "shop.yaml", ".gitignore"} <= {file.path.name for file in written}
    assert is_simulated(tmp_path)
    again = list(write_project(tmp_path, SHOP, True, save))
    assert {file.path.name for file in again if not file.is_kept} == {"shop.yaml"}


def test_an_existing_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "shop.yaml").write_text("mine", "utf-8")
    with pytest.raises(KplanError) as refused:
        list(write_project(tmp_path, SHOP, False, save))
    assert refused.value.code == "K245" and not (tmp_path / "kplan.yaml").exists()


def test_a_real_environment_is_not_simulated(tmp_path: Path) -> None:
    assert is_simulated(tmp_path), "without a kplan.yaml"
    (tmp_path / "kplan.yaml").write_text(
        "version: 1\nenvironments: {dev: {kafka: {bootstrap.servers: 'x:1'}}}\n", "utf-8"
    )
    assert not is_simulated(tmp_path)
