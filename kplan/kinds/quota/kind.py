"""Client quotas, as a kind of resource. Each part is imported when it is used first."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kplan.kinds.quota.comparison import QuotaComparison
    from kplan.kinds.quota.consequences import QuotaConsequences
    from kplan.kinds.quota.encoding import QuotaEncoding
    from kplan.kinds.quota.language import QuotaLanguage
    from kplan.kinds.quota.views import QuotaViews
    from kplan.kinds.quota.wording import QuotaWording


class QuotaKind:
    """The kind `quota`."""

    name = "quota"
    server = "kafka"
    section = "quotas"
    extends: tuple[tuple[str, str], ...] = ()
    compares_on_server = False
    is_in_every_plan = False
    reads_all = True
    unread_effect = ""
    holds_secrets = False
    reads_databases = False
    move_refusal = ("a quota is of its entity", "declare it under the new name")

    @cached_property
    def encoding(self) -> QuotaEncoding:
        from kplan.kinds.quota.encoding import QuotaEncoding

        return QuotaEncoding()

    @cached_property
    def language(self) -> QuotaLanguage:
        from kplan.kinds.quota.language import QuotaLanguage

        return QuotaLanguage()

    @cached_property
    def comparison(self) -> QuotaComparison:
        from kplan.kinds.quota.comparison import QuotaComparison

        return QuotaComparison()

    @cached_property
    def consequences(self) -> QuotaConsequences:
        from kplan.kinds.quota.consequences import QuotaConsequences

        return QuotaConsequences()

    @cached_property
    def views(self) -> QuotaViews:
        from kplan.kinds.quota.views import QuotaViews

        return QuotaViews()

    @cached_property
    def wording(self) -> QuotaWording:
        from kplan.kinds.quota.wording import QuotaWording

        return QuotaWording()

    def check_name(self, name: str) -> str:
        from kplan.kinds.quota.quota import check_name

        return check_name(name)


QUOTA = QuotaKind()
