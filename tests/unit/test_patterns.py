"""A late pattern is a compiled one from its first use on."""

from __future__ import annotations

import re
from threading import Thread

import pytest

from kplan.patterns import late_pattern


def test_it_compiles_at_its_first_use() -> None:
    broken = late_pattern("(")
    with pytest.raises(re.error):
        broken.match("")


def test_it_finds_what_a_compiled_one_finds() -> None:
    text, flags = r"(\w)(?P<digits>\d+)", re.IGNORECASE
    late, compiled = late_pattern(text, flags), re.compile(text, flags)
    subject = "a1 B22 c"
    assert [m.groupdict() for m in late.finditer(subject)] == [m.groupdict() for m in compiled.finditer(subject)]
    assert late.sub("-", subject) == compiled.sub("-", subject) == "- - c"
    assert late.fullmatch("A1") and late.search(subject) and late.match(subject) and not late.fullmatch(subject)
    assert (late.pattern, late.flags, late.groups) == (compiled.pattern, compiled.flags, compiled.groups)
    assert late.split("a1x") == compiled.split("a1x") and late.findall(subject) == compiled.findall(subject)


def test_threads_may_use_it_first_together() -> None:
    late = late_pattern(r"\d+")
    found: list[str] = []
    threads = [Thread(target=lambda: found.extend(late.findall("1 2"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["1"] * 8 + ["2"] * 8
