"""What --target, --exclude, --replace and --accept name, and which of their patterns match nothing."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Sequence

from kplan.diagnostics import Diagnostic, codes, error, warning
from kplan.kinds.registry import KINDS
from kplan.model import Address, Stack
from kplan.planning.risk import ACCEPTED_VERBS, MAX_CHANGES


def known_addresses(stacks: Iterable[Stack], changed: Iterable[Address]) -> list[str]:
    """Return the addresses that a pattern may name: what the stacks declare, remove or move, and what the
    plans change.
    """
    found = [str(address) for address in changed]
    for stack in stacks:
        found += map(str, stack.resources)
        found += (str(removal.address) for removal in stack.removed)
        found += (str(address) for move in stack.moved for address in (move.source, move.target))
    return sorted(dict.fromkeys(found))


def find_unmatched(
    known: Collection[str], flag: str, patterns: Sequence[str], lists: Collection[str]
) -> list[Diagnostic]:
    """Return an error for each pattern of the flag that names nothing.

    `lists` are the patterns that come from a file of them, which may be meant for several stacks: a warning where
    another pattern of the flag matches.
    """
    unmatched = [pattern for pattern in patterns if not fnmatch.filter(known, pattern)]
    some = len(unmatched) < len(patterns)
    return [
        (warning if some and pattern in lists else error)(
            codes.K237, "a pattern matches nothing", f"{flag} {pattern}", help=_suggestion(pattern, known)
        )
        for pattern in unmatched
    ]


def find_unmatched_accepts(known: Collection[str], patterns: Sequence[str]) -> list[Diagnostic]:
    """Return a warning for each --accept that names no step that there could be; one that is no danger is harmless."""
    names = [MAX_CHANGES, *(f"{verb}:{address}" for verb in ACCEPTED_VERBS for address in known)]
    return [
        warning(codes.K237, "a pattern matches nothing", f"--accept {pattern}", help=_accept_help(pattern, names))
        for pattern in patterns
        if not fnmatch.filter(names, pattern)
    ]


def _suggestion(pattern: str, known: Collection[str]) -> str:
    from difflib import get_close_matches

    form = "addresses look like topic/NAME or connector/NAME"
    if not pattern.startswith(tuple(f"{kind}/" for kind in KINDS)):
        named = [address for address in known if fnmatch.fnmatchcase(address.partition("/")[2], pattern)]
        close = named or get_close_matches(f"topic/{pattern}", known, 1)
    else:
        close = get_close_matches(pattern, known, 1)
    return f"{form}; did you mean {close[0]}?" if close else form


def _accept_help(pattern: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(pattern, names, 1)
    form = "a plan prints what it takes, such as delete:topic/NAME"
    return f"{form}; did you mean {close[0]}?" if close else form
