"""Stacks that somebody wrote to read files, to run code, or to keep kplan busy: each ends soon."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from kplan.__main__ import run
from kplan.diagnostics import Diagnostic, Invalid
from kplan.kinds.expansion import MOST_PROBLEMS, MOST_RESOURCES
from kplan.language import limits as bounded
from kplan.language.literals import hide_literals
from kplan.language.source import load as read
from kplan.language.source import read_plain
from kplan.language.template import Budget, Scope, TemplateProblem, TooMuch, render
from kplan.project import environment, reading
from kplan.project.loading import Loaded, Request, load_project
from tests.shell import Shell

SECONDS = 20  # of this process: a bound for a slow machine, not a goal
MEMORY = 2 << 30


class TookTooLong(BaseException):
    """Not an Exception, so that nothing on the way takes it for a problem of the stack."""


@contextmanager
def within(seconds: float = SECONDS) -> Iterator[None]:
    """What is done inside ends in time and takes no more than MEMORY bytes."""

    def late(number: int, frame: object) -> None:
        raise TookTooLong

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGPROF, late)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "stacks"
    made.mkdir()
    return made


def loaded(folder: Path, text: str, *names: str, process: dict[str, str] | None = None) -> Loaded:
    """What kplan makes of a stack file of this text (without its first two lines), or of the named files."""
    if text:
        (folder / "s.yaml").write_text("version: 1\nstack: s\n" + text, "utf-8")
    request = Request(names or ("s.yaml",), folder=str(folder), process=process or {})
    here = Path.cwd()
    os.chdir(folder)
    try:
        with within():
            return load_project(request)
    finally:
        os.chdir(here)


def problems(folder: Path, text: str, *names: str, **options: dict[str, str]) -> list[Diagnostic]:
    try:
        return loaded(folder, text, *names, **options).diagnostics
    except Invalid as invalid:
        return list(invalid.diagnostics)


def codes(folder: Path, text: str) -> set[str]:
    return {d.code for d in problems(folder, text) if d.is_error}


# -- jinja2 -----------------------------------------------------------------------------------------------------------
BIG = {"text": "a" * 900_000, "list": [str(n) for n in range(200_000)], "nested": [["x"] * 1_000] * 900}
ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ var['__class__'].__init__ }}",
    "{{ var|attr('__class__') }}",
    "{{ [1, 2]|max(attribute='__class__.__init__.__globals__') }}",
    "{{ [1, 2]|sort(attribute='__class__') }}",
    "{{ ''.format.__globals__ }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ '%s'|format(1) }}",
    "{{ ''.join.__self__.__class__ }}",
    "{{ var.items.__self__.__class__ }}",
    "{{ var.get.__func__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ lipsum.__globals__ }}",
    "{{ namespace.__init__ }}",
    "{{ config }}",
    "{{ file('/etc/passwd') }}",
    "{{ env.HOME }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% extends '/etc/passwd' %}",
    "{% from 'x' import y %}",
    "{% set x = 1 %}{{ x }}",
    "{% macro m() %}{% endmacro %}{{ m() }}",
    "{% call x() %}{% endcall %}",
    "{% filter upper %}x{% endfilter %}",
    "{% for i in [1] %}{{ i }}{% endfor %}",
    "{{ [].append(1) }}",
    "{{ var.update({'x': 1}) }}",
    "{{ range(10) }}",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_a_template_reaches_nothing_but_its_names(text: str) -> None:
    with within(5), pytest.raises(TemplateProblem):
        render(text, Scope({"var": {"x": 1}}))


GREEDY = {
    "text times": "{{ 'a' * 1000000 }}",
    "list times": "{{ [1] * 1000000 }}",
    "times, joined": "{{ (['a' * 1000000] * 1000000)|join }}",
    "concatenated": "{{ " + " ~ ".join(["var.text"] * 1_500) + " }}",
    "added": "{{ " + " + ".join(["var.text"] * 150) + " }}",
    "lists added": "{{ " + " + ".join(["var.list"] * 150) + " }}",
    "one after the other": "{{ var.text }}" * 1_300,
    "joined": "{{ var.list|join(var.text) }}",
    "joined by little": "{{ var.list|join('aaaaaaaaaa') }}",
    "as text": "x{{ [var.nested, var.nested, var.nested] }}",
    "replaced": "{{ var.text|replace('a', 'bb') }}",
    "summed lists": "{{ var.nested|sum(start=[]) }}",
    "summed texts": "{{ var.list|sum(start='') }}",
    "digits": "{{ 1.5|round(1000000000, 'ceil') }}",
    "power": "{{ 999999999 ** 16 ** 16 }}",
    "product": "{{ " + " * ".join(["999999999999999999"] * 900) + " }}",
    "many digits": "{{ ('f' ~ var.text)|int(0, 16) }}",
    "format": "{{ '%1000000000d' % 1 }}",
    "stripped": "{{ var.text.strip(var.text) }}",
    "trimmed": "{{ var.text|trim(var.text) }}",
    "sorted again and again": "{{ " + " and ".join(["(var.list|sort|length)"] * 700) + " }}",
    "compared again and again": "{{ " + " and ".join(["var.nested == var.nested"] * 700) + " }}",
    "deep": "{{ " + "(" * 3_000 + "1" + ")" * 3_000 + " }}",
    "deep not": "{{ " + "not " * 4_000 + "1 }}",
    "deep if": "{% if 1 %}" * 900 + "x" + "{% endif %}" * 900,
    "long": "{{ " + "+".join(["1"] * 9_900) + " }}",
    "longer": "{{ '" + "a" * 30_000 + "' }}",
}


@pytest.mark.slow
@pytest.mark.parametrize("text", GREEDY.values(), ids=GREEDY.keys())
def test_a_template_cannot_grow_nor_run_for_long(text: str) -> None:
    began = time.process_time()
    with within(), pytest.raises(TemplateProblem) as problem:
        render(text, Scope({"var": BIG}))
    print(f"{time.process_time() - began:.2f} s: {problem.value}")


def test_what_the_templates_of_a_stack_may_handle_is_counted_over_all_of_them() -> None:
    scope = Scope({"var": BIG})
    with within(), pytest.raises(TooMuch):
        for number in range(100_000):
            render(f"{{{{ var.list|length + {number} }}}}", scope.with_names(each=number))


@pytest.mark.slow
def test_a_budget_is_one_stacks_alone() -> None:
    for _ in range(12):
        assert render("{{ var.list|length }}", Scope({"var": BIG})) == 200_000
    assert Budget().left > 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ 'a' ~ 1 ~ [2] }}", "a1[2]"), ("a{{ 1 }}b{{ [2, 'x'] }}", "a1b[2, 'x']"),
        ("{{ [1, 'b']|join('-') }}", "1-b"),
        ("{{ 2 * 3 + 4 }}", 10), ("{{ 'a' + 'b' }}", "ab"), ("{{ [1] + [2] }}", [1, 2]), ("{{ [1, 2.5]|sum }}", 3.5),
        ("{{ 2.345|round(2) }}", 2.35), ("{{ ' x '|trim }}", "x"), ("{{ 'xax'|trim('x') }}", "a"),
        ("{{ 5|string }}", "5"),
        ("{{ 'a,b'.split(',')|last }}", "b"), ("{{ 2 ** 10 }}", 1024), ("{{ 7 % 4 }}", 3),
        ("{{ [3, 1]|sort }}", [1, 3]),
        ("{% if var.x == 1 %}one{% else %}more{% endif %}", "one"),
    ],
)  # fmt: skip
def test_what_is_harmless_gives_what_it_gave(text: str, value: object) -> None:
    assert render(text, Scope({"var": {"x": 1}})) == pytest.approx(value)


# -- yaml -------------------------------------------------------------------------------------------------------------
def laugh(levels: int = 12) -> str:
    lines = ["description: &d0 x"]
    lines += [f"  - &l{n} [{', '.join([f'*l{n - 1}' if n else 'x'] * 9)}]" for n in range(levels)]
    return "topics:\n" + "\n".join(lines[1:]) + "\n"


YAML = {
    "billion laughs": (laugh(), "K105"),
    "billion characters": (
        f"description: &d {'x' * 2_000_000}\nconnectors: {{c: {{class: X, config: {{"
        + ", ".join(f"k{n}: *d" for n in range(20_000)) + "}}}\n", "K105",
    ),
    "merged again and again": (
        "topics:\n  a0: &a0 {config: {" + ", ".join(f"k{n}: 1" for n in range(3_000)) + "}}\n"
        + "".join(f"  a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 50)}]}}\n" for n in range(1, 100)), "K105",
    ),
    "itself": ("topics: &a {x: *a}\n", "K105"),
    "deep list": ("topics: " + "[" * 100_000, "K105"),
    "deep map": ("topics: " + "{a: " * 100_000, "K105"),
    "deep block": ("topics:\n" + "".join(" " * n + "a:\n" for n in range(1, 1_500)), "K105"),
    "many values": ("topics: [" + "a," * 1_100_000 + "]\n", "K105"),
    "python code": ("topics: !!python/object/apply:os.system ['touch pwned']\n", "K101"),
    "python name": ("topics: !!python/name:os.system\n", "K101"),
    "python module": ("topics: !!python/module:os\n", "K101"),
    "binary": ("description: !!binary aGVsbG8=\n", "K101"),
    "own tag": ("description: !include /etc/passwd\n", "K101"),
    "twice": ("topics: {a: {}, a: {}}\n", "K102"),
    "twice by an alias": ("topics: {&k a: {}, *k : {}}\n", "K102"),
    "merge of a text": ("topics: {a: {<<: x}}\n", "K101"),
    "two documents": ("---\ntopics: {}\n", "K101"),
    "many digits": (f"topics: {{a: {{partitions: {'9' * 1_000_000}}}}}\n", "K103"),
    "many digits as text": (f"topics: {{a: {{partitions: '{'9' * 1_000_000}'}}}}\n", "K106"),
    "tiny number": ("description: 1e-999999999\n", "K103"),
    "terminal codes": ('topics: {"a\\e[2J": {}}\n', "K109"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("text", "code"), YAML.values(), ids=YAML.keys())
def test_a_file_cannot_explode(text: str, code: str, folder: Path) -> None:
    assert code in codes(folder, text)
    assert not (folder / "pwned").exists()


def test_an_anchor_that_is_used_with_measure_is_fine(folder: Path) -> None:
    text = "topics:\n  a: &a {config: {retention.ms: 1d}}\n  b: {<<: *a}\n  c: {<<: [*a, {partitions: 2}]}\n"
    assert codes(folder, text) == set()


@pytest.mark.parametrize(
    "text",
    ["1" + "_" * 300_000 + "x", "1:" * 100_000 + "x", "1" * 300_000 + "e", "2026-" + "1" * 100_000, "." * 300_000],
    ids=["underscores", "base 60", "digits", "date", "dots"],
)
def test_reading_a_scalar_is_linear(text: str) -> None:
    with within(5):
        assert read_plain(text).value == text
        read(f"a: {text}\n", "x.yaml")


@pytest.mark.parametrize(
    "line",
    ["password " + "a" * 500_000, "password" + " " * 500_000 + "a", "://a:" * 100_000, "password=" * 100_000,
     "secret: '" + "a'" * 250_000, " " * 500_000 + "a", "token" + ": " * 250_000],
    ids=["long word", "spaces", "logins", "passwords", "quotes", "indent", "colons"],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", ""], ids=["a line", "all"])
def test_hiding_literal_secrets_is_linear(line: str, end: str) -> None:
    """Whatever the long line is, it keeps its length, and the secret below it is hidden."""
    below = "password: quarry-5ecret"
    with within(5):
        text, secrets = hide_literals(f"{line}\n{below}{end}")
    assert [len(row) for row in text.split("\n")] == [len(line), len(below), *([0] if end else [])]
    assert "quarry-5ecret" in secrets and "quarry-5ecret" not in text


LONG = {
    "key": f"? {'a' * 300_000}\n: x\n",
    "duration": f"topics: {{a: {{config: {{retention.ms: '1{' ' * 300_000}x'}}}}}}\n",
    "size": f"topics: {{a: {{config: {{retention.bytes: '{'1' * 300_000}x'}}}}}}\n",
    "share": f"guards: {{max_changes: '1{' ' * 300_000}x'}}\n",
    "name of a topic": f"topics: {{? {'a' * 300_000} : {{}}}}\n",
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_a_long_text_is_refused_soon_and_not_repeated(text: str, folder: Path) -> None:
    found = problems(folder, text)
    assert found
    for problem in found:
        assert len(problem.detail) <= 4_000 and len(problem.help) <= 4_000


# -- what multiplies --------------------------------------------------------------------------------------------------
POSTGRES = (
    "template: debezium-postgres, topic_prefix: p, database: {hostname: h, name: b, user: u, password: '${env:X}'}"
)


def numbers(count: int) -> str:
    return ", ".join(f"t{n}" for n in range(count))


@pytest.mark.slow
def test_for_each_times_topics_is_bounded(folder: Path) -> None:
    several = "".join(f'  "t{n}.{{{{ each.key }}}}": {{for_each: "{{{{ var.l }}}}"}}\n' for n in range(30))
    text = f"variables: {{l: {{type: list, default: [{numbers(6_000)}]}}}}\ntopics:\n{several}"
    assert MOST_RESOURCES < 30 * 6_000 and "K238" in codes(folder, text)


@pytest.mark.slow
def test_for_each_times_tables_is_bounded(folder: Path) -> None:
    many = f"for_each: [{numbers(3_000)}], {POSTGRES}, tables: [{numbers(3_000)}]"
    text = f'connectors: {{"c{{{{ each.key }}}}": {{{many}}}}}\n'
    assert "K238" in codes(folder, text)


def test_long_values_times_topics_are_bounded(folder: Path) -> None:
    text = f"variables: {{v: {{type: string, default: {'x' * 500_000}}}}}\n"
    long = "config: {retention.ms: 'a{{ var.v }}'}"
    text += f'topics: {{"{{{{ each.key }}}}": {{for_each: [{numbers(5_000)}], {long}}}}}\n'
    assert "K238" in codes(folder, text)


@pytest.mark.slow
def test_not_more_problems_are_told_than_anyone_reads(folder: Path) -> None:
    text = "topics:\n" + "".join(f"  t{n}: {{config: {{nonsense{n}: 1}}}}\n" for n in range(MOST_PROBLEMS * 3))
    found = problems(folder, text)
    assert MOST_PROBLEMS <= len(found) <= MOST_PROBLEMS + 3 and found[-1].code == "K238"


@pytest.mark.slow
def test_a_stack_of_ten_thousand_topics_is_far_from_every_bound(folder: Path) -> None:
    text = 'variables: {days: {type: integer, default: 7}}\ntopics:\n  "shop.{{ each.key }}.events":\n'
    text += f"    for_each: [{numbers(10_000)}]\n"
    text += '    partitions: 3\n    config: {retention.ms: "{{ var.days }}d", cleanup.policy: delete, segment.ms: 1d}\n'
    found = loaded(folder, text)
    assert not found.diagnostics and len(found.stacks[0].resources) == 10_000


# -- regular expressions and schemas ----------------------------------------------------------------------------------
CATASTROPHES = [
    "^(a+)+$",
    "^(a|a)*$",
    "^(a|aa)+$",
    "(.*a){25}$",
    "^(a?){40}a{40}!",
    "^((a{1,99}){1,99}){1,99}$",
    "(a*)*(a*)*!",
]
MATCHING = ("^(a?){40}a{40}!", "(a*)*(a*)*!")
SUBJECT = "a" * 60 + "!"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let kplan give a search a tenth of the time it has; `test_many_names…` below has all of it."""
    monkeypatch.setattr(bounded, "PATIENCE", bounded.PATIENCE / 10)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("pattern", CATASTROPHES)
def test_a_pattern_that_backtracks_for_ever_is_stopped(pattern: str) -> None:
    began = time.process_time()
    with within(), suppress(bounded.TooSlow):  # the engine sees through some of them
        assert bounded.Pattern(pattern).found_in(SUBJECT) is (pattern in MATCHING)
    assert time.process_time() - began < 5


@pytest.mark.slow
def test_many_names_are_not_each_given_the_whole_time() -> None:
    began = time.process_time()
    pattern = bounded.Pattern("^(a|a)*$")
    with within():
        for _ in range(1_000):
            with pytest.raises(bounded.TooSlow):
                pattern.found_in(SUBJECT)
    assert time.process_time() - began < 2 * bounded.MOST_SLOW * bounded.PATIENCE


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "text",
    [
        f"guards: {{naming: '^(a|a)*$'}}\ntopics: {{{'a' * 60}b: {{}}}}\n",
        f"guards: {{topic: {{name: {{pattern: '^(a|a)*$'}}}}}}\ntopics: {{{'a' * 60}b: {{}}}}\n",
        "guards: {connector: {config: {patternProperties: {'^(a|aa)+$': {}}}}}\n"
        f"connectors: {{c: {{class: X, config: {{{'a' * 60}b: 1}}}}}}\n",
        f"variables: {{v: {{type: string, pattern: '^(a|a)*$', default: {'a' * 60}b}}}}\n",
        "guards: {naming: '(((('}\ntopics: {b: {}}\n",
        "guards: {topic: {name: {pattern: '(((('}}}\ntopics: {b: {}}\n",
    ],
    ids=["naming", "schema", "keys", "variable", "no pattern", "no pattern in a schema"],
)
def test_a_hostile_pattern_is_a_problem_of_the_stack(text: str, folder: Path) -> None:
    found = problems(folder, text)
    assert found and {d.code for d in found} <= {"K213", "K203", "K106"}


@pytest.mark.parametrize("key", ["$ref", "$dynamicRef"])
@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://127.0.0.1:9/schema", "#", "#/$defs/x"])
def test_a_guard_refers_to_nothing(key: str, target: str, folder: Path) -> None:
    found = problems(
        folder, f'guards: {{topic: {{type: object, allOf: [{{"{key}": "{target}"}}]}}}}\ntopics: {{b: {{}}}}\n'
    )
    assert [d.code for d in found] == ["K213"] and key in found[0].detail


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://127.0.0.1:9/schema", "#/properties/p"])
def test_a_template_of_ones_own_refers_to_nothing(target: str, folder: Path) -> None:
    (folder / "templates").mkdir()
    (folder / "templates" / "own.yaml").write_text(
        f'version: 1\ntemplate: own\nclass: X\nparameters: {{p: {{"$ref": "{target}"}}}}\n'
    )
    found = problems(folder, "connectors: {c: {template: own, p: 1}}\n")
    assert found and all(d.is_error for d in found) and "K399" not in {d.code for d in found}


@pytest.mark.usefixtures("impatient")
def test_a_router_that_backtracks_for_ever_is_told_as_unknown(folder: Path) -> None:
    router = "transforms: r, transforms.r.type: org.apache.kafka.connect.transforms.RegexRouter, "
    router += "transforms.r.regex: '(a|a)*', transforms.r.replacement: x"
    prefix = POSTGRES.replace("topic_prefix: p", f"topic_prefix: {'a' * 60}")
    found = loaded(folder, f"connectors: {{c: {{{prefix}, tables: [orders], config: {{{router}}}}}}}\n")
    (problem,) = found.diagnostics
    assert problem.code == "K227" and problem.is_error and "(a|a)* takes too long" in problem.detail
    topics = {address.name for address in found.stacks[0].resources if address.kind == "topic"}
    assert topics == {f"__debezium-heartbeat.{'a' * 60}"}, "the table's topic is not known"


@pytest.mark.slow
def test_a_guard_times_topics_is_bounded(folder: Path) -> None:
    parts = ", ".join("{}" for _ in range(2_000))
    text = f"guards: {{topic: {{allOf: [{parts}]}}}}\n"
    text += f'topics: {{"{{{{ each.key }}}}": {{for_each: [{numbers(5_000)}]}}}}\n'
    assert codes(folder, text) == {"K213"}


@pytest.mark.parametrize(
    ("text", "subject", "found"),
    [("^(client_\\d+|dc)\\.", "client_2.a", True), ("^(client_\\d+|dc)\\.", "x.a", False),
     ("^(?!test)", "test.a", False),
     ("(a)(b)\\2", "abb", True), ("^[^.]+\\.[^.]+$", "a.b", True), ("^(a+b?)+$", "aab" * 200, True)],
)  # fmt: skip
def test_patterns_mean_what_they_mean_in_python(text: str, subject: str, found: bool) -> None:
    assert bounded.Pattern(text).found_in(subject) is found


# -- files ------------------------------------------------------------------------------------------------------------
SECRET = "canary: [what stands in another file\n"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    file = tmp_path / "outside.yaml"
    file.write_text(SECRET)
    return file


def texts(found: Loaded) -> str:
    return "".join(found.texts.values()) + "".join(d.detail + d.help for d in found.diagnostics)


@pytest.mark.parametrize(
    "name", ["../outside", "../../outside", "/etc/passwd", "..", ".", "a/../../outside", "x\\..\\y"]
)
def test_a_template_is_named_and_not_reached_by_a_path(name: str, folder: Path, outside: Path) -> None:
    found = loaded(folder, f"connectors: {{c: {{template: '{name}'}}}}\n")
    assert {d.code for d in found.diagnostics} & {"K106", "K207"} and "canary" not in texts(found)


def test_a_link_out_of_the_folder_is_no_template(folder: Path, outside: Path) -> None:
    (folder / "templates").mkdir()
    (folder / "templates" / "evil.yaml").symlink_to(outside)
    found = loaded(folder, "connectors: {c: {template: evil}}\n")
    assert [d.code for d in found.diagnostics] == ["K107"] and "canary" not in texts(found)
    assert "link out of its folder" in found.diagnostics[0].detail


def test_a_linked_folder_of_templates_is_no_way_out_either(folder: Path, outside: Path) -> None:
    (folder / "templates").symlink_to(outside.parent)
    found = loaded(folder, "connectors: {c: {template: outside}}\n")
    assert [d.code for d in found.diagnostics] == ["K107"] and "canary" not in texts(found)


def test_a_template_may_be_shared_within_the_folder_of_kplan_yaml(folder: Path) -> None:
    (folder.parent / "kplan.yaml").write_text("version: 1\nenvironments: {local: {}}\n")
    (folder.parent / "shared").mkdir()
    (folder.parent / "shared" / "own.yaml").write_text("version: 1\ntemplate: own\nclass: X\n")
    (folder / "templates").symlink_to(folder.parent / "shared")
    assert not [d for d in problems(folder, "connectors: {c: {template: own}}\n") if d.is_error]


def test_a_link_out_of_a_folder_of_stacks_is_no_stack_until_it_is_named(folder: Path, outside: Path) -> None:
    (folder / "evil.yaml").symlink_to(outside)
    (folder / "fine.yaml").write_text("version: 1\nstack: fine\n")
    found = loaded(folder, "", ".")
    assert [d.code for d in found.diagnostics] == ["K107"] and "canary" not in texts(found)
    assert [d.code for d in loaded(folder, "", "evil.yaml").diagnostics] == ["K101"], "whoever names it may read it"


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/stdin", "fifo"])
def test_what_is_no_plain_file_is_not_waited_for(target: str, folder: Path) -> None:
    if target == "fifo":
        os.mkfifo(folder / "fifo")
    (folder / "evil.yaml").symlink_to(folder / target if target == "fifo" else target)
    assert [d.code for d in problems(folder, "", ".")] == ["K107"]


def test_a_pipe_in_a_folder_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "evil.yaml")
    assert [d.code for d in problems(folder, "", ".")] == ["K107"]


def test_kplan_yaml_is_no_link_to_another_file(folder: Path, outside: Path) -> None:
    (folder / "kplan.yaml").symlink_to(outside)
    found = problems(folder, "topics: {a: {}}\n")
    assert [d.code for d in found] == ["K107"] and "canary" not in found[0].detail


# -- the process's secrets --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["KAFKA_PASSWORD", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_API_KEY", "KPLAN_KEY"])
def test_a_variable_cannot_show_a_secret_of_the_process(name: str, folder: Path) -> None:
    text = f'variables: {{v: {{type: string, env: {name}}}}}\ntopics: {{"{{{{ var.v }}}}": {{}}}}\n'
    found = loaded(folder, text, process={name: "canary-value"})
    assert [d.code for d in found.diagnostics] == ["K209"]
    assert "canary" not in texts(found) + str(list(found.stacks[0].resources))


def test_nor_a_password_of_the_environment_under_any_name(folder: Path) -> None:
    (folder / "kplan.yaml").write_text(
        "version: 1\nenvironments:\n  local:\n    kafka:\n"
        '      bootstrap.servers: "x:1"\n      sasl.password: "{{ env.HARMLESS }}"\n'
    )
    text = 'variables: {v: {type: string, env: HARMLESS}}\ntopics: {"{{ var.v }}": {}}\n'
    found = loaded(folder, text, process={"HARMLESS": "canary-value"})
    assert [d.code for d in found.diagnostics] == ["K209"] and "canary" not in str(list(found.stacks[0].resources))


def test_a_sensitive_variable_may_read_it(folder: Path) -> None:
    text = "variables: {v: {type: string, env: DB_PASSWORD, sensitive: true}}\n"
    text += 'connectors: {c: {class: X, config: {database.password: "{{ var.v }}"}}}\n'
    assert not [d for d in problems(folder, text, process={"DB_PASSWORD": "canary-value"}) if d.is_error]


@pytest.mark.parametrize("key", ["plugin.library.paths", "ssl.engine.location", "sasl.kerberos.kinit.cmd"])
def test_an_environment_cannot_load_code(key: str, folder: Path) -> None:
    (folder / "kplan.yaml").write_text(
        f'version: 1\nenvironments:\n  local:\n    kafka: {{bootstrap.servers: "x:1", {key}: ./evil.so}}\n'
    )
    found = problems(folder, "topics: {a: {}}\n")
    assert [d.code for d in found if key in d.detail] == ["K106"]


def test_the_same_for_one_without_a_file() -> None:
    made = environment.make_without_file("default", {}, ".", "x:1", "http://user:canary-value@c:8083")[0]
    assert made.passwords == ("canary-value",)


# -- files that are no plain files -------------------------------------------------------------------------------------
@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe.yaml"
    os.mkfifo(path)
    return path


@pytest.mark.slow
def test_a_named_pipe_that_nothing_writes_is_an_error_at_once(tmp_path: Path, pipe: Path) -> None:
    begin = time.monotonic()
    ended = Shell(tmp_path).kplan("validate", "pipe.yaml", expect=None, timeout=60)
    assert ended.code in (4, 64) and "nothing has opened it for writing" in ended.all, ended
    assert time.monotonic() - begin < 40


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "pipe.yaml"),
        ("fmt", "pipe.yaml"),
        ("validate", "stack.yaml", "--var-file", "pipe.yaml"),
        ("import", "--file", "pipe.yaml"),
        ("plan", "stack.yaml", "--live", "pipe.yaml"),
        ("plan", "stack.yaml", "--target", "@pipe.yaml"),
    ],
    ids=" ".join,
)
def test_no_command_waits_long_for_a_named_pipe(
    words: tuple[str, ...],
    tmp_path: Path,
    pipe: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Run the command in this process, with a shorter wait: the test above waits as long as a user does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reading, "WRITER_TIMEOUT_S", 0.1)
    Path("stack.yaml").write_text("version: 1\nstack: s\ntopics: {a: }\n", "utf-8")
    begin = time.monotonic()
    code = run(words)
    shown = "".join(capfd.readouterr())
    assert code in (4, 64) and "nothing has opened it for writing" in shown, shown
    assert "Traceback" not in shown
    assert time.monotonic() - begin < 40


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_kplan_yaml_that_is_no_plain_file_is_an_error(tmp_path: Path, kind: str) -> None:
    shell = Shell(tmp_path)
    shell.write("stack.yaml", "version: 1\nstack: s\ntopics: {a: }\n")
    (tmp_path / "kplan.yaml").mkdir() if kind == "folder" else os.mkfifo(tmp_path / "kplan.yaml")
    ended = shell.kplan("plan", "stack.yaml", expect=4, timeout=60)
    text = " ".join(ended.err.split())  # a long path breaks the line
    assert "K107" in text and f"kplan.yaml is a {'folder' if kind == 'folder' else 'named pipe'}" in text


@pytest.mark.parametrize("setting", ["kafka.ssl.ca.location", "connect.ca"])
def test_a_pipe_as_a_file_of_certificates_is_an_error(tmp_path: Path, pipe: Path, setting: str) -> None:
    shell = Shell(tmp_path)
    shell.write("stack.yaml", "version: 1\nstack: s\ntopics: {a: }\n")
    kafka = "bootstrap.servers: '127.0.0.1:1', security.protocol: ssl"
    kafka += ", ssl.ca.location: pipe.yaml" if setting.startswith("kafka") else ""
    connect = (
        "url: 'https://127.0.0.1:1', ca: pipe.yaml" if setting.startswith("connect") else "url: 'http://127.0.0.1:1'"
    )
    shell.write("kplan.yaml", f"version: 1\nenvironments: {{e: {{kafka: {{{kafka}}}, connect: {{{connect}}}}}}}\n")
    ended = shell.kplan("plan", "stack.yaml", "--env", "e", expect=4, timeout=60)
    assert "K203" in ended.err and setting in ended.err and "it is a named pipe" in ended.err


def test_pipes_with_a_writer_are_read(tmp_path: Path, pipe: Path) -> None:
    text = "version: 1\nstack: s\ntopics: {a: }\n"
    thread = threading.Thread(target=lambda: pipe.write_text(text))
    thread.start()
    shell = Shell(tmp_path)
    assert "1 resource is valid" in shell.kplan("validate", "pipe.yaml").all
    thread.join(10)
    assert "1 resource is valid" in shell.kplan("validate", "/dev/stdin", stdin=text).all


@pytest.mark.slow
def test_a_pipe_whose_writer_pauses_is_read(tmp_path: Path) -> None:
    kplan = f"{sys.executable} -m kplan validate <(sleep 3; printf 'version: 1\\nstack: s\\n'; echo 'topics: {{a: }}')"
    ended = subprocess.run(["bash", "-c", kplan], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0 and "1 resource is valid" in ended.stdout + ended.stderr


def test_a_socket_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        ended = Shell(tmp_path).kplan("validate", "s.yaml", expect=4, timeout=60)
    assert "K107" in ended.out and "it is a socket" in ended.out


def test_a_silent_writer_is_waited_for_so_long(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SILENCE_TIMEOUT_S", 0.3)
    writer = os.open(pipe, os.O_RDWR)
    try:
        with pytest.raises(OSError, match="wrote nothing"):
            reading.read_file(pipe)
    finally:
        os.close(writer)


# -- bounded output ----------------------------------------------------------------------------------------------------
def test_a_number_of_thousands_of_digits_is_shortened_in_messages(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    digits = "9" * 5_000
    shell.write("stack.yaml", f"version: 1\nstack: s\ntopics: {{a: {{partitions: {digits}}}}}\n")
    for view in ("text", "concise", "json"):
        ended = shell.kplan("validate", "stack.yaml", "--format", view, expect=4)
        assert "(5,000 digits)" in ended.all and len(ended.all) < 3_000, view
    shell.write("stack.yaml", f'version: 1\nstack: s\ntopics: {{a: {{config: {{retention.ms: "{digits}"}}}}}}\n')
    ended = shell.kplan("validate", "stack.yaml", expect=4)
    assert "K108" in ended.out and "(5,000 digits)" in ended.out and len(ended.all) < 3_000


@pytest.mark.slow
def test_thousands_of_errors_print_the_first_and_a_count_of_the_others(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    topics = "".join(f"  t{number}: {{partition: 3}}\n" for number in range(2_000))
    shell.write("stack.yaml", f"version: 1\nstack: s\ntopics:\n{topics}")
    for view, left in (("text", "1,900"), ("concise", "1,000")):
        ended = shell.kplan("validate", "stack.yaml", "--format", view, expect=4)
        assert f"… and {left} more: {left} K106; --format json has all of them" in ended.out, view
        assert len(ended.out) < 150_000
        assert view == "concise" or "2000 errors, 0 warnings in 1 file" in ended.out.replace(",000", "000")
    assert len(shell.kplan("validate", "stack.yaml", "--format", "json", expect=4).json["diagnostics"]) == 2_000
