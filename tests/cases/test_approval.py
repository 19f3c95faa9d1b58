"""What a refusal tells a person to write allows just that: in the stack file, for one run, or by leaving it out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cases.test_cases import CASES, prepared, read
from tests.shell import Shell

REFUSED = [case for case in CASES if read(case, "exit") == "3\n" and read(case, "args").startswith("plan ")]
PLACE = re.compile(r"^  Accept it in review, at (\S+):(\d+):\n +(accept: .*)$", re.MULTILINE)
LEFT = re.compile(r"^  Accept it in review, under `removed:` (?:at|in) ([\w.-]+?)(?::\d+)?:\n +(- .*)$", re.MULTILINE)
COMMAND = re.compile(r"^      (kplan .*)$", re.MULTILINE)


def start(case: Path, folder: Path) -> tuple[Shell, list[str], str]:
    """The case's folder, its command, and the refusal as a person sees it."""
    shell = prepared(case, folder)
    arguments = [a for a in shlex.split(read(case, "args")) if a not in ("--brief", "--quiet")]
    if "--format" in arguments:
        pytest.skip("the refusal is read by a machine")
    return shell, arguments, shell.kplan(*arguments, expect=3).out


@pytest.mark.slow  # every refusal of every case
@pytest.mark.parametrize("case", REFUSED, ids=lambda path: path.name)
def test_the_stack_accepts_what_the_refusal_says(case: Path, tmp_path: Path) -> None:
    shell, arguments, said = start(case, tmp_path)
    places, left = PLACE.findall(said), LEFT.findall(said)
    if not places and not left:
        pytest.skip("this is not accepted in a stack")
    for path, line, words in sorted(places, key=lambda place: -int(place[1])):
        write(tmp_path / path, int(line), words)
    for path, entry in left:
        file = tmp_path / path
        text = file.read_text("utf-8")
        text = text if "\nremoved:\n" in text else f"{text}\nremoved:\n"
        file.write_text(text.replace("\nremoved:\n", f"\nremoved:\n  {entry}\n"), "utf-8")
    assert "BLOCKED" not in shell.kplan(*arguments).out


def write(file: Path, number: int, words: str) -> None:
    """`words` stand in the block that begins on this line."""
    lines = file.read_text("utf-8").splitlines()
    line = lines[number - 1]
    if line.endswith("}"):
        lines[number - 1] = f"{re.sub(r', accept: .[^]]*.', '', line[:-1])}, {words}}}"
    else:
        indent = len(line) - len(line.lstrip())
        lines.insert(number, f"{' ' * (indent + 2)}{words}")
    file.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.mark.slow  # every refusal of every case
@pytest.mark.parametrize("case", REFUSED, ids=lambda path: path.name)
def test_the_commands_of_the_refusal_allow_it_for_one_run(case: Path, tmp_path: Path) -> None:
    shell, arguments, said = start(case, tmp_path)
    commands = [shlex.split(command)[1:] for command in COMMAND.findall(said)]
    accepts = [word for words in commands if "--accept" in words for word in words[-2:]]
    if "protected" in said or "K470" in said:  # no flag ends a protection, or a policy
        assert not accepts
        return
    assert accepts[0] == "--accept"
    assert "BLOCKED" not in shell.kplan(*arguments, *accepts).out
    leaves = [word for words in commands if "--exclude" in words for word in words[-2:]]
    if leaves:
        assert "BLOCKED" not in shell.kplan(*arguments, *leaves, expect=None).out


def test_protection_ends_by_the_words_of_the_refusal_alone(tmp_path: Path) -> None:
    """What is protected survives the removal of its block, and every way of accepting dangers."""
    shell = Shell(tmp_path)
    head, kept = "version: 1\nstack: shop\n", "topics:\n  shop.kept: {protect: true}\n"
    shell.write("stack.yaml", head + kept)
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", head)
    for arguments in (["plan"], ["apply", "--yes"], ["plan", "--accept", "*"], ["destroy", "--yes", "--accept", "*"]):
        assert "K410" in shell.kplan(*arguments, "stack.yaml", expect=3).out
    shell.write("stack.yaml", head + "removed:\n  - {topic: shop.kept, accept: [data-loss, orphan, readers]}\n")
    refused = shell.kplan("apply", "stack.yaml", "--yes", expect=3)
    assert "Instead of stack.yaml:4, first apply its block again, with:\n      protect: false" in refused.out
    shell.write("stack.yaml", head + kept.replace("true", "false"))
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", head + "removed:\n  - {topic: shop.kept}\n")
    assert "1 deleted" in shell.kplan("apply", "stack.yaml", "--yes").out


def test_a_topic_that_has_filled_since_the_plan_is_not_deleted_by_it(tmp_path: Path) -> None:
    from kplan.servers.simulated import SimulatedTopics

    shell = Shell(tmp_path)
    shell.write("stack.yaml", "version: 1\nstack: shop\ntopics: {shop.old: }\n")
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", "version: 1\nstack: shop\nremoved: [{topic: shop.old}]\n")
    shell.kplan("plan", "stack.yaml", "--out", "plan.json")
    topics = SimulatedTopics(tmp_path / ".kplan" / "local.db")
    topics.produce("shop.old", 3)
    refused = shell.kplan("apply", "plan.json", expect=5)
    assert "topic/shop.old: K401 data loss. Up to 3 records." in refused.err
    assert [a.name for a in topics.read(None).resources] == ["shop.old"]
    topics.close()


GUARDED = """
version: 1
stack: shop
guards:
  naming: '^shop\\.'
  topic:
    partitions: {maximum: 12}
    config: {min.cleanable.dirty.ratio: {maximum: 0.5}, retention.ms: {maximum: 2592000000}}
  connector: {config: {required: [errors.log.enable]}, properties: {state: {const: running}}}
topics:
  shop.orders: {partitions: 6, config: {retention.ms: 7d}}
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  orders: {}\n", "orders does not match ^shop\\."),
        ("  shop.many: {partitions: 13}\n", "/partitions: 13 is greater than the maximum of 12"),
        ("  shop.dirty: {config: {min.cleanable.dirty.ratio: 0.9}}\n", "0.9 is greater than the maximum of 0.5"),
        ("  shop.long: {config: {retention.ms: 31d}}\n", "2678400000 is greater than the maximum of 2592000000"),
        ("connectors: {c: {class: x.Y, config: {a: b}}}\n", "'errors.log.enable' is a required property"),
    ],
)  # fmt: skip
def test_a_guard_is_told_at_the_line_that_does_not_meet_it(text: str, said: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("stack.yaml", GUARDED + text)
    refused = shell.kplan("plan", "stack.yaml", expect=4)
    line = len(GUARDED.splitlines()) + 1
    assert "K213" in refused.err and f"stack.yaml:{line}:" in refused.err
    assert said in " ".join(refused.err.split())
    shell.write("stack.yaml", GUARDED)
    shell.kplan("plan", "stack.yaml")


def test_a_plan_of_the_same_world_has_the_same_digest_however_old_its_records_are(tmp_path: Path) -> None:
    """Times are told as seen from when the plan was made; the document holds them as they are."""
    shell = prepared(next(case for case in CASES if case.name == "removed-topic-with-records-is-blocked"), tmp_path)
    plans = [shell.kplan("plan", "stack.yaml", "--format", format, expect=3, SOURCE_DATE_EPOCH=epoch)
             for epoch in ("1767261600", "1767268800") for format in ("json", "text")]  # fmt: skip
    assert plans[0].json["digest"] == plans[2].json["digest"]
    assert "Last write 3 min ago" in " ".join(plans[1].out.split())
    assert "Last write 2 h ago" in " ".join(plans[3].out.split())
