"""kplan explain"""

import click

from kplan.cli.command import run_command
from kplan.cli.flags import SHOWING
from kplan.cli.session import Session


@click.command("explain", help="Explain a code such as K104, or list them all.")
@click.argument("code", required=False)
@SHOWING
@run_command
def command(session: Session, code: str | None) -> int:
    import textwrap

    from kplan.diagnostics.codes.table import CODES, find_similar

    code = (code or "").upper()
    if not code:
        for entry in CODES.values():
            session.say(f"{entry.number}  {entry.title}")
        return 0
    if code not in CODES:
        suggestion = f"; did you mean {find_similar(code)}?" if find_similar(code) else ""
        raise click.BadParameter(f"there is no code {code}{suggestion}", param_hint="CODE")

    session.say(f"{code}: {CODES[code].title}\n")
    for paragraph in CODES[code].text.split("\n\n"):
        is_example = any(line.startswith(" ") for line in paragraph.splitlines())
        text = " ".join(paragraph.split())
        session.say(paragraph if is_example else textwrap.fill(text, session.width, break_on_hyphens=False))
        session.say()
    return 0
