"""kplan completion"""

import click

from kplan.cli.common import Session
from kplan.cli.common import command as calls

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    help='Print the completion script of a shell. For bash: eval "$(kplan completion bash)" in ~/.bashrc; for zsh the '
    "same in ~/.zshrc; for fish: kplan completion fish > ~/.config/fish/completions/kplan.fish",
)
@click.argument("shell", type=click.Choice(SHELLS))
@calls
def command(session: Session) -> int:
    from click.shell_completion import get_completion_class

    from kplan.cli import cli

    kind = get_completion_class(session.settings["shell"])
    assert kind is not None, "click knows all of SHELLS"
    session.say(kind(cli, {}, "kplan", "_KPLAN_COMPLETE").source())
    return 0
