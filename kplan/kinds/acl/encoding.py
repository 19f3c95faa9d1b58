"""Bindings as JSON, and back. The name says everything; the fields are for people and for guards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kplan.kinds.acl.binding import AclBinding, parse_binding
from kplan.kinds.acl.options import AclOptions
from kplan.kinds.base import Encoding
from kplan.model import ChangeOptions, Origin, Rules
from kplan.model.fields import Json, drop_empty, read_flag


class AclEncoding(Encoding[AclBinding]):
    """`{principal, permission, operation, resource_type, resource_name, pattern, host}`."""

    def encode(self, binding: AclBinding) -> Json:
        return {
            "principal": binding.principal,
            "permission": binding.permission,
            "operation": binding.operation,
            "resource_type": str(binding.resource_type),
            "resource_name": binding.resource_name,
            "pattern": str(binding.pattern),
            "host": binding.host,
        }

    def decode(self, name: str, fields: Mapping[str, Any], origin: Origin, rules: Rules) -> AclBinding:
        return replace(parse_binding(name), origin=origin, rules=rules)

    def describe(self, binding: AclBinding) -> Mapping[str, Any]:
        return {"name": binding.name, **self.encode(binding)}

    def encode_options(self, options: ChangeOptions) -> Json:
        return drop_empty({"own_access": isinstance(options, AclOptions) and options.own_access})

    def decode_options(self, fields: Mapping[str, Any], common: ChangeOptions) -> ChangeOptions:
        if not read_flag(fields, "own_access"):
            return common
        return AclOptions(common.effects, common.verified, own_access=True)
