"""One object for each code of a diagnostic, by its number: `error(codes.K206, …)`.

The modules hold the codes by subject, `ranges` says what the numbers mean, and `table` finds a code by its number.
"""

from kplan.diagnostics.codes.access import *  # noqa: F403
from kplan.diagnostics.codes.authorizer import *  # noqa: F403
from kplan.diagnostics.codes.connect import *  # noqa: F403
from kplan.diagnostics.codes.connectors import *  # noqa: F403
from kplan.diagnostics.codes.databases import *  # noqa: F403
from kplan.diagnostics.codes.environments import *  # noqa: F403
from kplan.diagnostics.codes.files import *  # noqa: F403
from kplan.diagnostics.codes.hosting import *  # noqa: F403
from kplan.diagnostics.codes.importing import *  # noqa: F403
from kplan.diagnostics.codes.pipelines import *  # noqa: F403
from kplan.diagnostics.codes.planning import *  # noqa: F403
from kplan.diagnostics.codes.policies import *  # noqa: F403
from kplan.diagnostics.codes.registry import *  # noqa: F403
from kplan.diagnostics.codes.replicas import *  # noqa: F403
from kplan.diagnostics.codes.risks import *  # noqa: F403
from kplan.diagnostics.codes.runs import *  # noqa: F403
from kplan.diagnostics.codes.secrets import *  # noqa: F403
from kplan.diagnostics.codes.servers import *  # noqa: F403
from kplan.diagnostics.codes.state import *  # noqa: F403
from kplan.diagnostics.codes.subjects import *  # noqa: F403
from kplan.diagnostics.codes.users import *  # noqa: F403
from kplan.diagnostics.codes.values import *  # noqa: F403
