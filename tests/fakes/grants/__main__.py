"""kplan as its user runs it, with the kind `grant` registered: python -m tests.fakes.grants ARGUMENTS."""

from kplan.__main__ import main
from kplan.app import servers
from kplan.kinds import registry
from tests.fakes.grants.kind import GrantKind, open_grants

registry._kinds["grant"] = GrantKind()
servers.BACKENDS["grant"] = open_grants
main()
