"""What `import kplan` offers to other programs: its names and signatures, what they do, and that they do no more."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import kplan
from kplan import diagnostics
from kplan.execution.notify import Undelivered
from tests.shell import Shell

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "library.md").read_text("utf-8")
PRODUCTION = "only-a-test-7f3a"
SHOP = """\
version: 1
stack: shop
variables:
  db_password: {type: string, sensitive: true}
  partitions: {type: integer, default: 3}
connectors:
  shop:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.db_password }}"}
    tables: {orders: {partitions: "{{ var.partitions }}"}}
"""
SEARCH = "version: 1\nstack: search\ntopics:\n  search.index: {config: {retention.ms: 7d}}\n"
SIGNATURES = """\
apply(plan: 'Plan', environment: 'Environment', *, on_event: 'Emit' = <function silent>, \
on_failure: 'OnFailure' = 'rollback', lock_timeout: 'float' = 0.0, parallel: 'int' = 6, stop: 'Stop | None' = None, \
saved: 'bool' = False, key: 'str | None' = None) -> 'Result'
destroy(loaded: 'Loaded', stack: 'str' = '', *, accept: 'str | Sequence[str]' = (), \
drop: 'str | Sequence[str]' = (), on_event: 'Emit' = <function silent>, on_failure: 'OnFailure' = 'rollback', \
lock_timeout: 'float' = 0.0, \
parallel: 'int' = 6, stop: 'Stop | None' = None, key: 'str | None' = None) -> 'Result'
from_json(document: 'Mapping[str, Any]', *, secrets: 'Mapping[str, str]' = {}, key: 'str | None' = None) -> 'Plan'
load(paths: 'StrPath | Sequence[StrPath]', *, env: 'str' = '', variables: 'Mapping[str, object]' = {}, \
variable_files: 'StrPath | Sequence[StrPath]' = (), bootstrap: 'str' = '', connect: 'str' = '', \
process: 'Mapping[str, str] | None' = None, without_servers: 'bool' = False) -> 'Loaded'
load_environment(env: 'str' = '', *, bootstrap: 'str' = '', connect: 'str' = '', folder: 'StrPath' = '.', \
process: 'Mapping[str, str] | None' = None) -> 'Environment'
plan(loaded: 'Loaded', stack: 'str' = '', *, destroy: 'bool' = False, target: 'str | Sequence[str]' = (), \
exclude: 'str | Sequence[str]' = (), replace: 'str | Sequence[str]' = (), accept: 'str | Sequence[str]' = (), \
offline: 'bool' = False, drop: 'str | Sequence[str]' = (), key: 'str | None' = None) -> 'Plan'
plan_all(loaded: 'Loaded', *, destroy: 'bool' = False, target: 'str | Sequence[str]' = (), \
exclude: 'str | Sequence[str]' = (), replace: 'str | Sequence[str]' = (), accept: 'str | Sequence[str]' = (), \
offline: 'bool' = False, drop: 'str | Sequence[str]' = (), key: 'str | None' = None) -> 'list[Plan]'
to_json(plan: 'Plan', *, key: 'str | None' = None) -> 'dict[str, Any]'
view(plan: 'Plan', format: 'View' = 'text') -> 'str'
"""
NAMES = """
    Action Address AttrDiff Blocked Busy CapabilityMissing Change Conflict Connector Declined Denied Diagnostic
    Drift Environment ErrorClass Event Facts Interrupted InterruptedRun Invalid JournalBroken KplanError Loaded
    Locked Plan Reader Rejected Result Risk Secret Severity Span Stack Stale Step Stop Summary Target Timeout
    Topic Undo Unreachable Unsupported __version__ apply destroy from_json load load_environment plan plan_all
    to_json view
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: two stacks and two simulated environments, and nothing in the process's environment."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("KPLAN_", "KAFKA_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KPLAN_VAR_db_password", PRODUCTION)
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "shop.yaml").write_text(SHOP)
    (tmp_path / "stacks" / "search.yaml").write_text(SEARCH)
    (tmp_path / "kplan.yaml").write_text("version: 1\ndefault: dev\nenvironments: {dev: {}, prod: {}}\n")
    return tmp_path


def python(code: str, folder: Path = ROOT) -> str:
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, text=True, capture_output=True, timeout=60,
                         env={"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


# -- what there is ----------------------------------------------------------------------------------------------------
def test_the_public_names_are_these() -> None:
    assert kplan.__all__ == NAMES.split()
    assert set(kplan.__all__) <= set(dir(kplan))


def test_the_signatures_are_these() -> None:
    functions = [name for name in kplan.__all__ if inspect.isfunction(getattr(kplan, name))]
    found = "".join(f"{name}{inspect.signature(getattr(kplan, name))}\n" for name in functions)
    assert re.sub(r"mappingproxy\(({})\)|(<function \w+) at 0x\w+", r"\1\2", found) == SIGNATURES


def test_type_checkers_and_python_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "kplan" / "__init__.py").read_text("utf-8"))
    typed = {a.name: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for a in node.names
             if str(node.module).startswith("kplan.")}  # fmt: skip
    assert typed.keys() == set(kplan.__all__)
    for name, module in typed.items():
        assert getattr(kplan, name) is getattr(sys.modules[str(module)], name)
    assert (ROOT / "kplan" / "py.typed").is_file()


def test_every_kind_of_failure_is_public() -> None:
    kinds = [name for name, each in vars(diagnostics).items()
             if inspect.isclass(each) and issubclass(each, Exception)]  # fmt: skip
    assert {"KplanError", "Invalid"} <= set(kinds) <= set(kplan.__all__)


def test_every_public_function_says_what_it_raises_or_that_it_cannot_fail() -> None:
    for name in ("apply", "destroy", "from_json", "load", "load_environment", "plan"):
        assert re.search(r"Raises|raise", str(getattr(kplan, name).__doc__)), name


def test_what_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'aply'"):
        kplan.aply  # type: ignore[attr-defined]  # noqa: B018


def test_the_import_is_light() -> None:
    before = "import sys; import __future__, types; known = set(sys.modules); import kplan; "
    assert python(before + "print(sorted(set(sys.modules) - known))") == "['kplan', 'kplan.version']\n"


@pytest.mark.parametrize(
    "first", ["import kplan.planning.pipeline", "from kplan import plan", "import kplan; kplan.load"]
)
def test_plan_is_the_function_whatever_was_imported_first(first: str) -> None:
    assert python(f"{first}; import kplan; print(kplan.plan.__module__)") == "kplan.api\n"


def test_it_needs_no_command_line_and_prints_nothing(folder: Path) -> None:
    said = python(
        "import sys, kplan\nloaded = kplan.load('stacks/search.yaml')\nplan = kplan.plan(loaded)\n"
        "kplan.apply(plan, loaded.environment)\nkplan.destroy(loaded)\n"
        "print([m for m in ('click', 'rich', 'kplan.cli', 'requests', 'confluent_kafka') if m in sys.modules])",
        folder,
    )
    assert said == "[]\n"


# -- the guide and the example ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL), ids=lambda b: b.splitlines()[0])
def test_the_examples_of_the_guide_run(block: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = kplan.load("stacks/shop.yaml", env="dev")
    names = {"kplan": kplan, "loaded": loaded, "plan": kplan.plan(loaded), "asyncio": asyncio, "signal": signal}
    before = signal.getsignal(signal.SIGTERM)
    try:
        code = compile(block, "library.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if (running := eval(code, names)) is not None:
            asyncio.run(running)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert PRODUCTION not in capsys.readouterr().out


def test_the_guide_has_the_functions_and_errors_that_there_are() -> None:
    said = {name: text for text, name in re.findall(r"`((\w+)\([^`]*\))`", GUIDE)}
    for name in (name for name in kplan.__all__ if inspect.isfunction(getattr(kplan, name))):
        given = inspect.signature(getattr(kplan, name)).parameters
        assert [p.split("=")[0] for p in re.split(r", ", said[name][len(name) + 1 : -1]) if p != "*"] == list(given)
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([\d, ]+) \|", GUIDE, re.MULTILINE)
    codes = {name: int(code) for names, given in rows
             for name, code in zip(re.findall(r"\w+", names), (given.split(", ") * 9), strict=False)}  # fmt: skip
    kinds = [e for e in vars(diagnostics).values() if inspect.isclass(e) and issubclass(e, kplan.KplanError)]
    assert codes == {e.__name__: e.exit_code for e in kinds if e is not kplan.KplanError}


def example(folder: Path, *arguments: str) -> tuple[int, str, str]:
    run = subprocess.run([sys.executable, "plan_from_python.py", *arguments], cwd=folder, text=True,
                         capture_output=True, timeout=60, env={"PYTHONPATH": str(ROOT)})  # fmt: skip
    return run.returncode, run.stdout, run.stderr


@pytest.mark.slow
def test_the_example_plans_and_applies(tmp_path: Path) -> None:
    for name in ("plan_from_python.py", "quickstart.yaml", "kplan.yaml"):
        shutil.copy(ROOT / "stacks" / name, tmp_path)
    code, out, err = example(tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "[1] topic/shop.orders: created, read back"
    assert out.splitlines()[-1].endswith("4 added.")
    assert example(tmp_path)[:2] == (0, "No changes.\n")
    stack = tmp_path / "quickstart.yaml"
    stack.write_text(re.sub(r"  shop\.orders:\n", "", stack.read_text()) + "removed: [{topic: shop.orders}]\n")
    assert example(tmp_path) == (1, "", "this script deletes nothing: topic/shop.orders\n")
    stack.write_text("version: 1\nstack: quickstart\ntopics: {a.b: {partitons: 3}}\n")
    code, out, err = example(tmp_path)
    assert (code, out) == (4, "")
    assert "quickstart.yaml:3:16: K106" in err


# -- load -------------------------------------------------------------------------------------------------------------
def test_variables_are_taken_as_what_they_are(folder: Path) -> None:
    for value in (6, "6"):
        (stack,) = kplan.load("stacks/shop.yaml", variables={"partitions": value}).stacks
        assert stack.resources[kplan.Address("topic", "shop.public.orders")].partitions == 6  # type: ignore[union-attr]
    wrong = kplan.load("stacks/shop.yaml", variables={"partitions": [1]})
    assert [problem.code for problem in wrong.diagnostics] == ["K203"]


def test_a_policy_denies_a_plan_that_was_made_without_it(folder: Path) -> None:
    stack = folder / "topics.yaml"
    stack.write_text("version: 1\nstack: topics\ntopics: {a.b: {partitions: 3}}\n")
    made = kplan.plan(kplan.load(stack))
    config = folder / "kplan.yaml"
    config.write_text(config.read_text() + "policies: {few: {require: {after: {partitions: {maximum: 1}}}}}\n")
    assert kplan.plan(kplan.load(stack)).exit_code == 3
    with pytest.raises(kplan.Blocked, match=r"policy few, topic/a\.b") as caught:
        kplan.apply(made, kplan.load_environment())
    assert caught.value.exit_code == 3
    assert kplan.plan(kplan.load(stack)).has_changes, "nothing was applied"


def test_errors_are_values_and_a_plan_of_them_is_refused(folder: Path) -> None:
    (folder / "bad.yaml").write_text(f"version: 1\nstack: a\ntopics: {{a.b: {{password: {PRODUCTION}}}}}\n")
    loaded = kplan.load("bad.yaml")
    assert loaded.has_errors
    with pytest.raises(kplan.Invalid, match=r"bad.yaml:3:\d+: K106") as e:
        kplan.plan(loaded)
    assert PRODUCTION not in str(e.value) + repr(e.value.diagnostics) + repr(loaded)
    with pytest.raises(kplan.Invalid, match="K205"):
        kplan.load("stacks/shop.yaml", env="nowhere")


def test_a_secret_without_a_value_is_told_before_any_server_is_asked(folder: Path) -> None:
    with pytest.raises(kplan.Invalid, match="K219"):
        kplan.plan(kplan.load("stacks/shop.yaml", process={}))


def test_nothing_shows_the_secrets_of_an_environment(folder: Path) -> None:
    (folder / "kplan.yaml").write_text(
        "version: 1\nenvironments:\n  dev:\n    kafka: {bootstrap.servers: b, sasl.password: '{{ env.P }}'}\n"
        "    connect: {url: 'http://c', password: '{{ env.P }}'}\n    notify: [{webhook: 'http://h/{{ env.P }}'}]\n"
    )
    loaded = kplan.load("stacks/shop.yaml", process={"P": PRODUCTION, "KPLAN_VAR_db_password": PRODUCTION + "2"})
    assert not loaded.diagnostics
    assert PRODUCTION not in repr(loaded)
    with pytest.raises(kplan.Invalid, match="has no P"):
        kplan.load("stacks/search.yaml", process={})
    assert not kplan.load("stacks/search.yaml", process={}, without_servers=True).has_errors


def test_of_several_stacks_one_is_named(folder: Path) -> None:
    loaded = kplan.load("stacks")
    assert [kplan.plan(loaded, stack.name).stack for stack in loaded.stacks] == ["search", "shop"]
    with pytest.raises(ValueError, match="name one of the stacks: search, shop"):
        kplan.plan(loaded)
    with pytest.raises(ValueError, match="no stack 'shp'"):
        kplan.plan(loaded, "shp")


@pytest.mark.parametrize(("call", "message"), [
    (lambda loaded, plan: kplan.apply(plan, loaded.environment, on_failure="rolback"), "or 'stop', not 'rolback'"),
    (lambda loaded, plan: kplan.apply(plan, loaded.environment, parallel=0), "`parallel` is a whole number"),
    (lambda loaded, plan: kplan.apply(plan, loaded.environment, parallel=2.5), "`parallel` is a whole number"),
    (lambda loaded, plan: kplan.apply(plan, loaded.environment, lock_timeout=-1), "`lock_timeout` is a number"),
    (lambda loaded, plan: kplan.apply(plan, loaded.environment, lock_timeout=float("nan")), "seconds, 0 or more"),
    (lambda loaded, plan: kplan.apply(plan, loaded.environment, lock_timeout="60s"), "not '60s'"),
    (lambda loaded, plan: kplan.apply(plan, "local"), "`load_environment` gives, not 'local'"),
    (lambda loaded, plan: kplan.apply(loaded, loaded.environment), "not a Loaded"),
    (lambda loaded, plan: kplan.destroy(loaded, on_failure="halt"), "not 'halt'"),
    (lambda loaded, plan: kplan.destroy(loaded, parallel=0), "`parallel` is a whole number"),
    (lambda loaded, plan: kplan.destroy("s.yaml"), "not 's.yaml'"),
    (lambda loaded, plan: kplan.plan("s.yaml"), "`loaded` is what `load` gives, not 's.yaml'"),
    (lambda loaded, plan: kplan.plan(kplan.load([])), "`load` was given no file"),
    (lambda loaded, plan: kplan.view(plan, "yaml"), "no view 'yaml', but text, json"),
    (lambda loaded, plan: kplan.view(loaded), "not a Loaded"),
    (lambda loaded, plan: kplan.to_json("plan.json"), "not 'plan.json'"),
])  # fmt: skip
def test_a_wrong_argument_is_a_value_error_and_nothing_is_done(folder: Path, call: Any, message: str) -> None:
    loaded = kplan.load("stacks/search.yaml")
    plan = kplan.plan(loaded)
    with pytest.raises(ValueError, match=re.escape(message)):
        call(loaded, plan)
    assert kplan.plan(loaded).has_changes


# -- plan and apply ---------------------------------------------------------------------------------------------------
def planned(stack: str = "stacks/search.yaml", **given: Any) -> tuple[kplan.Loaded, kplan.Plan]:
    loaded = kplan.load(stack)
    return loaded, kplan.plan(loaded, **given)


def test_it_does_what_the_commands_do(folder: Path) -> None:
    """The same plan, byte for byte but for its time, and the same state afterwards."""
    loaded, plan = planned("stacks/shop.yaml")
    shell = Shell(folder, {"KPLAN_VAR_db_password": PRODUCTION}, (PRODUCTION,))
    command = shell.kplan("plan", "stacks/shop.yaml", "--format", "json").json
    assert {**kplan.to_json(plan), "created_at": ""} == {**command, "created_at": ""}
    result = kplan.apply(plan, loaded.environment)
    assert (result.outcome, result.exit_code, result.done, result.left) == ("applied", 0, 3, ())
    assert shell.kplan("plan", "stacks/shop.yaml", "--detailed-exitcode").code == 0
    assert not kplan.plan(loaded).has_changes


def test_several_stacks_are_planned_in_the_order_of_the_command(folder: Path) -> None:
    """The sink's stack comes first by its file's name; the topic that it reads is another stack's."""
    sink = "org.apache.kafka.connect.file.FileStreamSinkConnector"
    archive = f"connectors: {{archive: {{class: {sink}, config: {{file: /out, topics: zoo.animals}}}}}}"
    (folder / "stacks" / "archive.yaml").write_text(f"version: 1\nstack: archive\n{archive}\n")
    (folder / "stacks" / "zoo.yaml").write_text("version: 1\nstack: zoo\ntopics: {zoo.animals: }\n")
    chosen = ["stacks/archive.yaml", "stacks/zoo.yaml"]
    loaded = kplan.load(chosen)
    plans = kplan.plan_all(loaded)
    assert [plan.stack for plan in plans] == ["zoo", "archive"]
    documents = Shell(folder).kplan("plan", *chosen, "--format", "json").json["plans"]
    assert [document["digest"] for document in documents] == [plan.digest for plan in plans]
    for plan in plans:
        assert kplan.apply(plan, loaded.environment).outcome == "applied"
    assert [plan.stack for plan in kplan.plan_all(loaded, destroy=True)] == ["archive", "zoo"]


def test_a_run_has_the_times_of_its_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command promises of servers that are away, and of a lock that was lost, the library promises too."""
    from kplan.execution.apply import Apply

    runs = []
    monkeypatch.setattr(
        Apply, "execute", lambda self, lock_timeout=0.0: runs.append(self.run) or kplan.Result("applied", "")
    )
    times = "timeouts: {request: 5s, settle: 9s, session: 7s}"
    (folder / "kplan.yaml").write_text(
        f"version: 1\ndefault: dev\nenvironments: {{dev: {{kafka: {{bootstrap.servers: '127.0.0.1:1'}}, {times}}}}}\n"
    )
    simulated = kplan.load_environment(process={}, folder=".")
    plan = kplan.Plan(
        "search",
        "dev",
        kplan.Target(),
        (kplan.Step(1, 1, kplan.Change(kplan.Address("topic", "search.index"), kplan.Action.CREATE)),),
    )
    kplan.apply(plan, simulated)
    assert [(run.grace, run.answer_timeout, run.session) for run in runs] == [(5.0, 9.0, 7.0)]


def test_a_server_that_is_away_for_a_moment_fails_no_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kplan.servers.simulated import SimulatedTopics

    read, refusals = SimulatedTopics.read, [0] * 4  # more than an end state is looked at anyway
    done = threading.Event()

    def away(self: SimulatedTopics, names: Any) -> Any:
        if done.is_set() and refusals:
            refusals.pop()
            raise kplan.Unreachable("away for a moment")
        return read(self, names)

    loaded = kplan.load("stacks/search.yaml")
    plan = kplan.plan(loaded)
    monkeypatch.setattr(SimulatedTopics, "read", away)
    monkeypatch.setattr("kplan.execution.run.VERIFY_INTERVAL_S", 0.05)
    result = kplan.apply(plan, loaded.environment, on_event=lambda event: event.type == "step_done" and done.set())
    assert result.outcome == "applied", result.said
    assert not refusals


def test_what_is_dropped_is_named_as_for_the_command(folder: Path) -> None:
    loaded = kplan.load("stacks/search.yaml")
    with pytest.raises(ValueError, match="`drop` is 'slot', 'publication' or 'publication=NAME', not 'table'"):
        kplan.plan(loaded, destroy=True, drop="table")


def test_what_is_dropped_goes_into_the_plan_as_with_the_command(folder: Path) -> None:
    loaded, plan = planned("stacks/shop.yaml")
    kplan.apply(plan, loaded.environment)
    shell = Shell(folder, {"KPLAN_VAR_db_password": PRODUCTION}, (PRODUCTION,))
    dropping = shell.kplan(
        "plan", "stacks/shop.yaml", "--destroy", "--drop", "slot", "--format", "json", expect=None
    ).json
    doomed = kplan.plan(loaded, destroy=True, drop="slot")
    assert kplan.to_json(doomed)["digest"] == dropping["digest"] != kplan.plan(loaded, destroy=True).digest


def test_targets_may_be_one_text(folder: Path) -> None:
    _, plan = planned("stacks/shop.yaml", target="topic/shop.public.orders")
    assert [str(change.address) for change in plan.changes] == ["topic/shop.public.orders"]
    assert (plan.summary.add, plan.summary.hidden, plan.complete) == (1, 2, False)


def test_a_saved_plan_is_applied_by_either(folder: Path) -> None:
    loaded, plan = planned("stacks/shop.yaml", key="k")
    document = kplan.to_json(plan, key="k")
    assert PRODUCTION not in json.dumps(document)
    with pytest.raises(kplan.Stale, match="not signed"):
        kplan.from_json({name: value for name, value in document.items() if name != "signature"}, key="k")
    with pytest.raises(kplan.Stale, match="is not what it was"):
        kplan.from_json(document, secrets={"db_password": "another"}, key="k")
    with pytest.raises(kplan.Invalid, match="K219"):
        kplan.apply(kplan.from_json(document), loaded.environment)
    saved = kplan.from_json(json.loads(json.dumps(document)), secrets={"db_password": PRODUCTION}, key="k")
    assert kplan.view(saved) == kplan.view(plan)
    with pytest.raises(kplan.Stale, match="for environment dev"):
        kplan.apply(saved, kplan.load_environment("prod"))
    assert kplan.apply(saved, kplan.load_environment("dev"), saved=True).outcome == "applied"
    with pytest.raises(kplan.Stale, match="already applied"):
        kplan.apply(saved, loaded.environment, saved=True)
    kplan.destroy(loaded)
    (folder / "plan.json").write_text(json.dumps(kplan.to_json(planned("stacks/search.yaml")[1])))
    Shell(folder).kplan("apply", "plan.json")


def test_a_plan_of_the_command_line_is_applied_here(folder: Path) -> None:
    shell = Shell(folder, {"KPLAN_VAR_db_password": PRODUCTION}, (PRODUCTION,))
    shell.kplan("plan", "stacks/shop.yaml", "--out", "plan.json")
    saved = kplan.from_json(json.loads((folder / "plan.json").read_text()), secrets={"db_password": PRODUCTION})
    assert kplan.apply(saved, kplan.load_environment(), saved=True).done == 3


def test_a_saved_plan_deletes_nothing_that_no_stack_owns_and_no_file_names(folder: Path) -> None:
    """Whoever may write the file can compute its digest again, so it is held against the stack's own file."""
    from kplan.servers.simulated import SimulatedTopics

    loaded, plan = planned()
    theirs = kplan.Topic("theirs", 1, 3)
    cluster = SimulatedTopics(folder / ".kplan" / "dev.db")
    cluster.act([kplan.Change(theirs.address, kplan.Action.CREATE, None, theirs)], {})
    there = cluster.read(["theirs"]).resources[theirs.address]
    deletion = kplan.Change(theirs.address, kplan.Action.DELETE, there)
    forged = replace(plan, steps=(kplan.Step(1, 1, deletion),))
    with pytest.raises(kplan.Stale, match="no stack owns it") as refused:
        kplan.apply(forged, loaded.environment, saved=True)
    assert refused.value.code == "K524" and theirs.address in cluster.read(["theirs"]).resources
    stack = folder / "stacks" / "search.yaml"
    stack.write_text(stack.read_text() + "removed: [{topic: theirs}]\n")
    assert kplan.apply(forged, loaded.environment, saved=True).outcome == "applied"
    assert not cluster.read(["theirs"]).resources


def test_dangers_block_until_they_are_accepted(folder: Path) -> None:
    loaded, plan = planned()
    kplan.apply(plan, loaded.environment)
    from kplan.servers.simulated import SimulatedTopics

    SimulatedTopics(folder / ".kplan" / "dev.db").produce("search.index", 3)
    with pytest.raises(kplan.Blocked, match=r"topic/search\.index"):
        kplan.destroy(loaded)
    doomed = kplan.plan(loaded, destroy=True)
    assert (doomed.exit_code, len(doomed.dangers), doomed.applyable) == (3, 1, False)
    assert kplan.destroy(loaded, accept="delete:topic/search.index").done == 1


@pytest.mark.parametrize("format", ["text", "md", "html"])
def test_a_view_names_a_command_that_exists(folder: Path, format: Any) -> None:
    """A blocked plan says which words accept its danger, and they belong to `kplan plan`."""
    loaded = kplan.load("stacks/search.yaml")
    kplan.apply(kplan.plan(loaded), loaded.environment)
    (folder / "stacks" / "search.yaml").write_text("version: 1\nstack: search\ntopics: {}\n")
    shown = kplan.view(kplan.plan(kplan.load("stacks/search.yaml")), format)
    assert "--accept" in shown and "delete:topic/search.index" in shown
    assert "kplan plan stacks/search.yaml" in shown and "kplan show" not in shown


def test_no_steps_make_no_run(folder: Path) -> None:
    loaded, plan = planned()
    kplan.apply(plan, loaded.environment)
    again = kplan.apply(kplan.plan(loaded), loaded.environment)
    assert (again.outcome, again.run, again.exit_code) == ("applied", "", 0)


def failing(folder: Path, *addresses: str, more: str = "") -> None:
    listed = ", ".join(addresses)
    (folder / "kplan.yaml").write_text(
        f"version: 1\nenvironments: {{dev: {{simulated: {{fail: [{listed}]}}{more}}}}}\n"
    )


def test_a_failure_is_a_result(folder: Path) -> None:
    failing(folder, "connector/shop")
    loaded, plan = planned("stacks/shop.yaml")
    events: list[kplan.Event] = []
    result = kplan.apply(plan, loaded.environment, on_event=events.append)
    assert (result.outcome, result.exit_code, str(result.failed)) == ("rolled_back", 7, "connector/shop")
    assert isinstance(result.error, kplan.KplanError)
    assert next(e.type for e in events if e.type.startswith(("rollback", "undo"))) == "rollback_started"
    assert PRODUCTION not in repr(events) + repr(result)
    stopped = kplan.apply(kplan.plan(loaded), loaded.environment, on_failure="stop")
    assert (stopped.outcome, stopped.exit_code, bool(stopped.left)) == ("stopped", 8, True)


def test_receivers_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "kplan.execution.notify.post_to_receivers",
        lambda receivers, triggers, body: told.append(body["kplan"]) or [Undelivered("h", status=404)],
    )
    failing(folder, "topic/search.index", more=', notify: [{webhook: "http://h/x"}]')
    loaded, plan = planned()
    result = kplan.apply(plan, loaded.environment)
    assert [(each["outcome"], each["run"]) for each in told] == [("rolled_back", result.run)]


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What receivers got."""
    bodies: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "kplan.execution.notify.post_to_receivers",
        lambda receivers, triggers, body: bodies.append(body["kplan"]) or [],
    )
    return bodies


def test_receivers_are_notified_once_of_a_blocked_destroy(folder: Path, posted: list[dict[str, Any]]) -> None:
    from kplan.servers.simulated import SimulatedTopics

    failing(folder, more=', notify: [{webhook: "http://h/x"}]')
    loaded, plan = planned()
    kplan.apply(plan, loaded.environment)
    SimulatedTopics(folder / ".kplan" / "dev.db").produce("search.index", 3)
    posted.clear()
    with pytest.raises(kplan.Blocked):
        kplan.destroy(loaded)
    assert [(each["stack"], each["outcome"]) for each in posted] == [("search", "blocked")]
    assert kplan.plan(loaded, destroy=True).blocked
    assert [each["outcome"] for each in posted] == ["blocked", "blocked"]


def test_receivers_are_notified_of_a_refusal_without_steps(folder: Path, posted: list[dict[str, Any]]) -> None:
    failing(folder, more=', notify: [{webhook: "http://h/x"}]')
    loaded, plan = planned()
    kplan.apply(plan, loaded.environment)
    posted.clear()
    unchanged = kplan.plan(loaded)
    assert not unchanged.steps
    with pytest.raises(kplan.Stale):
        kplan.apply(replace(unchanged, env="prod"), loaded.environment)
    assert [(each["stack"], each["outcome"]) for each in posted] == [("search", "not_begun")]


@pytest.mark.parametrize("variable", ["GITHUB_SHA", "CI_COMMIT_SHA"])
def test_a_plan_has_the_commit_of_the_job(folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in ("GITHUB_SHA", "CI_COMMIT_SHA"):
        monkeypatch.delenv(name, raising=False)
    assert planned()[1].commit == ""
    monkeypatch.setenv(variable, "4f3a" * 10)
    assert planned()[1].commit == "4f3a" * 10


def test_a_callback_that_fails_ends_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    called = []

    def broken(event: kplan.Event) -> None:
        called.append(event)
        raise RuntimeError(PRODUCTION)

    loaded, plan = planned("stacks/shop.yaml")
    with caplog.at_level(logging.ERROR, "kplan"):
        assert kplan.apply(plan, loaded.environment, on_event=broken).outcome == "applied"
    assert len(called) == 1
    assert "on_event failed" in caplog.text
    assert PRODUCTION not in caplog.text


def test_a_stop_puts_everything_back(folder: Path) -> None:
    loaded, plan = planned("stacks/shop.yaml")
    stop = kplan.Stop()

    def after_the_first_wave(event: kplan.Event) -> None:
        stop.asked = stop.asked or event.type == "step_done"

    result = kplan.apply(plan, loaded.environment, stop=stop, on_event=after_the_first_wave)
    assert (result.outcome, result.undone) == ("rolled_back", 2)
    assert kplan.plan(loaded).summary.add == 3


def test_two_applies_of_one_stack_exclude_each_other(folder: Path) -> None:
    loaded, plan = planned()
    refused: list[str] = []

    def meanwhile(event: kplan.Event) -> None:
        if event.type == "step_started":
            with pytest.raises(kplan.Locked, match=r"kplan\.apply"):
                kplan.apply(plan, loaded.environment)
            refused.append(event.address)

    assert kplan.apply(plan, loaded.environment, on_event=meanwhile).outcome == "applied"
    assert refused == ["topic/search.index"]


def test_threads_apply_different_stacks_at_once(folder: Path) -> None:
    names = [f"s{n}" for n in range(6)]
    for name in names:
        (folder / f"{name}.yaml").write_text(f"version: 1\nstack: {name}\ntopics: {{{name}.a: , {name}.b: }}\n")
    ends: dict[str, str] = {}

    def work(name: str) -> None:
        loaded, plan = planned(f"{name}.yaml")
        ends[name] = kplan.apply(plan, loaded.environment).outcome

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == dict.fromkeys(names, "applied")


@pytest.mark.parametrize("format", ["text", "json", "md", "html", "concise", "github", "junit", "sarif"])
def test_a_plan_is_viewed_in_every_format(folder: Path, format: Any) -> None:
    text = kplan.view(planned("stacks/shop.yaml")[1], format)
    assert text.endswith("\n") or format == "github"
    assert PRODUCTION not in text
