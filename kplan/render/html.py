"""The plan as one HTML page that needs nothing else: no network, no other file, and no script to be read."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from kplan.render.page import make_page
from kplan.render.text import Context, clean

if TYPE_CHECKING:
    from jinja2 import Environment

SURROGATES = re.compile("[\ud800-\udfff]")  # of a broken text; no file can hold them


def render(documents: Sequence[Mapping[str, Any]], context: Context) -> str:
    """Return the page of one or several plans; all text of a stack or a server in it is escaped."""
    from markupsafe import Markup

    style, script = read_part("plan.css"), read_part("plan.js")
    text = make_environment().get_template("plan.html.j2").render(
        page=make_page(documents, context),
        table=_make_table(),
        style=Markup(style),
        script=Markup(script),
        policy=make_policy(style, script),
    )  # fmt: skip
    return SURROGATES.sub("�", clean(text))


@cache
def make_environment() -> Environment:
    """Return the environment of the pages' templates, which escapes everything."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("kplan.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _make_table() -> Callable[[tuple[tuple[str, str], ...]], str]:
    """Return the macro for a table of attributes; topics with the same attributes share one table."""
    macros: Any = make_environment().get_template("attributes.html.j2").module
    return lru_cache(1024)(macros.table)


def read_part(name: str) -> str:
    """Return the text of a style or a script of this package."""
    environment = make_environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def make_policy(style: str, script: str) -> str:
    """Return what the browser may load and run: this style and this script, and nothing else."""
    sources = f"style-src {_hash_source(style)}; script-src {_hash_source(script)}"
    return f"default-src 'none'; {sources}; img-src data:; base-uri 'none'; form-action 'none'"


def _hash_source(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
