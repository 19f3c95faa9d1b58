"""kplan completion"""

import sys

import click

from kplan.cli.output import write

SHELLS = ("bash", "zsh", "fish")
# Bash breaks words at `:` and `=`, which addresses hold: what is typed is split here, and a word is completed from the
# last break on. A place of -1 is that of the last word, and the other one is behind all words.
BASH_EDITS = (
    (
        "    local response\n",
        """    local response
    local line="${COMP_LINE:0:$COMP_POINT}"
    local typed="${line##*[[:space:]]}" place=-1
    [[ -n $typed ]] || place=9999
    [[ $typed == --*=* ]] && typed="${typed#*=}"
    [[ $COMP_WORDBREAKS == *:* ]] && typed="${typed%"${typed##*[:=]}"}" || typed=
""",
    ),
    ('COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD', 'COMP_WORDS="$line" COMP_CWORD=$place'),
    ("COMPREPLY+=($value)", 'COMPREPLY+=("${value#"$typed"}")'),
)


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
    script = ShellComplete.source(completion)  # click's own for bash starts one, to ask for its version
    for old, new in BASH_EDITS if shell == "bash" else ():
        script = script.replace(old, new)
    write(script, sys.stdout)
    return 0
