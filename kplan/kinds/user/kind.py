"""SCRAM users, as a kind of resource. Each part is imported when it is used first."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kplan.kinds.user.comparison import UserComparison
    from kplan.kinds.user.consequences import UserConsequences
    from kplan.kinds.user.encoding import UserEncoding
    from kplan.kinds.user.language import UserLanguage
    from kplan.kinds.user.views import UserViews
    from kplan.kinds.user.wording import UserWording


class UserKind:
    """The kind `user`."""

    name = "user"
    server = "kafka"
    section = "users"
    extends: tuple[tuple[str, str], ...] = ()
    compares_on_server = False
    is_in_every_plan = False
    reads_all = False
    unread_effect = ""
    holds_secrets = True
    reads_databases = False
    move_refusal = ("a user cannot be renamed", "declare it under the new name")

    @cached_property
    def encoding(self) -> UserEncoding:
        from kplan.kinds.user.encoding import UserEncoding

        return UserEncoding()

    @cached_property
    def language(self) -> UserLanguage:
        from kplan.kinds.user.language import UserLanguage

        return UserLanguage()

    @cached_property
    def comparison(self) -> UserComparison:
        from kplan.kinds.user.comparison import UserComparison

        return UserComparison()

    @cached_property
    def consequences(self) -> UserConsequences:
        from kplan.kinds.user.consequences import UserConsequences

        return UserConsequences()

    @cached_property
    def views(self) -> UserViews:
        from kplan.kinds.user.views import UserViews

        return UserViews()

    @cached_property
    def wording(self) -> UserWording:
        from kplan.kinds.user.wording import UserWording

        return UserWording()

    def check_name(self, name: str) -> str:
        from kplan.kinds.user.user import check_name

        return check_name(name)


USER = UserKind()
