"""Users as JSON without passwords, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kplan.kinds.base import Encoding
from kplan.kinds.user.user import ScramUser
from kplan.model import Origin, Rules, Secret, frozen
from kplan.model.codec import config_from_json, config_to_json
from kplan.model.fields import Json, read_integer, read_mapping


class UserEncoding(Encoding[ScramUser]):
    """`{mechanisms: {SCRAM-SHA-512: {iterations}}, password, previous_password}`."""

    def encode(self, user: ScramUser) -> Json:
        passwords = {"password": user.password, "previous_password": user.previous}
        return {
            "mechanisms": {name: {"iterations": number} for name, number in user.mechanisms.items()},
            **config_to_json({key: value for key, value in passwords.items() if value is not None}),
        }

    def decode(self, name: str, fields: Mapping[str, Any], origin: Origin, rules: Rules) -> ScramUser:
        found = read_mapping(fields.get("mechanisms", {}))
        mechanisms = {str(key): read_integer(read_mapping(each), "iterations", 0) for key, each in found.items()}
        known = {key: fields[key] for key in ("password", "previous_password") if key in fields}
        passwords = config_from_json(known)
        if any(not isinstance(value, Secret) for value in passwords.values()):
            raise ValueError("a password is not marked as sensitive")
        password, previous = passwords.get("password"), passwords.get("previous_password")
        return ScramUser(
            name,
            frozen(mechanisms),
            password if isinstance(password, Secret) else None,
            previous if isinstance(previous, Secret) else None,
            origin=origin,
            rules=rules,
        )

    def describe(self, user: ScramUser) -> Mapping[str, Any]:
        return {"name": user.user_name, "mechanisms": {name: str(count) for name, count in user.mechanisms.items()}}
