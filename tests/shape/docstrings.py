"""Which docstrings of functions do not begin with a verb: `Return the plan …`, not `The plan …`.

A verb is in the imperative or the third person. A predicate may begin with `Whether`. Not counted are methods such as
`__init__`, whose docstring is about a parameter, and commands, whose docstring is their help.
"""

from __future__ import annotations

import ast

from tests.shape.code import Finding, Package

VERBS = frozenset(
    """
    abort acquire add apply ask begin break bring build call carry check choose clear close collect combine commit
    compare compose compute conceal connect convert copy count cover create declare decide decode delete describe do
    drop emit encode end escape execute expand fail fence find finish format give group handle help hide hold ignore
    import increase join journal keep learn leave let list load log look make map mark mask match measure merge move
    name note notify observe open order parse pass perform plan post prepare print put raise rank read recognize record
    recreate release remember remove render repair replace report request resolve restart restore return roll round run
    save say search send set show sign skip sort split start stop store switch take tell try turn undo unite update
    use verify wait warn write yield
    """.split()  # noqa: SIM905
)


def find_docstrings_without_verb(package: Package) -> list[Finding]:
    """Return each function whose docstring begins with another word than a verb, with that word."""
    return [
        Finding(where.place, where.line, f"{node.name}: {word}")
        for where, node in package.named_functions()
        if not _is_command(node) and (word := first_word(ast.get_docstring(node) or "")) and not is_verb(word)
    ]


def first_word(docstring: str) -> str:
    return docstring.split()[0].rstrip(".,:;") if docstring.strip() else ""


def is_verb(word: str) -> bool:
    """Whether a docstring may begin with the word: `Return`, `Returns`, `Tries` or `Whether`."""
    if word == "Whether":
        return True
    lower = word.lower()
    bases = {lower, lower.removesuffix("s"), lower.removesuffix("es"), lower.removesuffix("ies") + "y"}
    return word[:1].isupper() and bool(bases & VERBS)


def _is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    calls = (decorator.func for decorator in node.decorator_list if isinstance(decorator, ast.Call))
    return any(isinstance(name, ast.Attribute) and name.attr in ("command", "group") for name in calls)
