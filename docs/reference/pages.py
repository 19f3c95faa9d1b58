"""Writes docs/reference/{cli,stack,environments,codes}.md from the command line, the schemas and the table of codes.

`make docs` calls it; a test compares the pages with what it would write.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from kplan.cli import COMMANDS, EXIT_CODES, cli  # noqa: E402
from kplan.cli.options import FLAGS_WITHOUT_VARIABLE  # noqa: E402
from kplan.diagnostics.codes.ranges import FAMILIES  # noqa: E402
from kplan.diagnostics.codes.table import CODES  # noqa: E402
from kplan.kinds.topic.configs import CONFIGS, human  # noqa: E402

HERE = ROOT / "docs" / "reference"
MADE = "<!-- Written by `make docs` from {}; change that. -->"
FEW = 6  # an option that this many commands have is listed once


# The command line


def command_line() -> str:
    """docs/reference/cli.md."""
    commands = list(_commands())
    flags: dict[str, list[str]] = {}
    for words, command in commands:
        for option in _options(command):
            flags.setdefault(_row(option), []).append(words)
    shared = {row for row, users in flags.items() if len(users) >= FEW}
    lines = [
        "# Commands",
        "",
        MADE.format("the command line itself"),
        "",
        "`kplan COMMAND --help` prints the same text. STACK is a file or a folder of files. ADDR is an address such as",
        "`topic/orders` or `connector/shop`.",
        "",
        *(f"- [`kplan {name}`](#kplan-{name}): {line}" for name, line in COMMANDS.items()),
        "- [Exit codes](#exit-codes), [common flags](#common-flags)",
        "",
    ]
    for words, command in commands:
        lines += _command(words, command, shared)
    lines += ["## Common flags", "", "| flag | variable | |", "|---|---|---|", *sorted(shared), ""]
    lines += ["## Exit codes", "", "| code | meaning |", "|---|---|", *_exit_codes(), ""]
    return "\n".join(lines)


def _commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {each}", command.commands[each]) for each in command.commands)


def _options(command: click.Command) -> Iterator[click.Option]:
    yield from (each for each in command.params if isinstance(each, click.Option) and not each.hidden)


def _command(words: str, command: click.Command, shared: set[str]) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(click.Context(command)))
    yield from (f"{'##' if ' ' not in words else '###'} kplan {words}", "", f"    kplan {words} {usage}", "")
    yield from (_plain(command.help or ""), "")
    rows = [_row(each) for each in _options(command)]
    own = [row for row in rows if row not in shared]
    if own:
        yield from ("| flag | variable | |", "|---|---|---|", *own, "")
    names = sorted(re.findall(r"`(--[\w-]+)", " ".join(row.split("|")[1] for row in rows if row in shared)))
    if names:
        yield from ("Common flags: " + ", ".join(f"`{name}`" for name in names) + ".", "")


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if not option.is_flag:
        names = f"{names} {_cell(_metavar(option))}"
    long = next((name for name in option.opts if name.startswith("--")), "")
    variable = f"`{option.envvar}`" if option.envvar and long not in FLAGS_WITHOUT_VARIABLE else ""
    return f"| {names} | {variable} | {_cell(option.help or '')}{_default(option)} |"


def _metavar(option: click.Option) -> str:
    return option.metavar or option.type.get_metavar(option, click.Context(cli)) or option.type.name.upper()


def _default(option: click.Option) -> str:
    value = option.default
    plain = isinstance(value, str | int | float) and not isinstance(value, bool) and value not in ("", ".")
    return f" Default: `{value}`." if plain and not option.is_flag else ""


def _exit_codes() -> Iterator[str]:
    for line in EXIT_CODES.splitlines():
        if found := re.fullmatch(r"  (\d+)\s+(.+)", line):
            yield f"| {found[1]} | {_cell(found[2])} |"


def _plain(help: str) -> str:
    """Help as Markdown; what click keeps as it is (`\\b`) is a block of its own."""
    paragraphs = re.split(r"\n\s*\n", help.strip())
    return "\n\n".join(_block(text) for text in paragraphs)


def _block(text: str) -> str:
    if "\b" in text:
        return "\n".join(f"    {line}" for line in text.replace("\b", "").strip("\n").splitlines())
    return " ".join(text.split()).replace("<", "&lt;")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


# What files say


SAME_KEYS = {"connector_classes.NAME": "`defaults.connector`"}  # a map -> the one whose keys it has, too
LISTED_ONCE = {"topicConfig": "[topic configs]({page}#topic-configs)"}  # name of a form -> the link to its keys


def describe_schema(name: str, title: str, opening: str, *sections: str, links_to: str = "") -> str:
    """Return the page on the keys of a schema; `links_to` is the page that has the keys which are listed once."""
    whole = json.loads((ROOT / "schemas" / f"{name}.v1.json").read_text("utf-8"))
    forms = {
        form: {**found, "description": f"{found['description']} Keys: {LISTED_ONCE[form].format(page=links_to)}."}
        if form in LISTED_ONCE
        else found
        for form, found in whole["$defs"].items()
    }
    rows = _keys(whole, forms, "", ())
    source = MADE.format(f"schemas/{name}.v1.json")
    return "\n".join([f"# {title}", "", source, "", opening, "", *HEAD, *rows, "", *sections])


HEAD = ("| key | type | default | |", "|---|---|---|---|")


def list_topic_configs() -> str:
    """Return the table of Kafka's topic configs."""
    rows = [
        f"| `{key.name}` | {key.constraint} | {_cell(human(key.name, key.default) or key.default)} | {_cell(key.doc)} |"
        for key in CONFIGS.values()
    ]
    return "\n".join(["## Topic configs", "", "| key | value | Kafka's default | |", "|---|---|---|---|", *rows, ""])


def _keys(schema: Mapping[str, Any], forms: Mapping[str, Any], prefix: str, seen: tuple[str, ...]) -> Iterator[str]:
    schema, seen = _meant(schema, forms, seen)
    required = schema.get("required") or ()
    for key, each in (schema.get("properties") or {}).items():
        yield from _key(f"{prefix}{key}", each, key in required, forms, seen)
    more = schema.get("additionalProperties")
    if isinstance(more, Mapping) and prefix and (more.get("$ref") or more.get("properties")):
        yield from _key(f"{prefix}NAME", more, False, forms, seen)
    for each in (*(schema.get("oneOf") or ()), *(schema.get("anyOf") or ())):
        if "properties" in each:
            yield from _keys(each, forms, prefix, seen)


def _key(path: str, each: Any, required: bool, forms: Mapping[str, Any], seen: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(each, Mapping):
        return
    form, deeper = _meant(each, forms, seen)
    words = each.get("description") or form.get("description") or form.get("title") or ""
    words += f" Keys: those of {SAME_KEYS[path]}." if path in SAME_KEYS else ""
    default = f"`{json.dumps(form['default'])}`" if "default" in form else "required" if required else ""
    yield f"| `{path}` | {_type(form)} | {default} | {_cell(words)} |"
    if path in SAME_KEYS or LISTED_ONCE.keys() & set(deeper) or len(deeper) != len(set(deeper)):
        return
    yield from _keys(form, forms, f"{path}.", deeper)
    items = form.get("items")
    if isinstance(items, Mapping) and _meant(items, forms, deeper)[0].get("properties"):
        yield from _keys(items, forms, f"{path}[].", deeper)


def _meant(schema: Mapping[str, Any], forms: Mapping[str, Any], seen: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
    """What a `$ref` stands for, and the names that led here."""
    while "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        schema, seen = {**forms[name], **{k: v for k, v in schema.items() if k != "$ref"}}, (*seen, name)
    return schema, seen


WORDS = {"array": "list", "object": "map", "integer": "whole number", "null": ""}


def _type(form: Mapping[str, Any]) -> str:
    if "const" in form:
        return f"`{json.dumps(form['const'])}`"
    if "enum" in form:
        return ", ".join(f"`{value}`" for value in form["enum"])
    kinds = form.get("type") or []
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    if len(kinds) > 1 and form.get("pattern", "").endswith("{\\{"):
        kinds = [kind for kind in kinds if kind != "string"]
    chosen = [_type(each) for each in form.get("anyOf") or () if "{" not in str(each.get("pattern", ""))]
    return " or ".join(filter(None, (*(WORDS.get(kind, kind) for kind in kinds), *(chosen if not kinds else ()))))


# Codes


def codes() -> str:
    """docs/reference/codes.md."""
    lines = [
        "# Codes",
        "",
        MADE.format("kplan/diagnostics/codes/"),
        "",
        "`kplan explain K104` prints the entry of one code.",
        "",
    ]
    for family, meaning in FAMILIES.items():
        lines += [f"## {family}: {meaning}", ""]
        for each in CODES.values():
            if each.number.startswith(family):
                lines += [f"### {each.number}", "", f"**{each.title}**", "", *_paragraphs(each.text), ""]
    return "\n".join(lines).rstrip() + "\n"


def _paragraphs(text: str) -> Iterator[str]:
    """A paragraph with an indented line is an example, and stays as it is."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ""
        lines = paragraph.splitlines()
        if any(line.startswith(" ") for line in lines):
            yield from ("```", *lines, "```")
        else:
            yield " ".join(lines).replace("<", "&lt;")


STACK = """\
The keys of a stack file. Any text value, and most keys, may contain `{{ … }}` (variables, `each`, `kplan.env`).
[templates.md](templates.md) lists the parameters of connector templates; the [topic configs](#topic-configs) are at the
end of this page. `NAME` is a name that you choose, `[]` is each item of a list."""
ENVIRONMENTS = """\
The keys of `kplan.yaml`, which is in the folder of the stacks or above it. `NAME` is a name that you choose. Values may
contain `{{ env.NAME }}`, an environment variable."""

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": command_line,
    "stack.md": lambda: describe_schema("stack", "Stack files", STACK, list_topic_configs()),
    "environments.md": lambda: describe_schema("environments", "kplan.yaml", ENVIRONMENTS, links_to="stack.md"),
    "codes.md": codes,
}


def main() -> None:
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
