"""The plan as one HTML page that needs nothing else: no network, no other file, and no script to be read."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from kplan.render.page import page
from kplan.render.text import Context, clean

if TYPE_CHECKING:
    from jinja2 import Environment

SURROGATES = re.compile("[\ud800-\udfff]")  # of a broken text; no file can hold them


def render(documents: Sequence[Mapping[str, Any]], context: Context) -> str:
    """The page of one or several plans; what it holds of a stack's or a server's text is escaped."""
    from markupsafe import Markup

    style, script = _part("plan.css"), _part("plan.js")
    text = _environment().get_template("plan.html.j2").render(
        page=page(documents, context),
        table=_table(),
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
    )  # fmt: skip
    return SURROGATES.sub("�", clean(text))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("kplan.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _table() -> Callable[[tuple[tuple[str, str], ...]], str]:
    """Makes the table of a step's attributes, which is made once for all topics that have the same."""
    macros: Any = _environment().get_template("attributes.html.j2").module
    return lru_cache(1024)(macros.table)


def _part(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _policy(style: str, script: str) -> str:
    """What the browser may load and run: this style and this script, and nothing from anywhere."""
    own = f"style-src {_hash(style)}; script-src {_hash(script)}"
    return f"default-src 'none'; {own}; img-src data:; base-uri 'none'; form-action 'none'"


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
