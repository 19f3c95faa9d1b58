"""Classes: settings that a stack names once, beneath those of each resource that names the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kplan.diagnostics import codes
from kplan.kinds.expansion import KEY, ExpansionContext

KEY_OF_CLASS: Final = "class"


def find_class(context: ExpansionContext, section: str, name: str, at: KEY, help: str = "") -> Mapping[str, Any] | None:
    """Return the class of a section that the block at `at` names, as it is written. Report K117 where there is none;
    `help` is what else the name could be."""
    classes = context.document.data.get(section) or {}
    if name in classes:
        return classes[name] or {}
    from difflib import get_close_matches

    close = get_close_matches(name, classes, 1)
    advice = f"did you mean `{close[0]}`?" if close else f"`{section}:` has {', '.join(classes) or 'none'}{help}"
    context.report(codes.K117, "there is no such class", name, (*at, KEY_OF_CLASS), advice)
    return None
