"""What `show` reads: saved plans, runs, and settings with their sources."""

from __future__ import annotations

from pathlib import Path

import pytest

import kplan
from kplan.app.show import list_settings, read_plan_documents, read_run
from kplan.diagnostics import Invalid
from kplan.state.sqlite import SqliteStore


@pytest.mark.parametrize(("text", "detail"), [
    ("topics: [", "is not JSON"), ("[]", "p.json"), ('{"plans": []}', "p.json"), ('{"plans": [1]}', "p.json"),
])  # fmt: skip
def test_what_is_not_a_saved_plan_is_an_error(tmp_path: Path, text: str, detail: str) -> None:
    file = tmp_path / "p.json"
    file.write_text(text, "utf-8")
    with pytest.raises(Invalid) as refused:
        read_plan_documents(str(file))
    (problem,) = refused.value.diagnostics
    assert problem.code == "K521" and detail in problem.detail


def test_a_file_has_one_plan_or_several(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text('{"stack": "a"}', "utf-8")
    assert read_plan_documents(str(file)) == [{"stack": "a"}]
    file.write_text('{"plans": [{"stack": "a"}, {"stack": "b"}]}', "utf-8")
    assert [document["stack"] for document in read_plan_documents(str(file))] == ["a", "b"]


def test_a_run_that_is_not_in_the_journal_is_an_error(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    with pytest.raises(Invalid) as refused:
        read_run(store, "20260101T100000Z-0000")
    assert refused.value.diagnostics[0].code == "K606"
    store.close()


def test_each_setting_has_its_source(tmp_path: Path) -> None:
    text = "version: 1\nstack: s\ndefaults: {topic: {partitions: 3}}\ntopics: {a: {config: {retention.ms: 1d}}}\n"
    (tmp_path / "s.yaml").write_text(text, "utf-8")
    stack = kplan.load(tmp_path / "s.yaml", process={}, without_servers=True).stacks[0]
    (resource,) = stack.resources.values()
    settings = {key: (raw, source) for key, raw, source in list_settings(resource)}
    assert settings["partitions"][0] == 3 and settings["partitions"][1]
    assert settings["retention.ms"][0] == "86400000"
