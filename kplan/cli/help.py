"""How help is printed: commands by what they are for, flags by what they are about, and examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Final

import click

from kplan.cli.flags import Display, LoadFlags, PlanFlags, RunFlags

COMMAND_GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "Write stacks": ("init", "validate", "fmt", "discover", "import", "modules", "schema"),
    "Plan and apply": ("plan", "apply", "destroy", "recover"),
    "Look": ("status", "drift", "list", "describe", "show", "history", "diff", "graph", "docs", "doctor"),
    "Operate": ("connector", "agent", "wait", "state"),
    "Review": ("rehearse", "snapshot", "comment", "fetch"),
    "Help": ("explain", "completion", "version"),
}
FLAG_GROUPS: Final[Mapping[str, type]] = {
    "Project and values": LoadFlags,
    "What is planned": PlanFlags,
    "How it is applied": RunFlags,
    "Output and log": Display,
}
OUTPUT_FLAGS: Final = ("format", "reports", "help")
EXAMPLES: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "plan": (
        ("kplan plan", "the stacks of the project"),
        ("kplan plan stacks/shop.yaml --env prod --out plan.json", "a plan to review and to apply exactly so"),
        ("kplan plan --target 'topic/shop.*'", "some resources, and what they need"),
    ),
    "apply": (
        ("kplan apply stacks/shop.yaml", "plan, ask, apply"),
        ("kplan apply plan.json", "exactly the plan that was saved"),
        ("kplan apply --yes --accept delete:topic/shop.old", "with a danger that was accepted"),
    ),
    "destroy": (("kplan destroy stacks/shop.yaml --env dev", "delete what the stack owns"),),
    "validate": (("kplan validate", "every error of the project's stacks"),),
    "status": (("kplan status --watch", "health, again and again"),),
    "drift": (("kplan drift stacks", "what was changed live since the last apply"),),
    "list": (("kplan list 'topic/shop.*'", "live topics and their owners"), ("kplan list --unowned", "of no stack")),
    "describe": (
        ("kplan describe topic/shop.orders", "settings, readers, access, last changes"),
        ("kplan describe connector/shop", "its tasks with the whole trace, and what it feeds"),
    ),
    "history": (
        ("kplan history", "the last runs"),
        ("kplan history topic/shop.orders", "who changed it, when and why"),
    ),
    "diff": (
        ("kplan diff --env staging --env prod", "what the stacks declare in each, and why"),
        ("kplan diff --env staging --env prod --read-live", "and what is live otherwise"),
    ),
    "docs": (("kplan docs site --env prod", "site/index.html: what is declared, by whom, and what feeds what"),),
    "modules": (("kplan modules", "fetch what is missing"), ("kplan modules --check", "is all here, and unchanged?")),
    "rehearse": (("kplan rehearse plan.json", "would every failure be put back?"),),
    "recover": (("kplan recover --list", "interrupted runs"), ("kplan recover", "put back the only one")),
    "import": (("kplan import 'shop.*' --out shop.yaml", "a stack of what is live"),),
    "doctor": (("kplan doctor --env staging", "what is wrong with its servers, and what to do"),),
    "agent": (
        ("kplan agent --interval 1m --listen 0.0.0.0:9464", "watch the stacks of the project"),
        ("kplan agent --heal config --env prod", "and put configs back that someone changed"),
    ),
    "connector": (("kplan connector restart shop --failed-only", "restart the tasks that failed"),),
}


def format_commands(formatter: click.HelpFormatter, commands: Mapping[str, str]) -> None:
    """Write the commands, each with its first line, by what they are for."""
    for title, names in COMMAND_GROUPS.items():
        with formatter.section(title):
            formatter.write_dl([(name, commands[name]) for name in names])


def format_flags(command: click.Command, context: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the flags of a command: its own first, the others by what they are about."""
    groups: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Options", *FLAG_GROUPS)}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            groups[_find_group(parameter.name or "")].append(record)
    for title, records in groups.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def _find_group(name: str) -> str:
    if name in OUTPUT_FLAGS:
        return "Output and log"
    owners = (title for title, flags in FLAG_GROUPS.items() if name in {field.name for field in fields(flags)})
    return "Project and values" if name == "env_file" else next(owners, "Options")


def format_examples(command: click.Command, formatter: click.HelpFormatter) -> None:
    """Write the examples of a command, where it has some."""
    if examples := EXAMPLES.get(command.name or ""):
        with formatter.section("Examples"):
            formatter.write_dl(examples)
