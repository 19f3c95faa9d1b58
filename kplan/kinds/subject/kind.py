"""Subjects of a schema registry, as a kind of resource. Each part is imported when it is used first."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kplan.kinds.subject.comparison import SubjectComparison
    from kplan.kinds.subject.consequences import SubjectConsequences
    from kplan.kinds.subject.encoding import SubjectEncoding
    from kplan.kinds.subject.language import SubjectLanguage
    from kplan.kinds.subject.views import SubjectViews
    from kplan.kinds.subject.wording import SubjectWording


class SubjectKind:
    """The kind `subject`."""

    name = "subject"
    server = "registry"
    section = "schemas"
    extends: tuple[tuple[str, str], ...] = (("topics", "schema"), ("connectors", "schemas"))
    compares_on_server = True
    is_in_every_plan = False
    reads_all = False
    unread_effect = ""
    holds_secrets = False
    reads_databases = False
    move_refusal = ("a subject cannot be renamed", "declare it under the new name")

    @cached_property
    def encoding(self) -> SubjectEncoding:
        from kplan.kinds.subject.encoding import SubjectEncoding

        return SubjectEncoding()

    @cached_property
    def language(self) -> SubjectLanguage:
        from kplan.kinds.subject.language import SubjectLanguage

        return SubjectLanguage()

    @cached_property
    def comparison(self) -> SubjectComparison:
        from kplan.kinds.subject.comparison import SubjectComparison

        return SubjectComparison()

    @cached_property
    def consequences(self) -> SubjectConsequences:
        from kplan.kinds.subject.consequences import SubjectConsequences

        return SubjectConsequences()

    @cached_property
    def views(self) -> SubjectViews:
        from kplan.kinds.subject.views import SubjectViews

        return SubjectViews()

    @cached_property
    def wording(self) -> SubjectWording:
        from kplan.kinds.subject.wording import SubjectWording

        return SubjectWording()

    def check_name(self, name: str) -> str:
        from kplan.kinds.subject.subject import check_name

        return check_name(name)


SUBJECT = SubjectKind()
