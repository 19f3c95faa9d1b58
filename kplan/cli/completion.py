"""kplan completion"""

import sys

import click

from kplan.cli.output import write

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    help='Print the completion script of a shell. For bash: eval "$(kplan completion bash)" in ~/.bashrc; for zsh the '
    "same in ~/.zshrc, behind `autoload -Uz compinit && compinit`; for fish: kplan completion fish > "
    "~/.config/fish/completions/kplan.fish",
)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> int:
    from click.shell_completion import get_completion_class

    from kplan.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None, "click knows all of SHELLS"
    write(kind(cli, {}, "kplan", "_KPLAN_COMPLETE").source(), sys.stdout)
    return 0
