"""Whether two values are the same, as far as can be known."""

from __future__ import annotations

from kplan.model import REFERENCE, Secret, Text


def equal(want: Text | None, have: Text | None) -> bool:
    """Whether two settings are the same; a secret that is unknown here is taken as equal."""
    if isinstance(want, str) and isinstance(have, Secret) and REFERENCE.sub("", want).strip():
        want = Secret(value=want)  # a snapshot hides more than what is called a secret
    if isinstance(want, Secret) and isinstance(have, Secret):
        return want.same_as(have) is not False
    return type(want) is type(have) and want == have
