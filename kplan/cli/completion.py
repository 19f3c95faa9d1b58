"""kplan completion"""

import sys

import click

from kplan.cli.output import write

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    help="Print the completion script of a shell. For bash (4.4 or later): "
    'eval "$(kplan completion bash)" in ~/.bashrc; for zsh the '
    "same in ~/.zshrc, behind `autoload -Uz compinit && compinit`; for fish: kplan completion fish > "
    "~/.config/fish/completions/kplan.fish",
)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> int:
    from click.shell_completion import ShellComplete, get_completion_class

    from kplan.cli import cli

    completion_class = get_completion_class(shell)
    assert completion_class is not None, "click knows all of SHELLS"
    completion = completion_class(cli, {}, "kplan", "_KPLAN_COMPLETE")
    write(ShellComplete.source(completion), sys.stdout)  # click's own for bash starts one, to ask for its version
    return 0
