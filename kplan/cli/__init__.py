"""The command line: parse, call, render, exit code. Commands are imported when they are called."""

from __future__ import annotations

import importlib
import os
from typing import Any

import click

from kplan.version import __version__

COMMANDS = {
    "init": "Write a kplan.yaml and a first stack that validates.",
    "validate": "Report every error of the stacks at once, without a server.",
    "fmt": "Rewrite stack files in canonical order and spacing; comments survive.",
    "plan": "Show what would change.",
    "apply": "Apply the changes in a safe order; roll back if a step fails.",
    "destroy": "Delete what the stacks own.",
    "diff": "Compare two environments, and say why they differ.",
    "modules": "Fetch the repositories that kplan.yaml pins, and lock them.",
    "discover": "List the tables of a connector's database, and which are not captured.",
    "drift": "Show what was changed live since the last apply.",
    "list": "List live resources and their owners.",
    "status": "Show the health of topics, connectors and tasks.",
    "agent": "Watch status and drift, serve metrics, and call webhooks.",
    "doctor": "Say what is wrong with the servers, what they can do, and what kplan may do.",
    "wait": "Return once the servers are ready.",
    "connector": "Show, pause, resume, stop or restart a live connector; manage its offsets.",
    "graph": "Show what feeds what: tables, connectors, topics, sinks.",
    "docs": "Write a catalogue of all stacks as one page to search.",
    "show": "Show a saved plan, a run, or the expanded stack.",
    "describe": "Show all that is known of one resource.",
    "history": "Show who changed what, when and why.",
    "import": "Write a stack from live resources or from other tools' files.",
    "rehearse": "Run a saved plan on a simulated cluster, with a failure at each step.",
    "snapshot": "Save the live state without secrets, to plan from it without servers.",
    "comment": "Post a plan as a comment in its pull or merge request, or replace the previous one.",
    "fetch": "Download the reviewed plan of the merged pull or merge request.",
    "recover": "Roll back or complete an interrupted run, or finish a rollback.",
    "state": "Clean or sign the records of the ledger and the journal, or rename a Connect.",
    "explain": "Explain a code such as K104.",
    "schema": "Print a JSON Schema, or list them.",
    "completion": "Print the completion script of a shell.",
    "version": "Print versions.",
}

EXIT_CODES = """
\b
Exit codes:
  0   success (a plan is made, with or without changes)
  1   failed, nothing changed (a server is unreachable, a bug)
  2   differences found: plan --detailed-exitcode, drift, status, fmt --check
  3   blocked by a danger, by protect, by max_changes or by a policy
  4   stack invalid, refused by the servers, or owned by another stack
  5   saved plan is stale, or for another stack or cluster
  6   another apply holds the lock
  7   apply failed; everything was rolled back and verified
  8   apply failed or was interrupted; some changes remain
  9   declined, or no terminal to confirm on
  64  wrong command line
  130 interrupted before any change
"""


class Commands(click.Group):
    """A group that has its commands' names and first lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"kplan.cli.{name}")
        command = module.command
        assert isinstance(command, click.Command)
        _group_help(command)
        if ctx.resilient_parsing:  # a shell asks for completions
            importlib.import_module("kplan.cli.completing").attach_completions(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from kplan.cli.help import format_commands

        format_commands(formatter, COMMANDS)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[:1] == ["help"]:  # as with git
            args = [*(word for word in args[1:] if not word.startswith("-")), "--help"]
            if args == ["--help"]:
                click.echo(ctx.get_help())
                ctx.exit()
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from kplan.cli.habits import find_command_hint

            ctx.fail(f"No such command '{args[0]}'.{find_command_hint(args, COMMANDS)}")
        return super().resolve_command(ctx, args)


def _group_help(command: click.Command) -> None:
    """Let the command's help have its flags in groups, and examples."""

    def format_options(context: click.Context, formatter: click.HelpFormatter) -> None:
        from kplan.cli import help

        help.format_flags(command, context, formatter)
        if isinstance(command, click.Group):
            command.format_commands(context, formatter)
        help.format_examples(command, formatter)

    command.format_options = format_options  # type: ignore[method-assign, assignment]


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EXIT_CODES
)
@click.version_option(__version__, prog_name="kplan", message="%(prog)s %(version)s")
@click.option(
    "-C",
    "--dir",
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Work in this folder.",
)
@click.option(
    "--profile",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write where the time of the command goes: FILE.html is a page, FILE.json a trace, anything else text.",
)
@click.pass_context
def cli(context: click.Context, folder: str | None, profile: str | None) -> None:
    """Terraform for Kafka topics and Kafka Connect connectors.

    Stack files declare what should exist. `plan` shows what would change. `apply` makes the changes in a safe order and
    rolls everything back if a step fails.

    Each --flag can be set as KPLAN_FLAG in the environment, except --yes, --accept, --replace, --forget and --var.
    """
    if folder is not None:
        os.chdir(folder)  # -C of a command is relative to it, as with git
    if profile is not None:
        from kplan.cli.profiling import profile_call

        profile_call(context, os.path.abspath(profile))  # noqa: PTH100
