"""Bindings of access control lists, as a kind of resource. Each part is imported when it is used first."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kplan.kinds.acl.comparison import AclComparison
    from kplan.kinds.acl.consequences import AclConsequences
    from kplan.kinds.acl.encoding import AclEncoding
    from kplan.kinds.acl.language import AclLanguage
    from kplan.kinds.acl.views import AclViews
    from kplan.kinds.acl.wording import AclWording


class AclKind:
    """The kind `acl`."""

    name = "acl"
    server = "kafka"
    section = "access"
    extends: tuple[tuple[str, str], ...] = ()
    compares_on_server = False
    is_in_every_plan = False
    reads_all = True
    unread_effect = ""
    holds_secrets = False
    reads_databases = False
    move_refusal = ("a binding is its principal, operation and resource", "declare it under the new name")

    @cached_property
    def encoding(self) -> AclEncoding:
        from kplan.kinds.acl.encoding import AclEncoding

        return AclEncoding()

    @cached_property
    def language(self) -> AclLanguage:
        from kplan.kinds.acl.language import AclLanguage

        return AclLanguage()

    @cached_property
    def comparison(self) -> AclComparison:
        from kplan.kinds.acl.comparison import AclComparison

        return AclComparison()

    @cached_property
    def consequences(self) -> AclConsequences:
        from kplan.kinds.acl.consequences import AclConsequences

        return AclConsequences()

    @cached_property
    def views(self) -> AclViews:
        from kplan.kinds.acl.views import AclViews

        return AclViews()

    @cached_property
    def wording(self) -> AclWording:
        from kplan.kinds.acl.wording import AclWording

        return AclWording()

    def check_name(self, name: str) -> str:
        from kplan.kinds.acl.language import check_name

        return check_name(name)


ACL = AclKind()
