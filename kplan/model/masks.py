"""Keeps the values of secrets out of everything that is said: messages, errors, logs (`masked_logs`)."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus, urlsplit

from kplan.model import Secret
from kplan.patterns import late_pattern

SHORTEST = 4  # what is shorter stands in too many other words, and hiding it would hide those
LONG_LINE = 8  # from here on one line of a secret is a secret itself
HIDDEN = "(sensitive)"
INNER_PASSWORD = late_pattern(
    r"""(?:password|passwd|pwd|secret|token)["']?\s*[=:]\s*["']?([^"';,&\s]+)""", re.IGNORECASE
)
_URL_SAFE = str.maketrans("+/", "-_")


class Mask:
    """Holds the values of secrets. Those of `SHORTEST` characters and more are replaced in any text.

    Servers quote values in their own way, so each is known percent-encoded, JSON- and HTML-escaped and in base64 too,
    and the password inside a connection string or a JAAS line counts as well. Threads may share one.
    """

    __slots__ = ("_changed", "_forms", "_lock", "_pattern", "_values")

    def __init__(self, values: Iterable[str | Secret | None] = ()) -> None:
        self._lock = threading.Lock()
        self._values: set[str] = set()
        self._forms: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] | None = None
        self._changed = False
        self.add(values)

    def add(self, values: Iterable[str | Secret | None]) -> None:
        """Hide `values` from now on; None and what is too short change nothing."""
        plain = {value.value if isinstance(value, Secret) else value for value in values}
        new = {value for value in plain if value and len(value) >= SHORTEST}
        with self._lock:
            if not new <= self._values:
                self._values |= new
                self._changed = True

    def add_config(self, config: Mapping[str, str | Secret]) -> None:
        """Hide the secrets of a connector's config from now on."""
        self.add(value for value in config.values() if isinstance(value, Secret))

    def mask(self, text: str) -> str:
        """Return `text` with `(sensitive)` for every secret in it. Secrets that overlap are hidden whole."""
        if not self._values:
            return text
        pattern, forms = self._compile_forms()
        if pattern is None or not pattern.search(text):
            return text
        return _without(text, _merge_places(sorted(_places(text, forms))))

    def _compile_forms(self) -> tuple[re.Pattern[str] | None, tuple[str, ...]]:
        with self._lock:
            if self._changed:
                forms = {form for value in self._values for form in _forms(value) if len(form) >= SHORTEST}
                self._forms = tuple(sorted(forms))
                self._pattern = re.compile("|".join(map(re.escape, self._forms)))
                self._changed = False
            return self._pattern, self._forms


def _forms(value: str) -> Iterator[str]:
    """Yield every way in which a server may write `value`, or the part of it that is the secret."""
    import html

    for part in {value, value.strip(), *_parts(value)}:
        yield part
        for coded in (quote(part, safe=""), quote(part), quote_plus(part)):
            yield coded
            yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), coded)
        for ascii_only in (True, False):
            yield json.dumps(part, ensure_ascii=ascii_only)[1:-1]
        yield html.escape(part)
        yield html.escape(part, quote=False)
        yield " ".join(part.split())
        yield from _in_base64(part.encode("utf-8", "replace"))


def _in_base64(data: bytes) -> Iterator[str]:
    """Yield how it looks in base64, alone (with what pads it or without) and inside something longer, such as
    user:password.

    Three bytes become four characters, so there are three ways; the characters at the ends depend on the neighbours.
    """
    yield from (code(data).decode().rstrip("=") for code in (base64.b64encode, base64.urlsafe_b64encode))
    for before in range(3):
        whole = base64.b64encode(b"." * before + data).decode().rstrip("=")
        partial = 1 if (before + len(data)) % 3 else 0  # the last character holds bits of what follows
        inner = whole[(0, 2, 3)[before] : len(whole) - partial]
        if len(inner) >= LONG_LINE:
            yield inner
            yield inner.translate(_URL_SAFE)


def _parts(value: str) -> Iterator[str]:
    """Yield the secrets within a secret: long lines of it, passwords in URLs and in `password=…`."""
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= LONG_LINE)
    yield from (found for found in INNER_PASSWORD.findall(value) if len(found) >= SHORTEST)
    if "://" in value:
        password = _url_password(value)
        if len(password) >= SHORTEST:
            yield password


def _url_password(value: str) -> str:
    try:
        return urlsplit(value).password or ""
    except ValueError:
        return ""


def _places(text: str, forms: Iterable[str]) -> Iterator[tuple[int, int]]:
    for form in forms:
        start = text.find(form)
        while start >= 0:
            yield start, start + len(form)
            start = text.find(form, start + 1)


def _merge_places(places: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield places that overlap as one; `places` are sorted."""
    begin = end = -1
    for start, stop in places:
        if start < end:
            end = max(end, stop)
            continue
        if end > begin:
            yield begin, end
        begin, end = start, stop
    if end > begin:
        yield begin, end


def _without(text: str, places: Iterable[tuple[int, int]]) -> str:
    kept: list[str] = []
    position = 0
    for start, stop in places:
        kept += [text[position:start], HIDDEN]
        position = stop
    return "".join([*kept, text[position:]])
