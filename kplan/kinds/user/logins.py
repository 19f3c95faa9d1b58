"""What logins with several mechanisms tell of one password."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kplan.kinds.user.user import Credentials
from kplan.model import Address

Check = Callable[[Mapping[Address, Credentials]], Mapping[Address, bool]]


def try_mechanisms(check: Check, logins: Mapping[Address, Sequence[Credentials]]) -> dict[Address, bool]:
    """Return whether all logins of each user work, as far as anything is known: each mechanism has its own password."""
    told: dict[Address, bool] = {}
    for number in range(max(map(len, logins.values()), default=0)):
        asked = {a: each[number] for a, each in logins.items() if number < len(each) and told.get(a) is not False}
        told |= check(asked) if asked else {}
    return told
