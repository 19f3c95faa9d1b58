"""Connectors, as a kind of resource. Each part is imported when it is used first."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from kplan.text import CONTROL_CHARACTERS

if TYPE_CHECKING:
    from kplan.kinds.connector.comparison import ConnectorComparison
    from kplan.kinds.connector.consequences import ConnectorConsequences
    from kplan.kinds.connector.encoding import ConnectorEncoding
    from kplan.kinds.connector.language import ConnectorLanguage
    from kplan.kinds.connector.views import ConnectorViews
    from kplan.kinds.connector.wording import ConnectorWording


class ConnectorKind:
    """The kind `connector`."""

    name = "connector"
    server = "connect"
    section = "connectors"
    extends: tuple[tuple[str, str], ...] = ()
    compares_on_server = False
    is_in_every_plan = True
    reads_all = True
    unread_effect = "; which sinks read its topics is not known, and counts as a danger"
    holds_secrets = True
    reads_databases = True
    move_refusal = None

    @cached_property
    def encoding(self) -> ConnectorEncoding:
        from kplan.kinds.connector.encoding import ConnectorEncoding

        return ConnectorEncoding()

    @cached_property
    def language(self) -> ConnectorLanguage:
        from kplan.kinds.connector.language import ConnectorLanguage

        return ConnectorLanguage()

    @cached_property
    def comparison(self) -> ConnectorComparison:
        from kplan.kinds.connector.comparison import ConnectorComparison

        return ConnectorComparison()

    @cached_property
    def consequences(self) -> ConnectorConsequences:
        from kplan.kinds.connector.consequences import ConnectorConsequences

        return ConnectorConsequences()

    @cached_property
    def views(self) -> ConnectorViews:
        from kplan.kinds.connector.views import ConnectorViews

        return ConnectorViews()

    @cached_property
    def wording(self) -> ConnectorWording:
        from kplan.kinds.connector.wording import ConnectorWording

        return ConnectorWording()

    def check_name(self, name: str) -> str:
        return "it has control characters" if CONTROL_CHARACTERS.search(name) else ""


CONNECTOR = ConnectorKind()
