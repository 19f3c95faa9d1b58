"""A SCRAM user: its mechanisms, and a password that no broker tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar, Final

from kplan.kinds.parts import decode_part, encode_part
from kplan.model import Resource, Secret
from kplan.values import dataclass

MECHANISMS: Final = ("SCRAM-SHA-256", "SCRAM-SHA-512")
DEFAULT_ITERATIONS: Final = 4096
FEWEST_ITERATIONS, MOST_ITERATIONS = 4096, 16384  # `org.apache.kafka.common.security.scram.internals.ScramMechanism`


@dataclass(frozen=True, slots=True)
class ScramUser(Resource):
    """`mechanisms` has the iterations of each mechanism, in the order of the stack; `name` is the encoded user name.

    A live user has a `password` only where a login told of it. `previous` is the password that the stack names as the
    old one.
    """

    kind: ClassVar[str] = "user"

    mechanisms: Mapping[str, int] = field(default_factory=dict)
    password: Secret | None = None
    previous: Secret | None = field(default=None, compare=False)
    uncompared: str = field(default="", compare=False)  # of a live user: why no login told its password

    @property
    def user_name(self) -> str:
        return decode_part(self.name)

    @property
    def principal(self) -> str:
        return f"User:{self.user_name}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login takes: a user's name, a mechanism, and the password to try."""

    user: str
    mechanism: str
    password: str = field(repr=False)


def name_user(user_name: str) -> str:
    """Return the name that the address of a user has."""
    return encode_part(user_name)


def check_name(name: str) -> str:
    """Say why no user has this name; empty where one can."""
    return "" if name and encode_part(decode_part(name)) == name else f"write {encode_part(decode_part(name))}"
