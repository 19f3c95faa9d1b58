"""Print the measures of the code's shape beside their limits; ends with 1 where one is exceeded.

python -m tests.shape            # the table
python -m tests.shape --places   # and every place that counts
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.shape.claims import Claims
from tests.shape.code import Package
from tests.shape.docstrings import find_docstrings_without_verb
from tests.shape.mirror import misplaced_tests
from tests.shape.prose import (
    MAX_SENTENCE_WORDS,
    Messages,
    find_banned_in_data,
    find_banned_in_pages,
    find_long_sentences,
)

MAX_CLASS_LINES = 300
MAX_BODY_LINES = 54


@dataclass(frozen=True)
class Measure:
    """One row: what is counted, the most that there may be, and the places."""

    name: str
    limit: float
    places: Callable[[Package], Sequence[object]]
    share_of: Callable[[Package], int] | None = None  # then the limit is a share of this number

    def value(self, package: Package) -> float:
        count = len(self.places(package))
        return count if self.share_of is None else count / self.share_of(package)


# A limit may only go down. Lower it in the change that makes it possible.
MEASURES = (
    Measure("modules directly in kplan/", 12, Package.modules_at_top),
    Measure("places that know a single kind", 13, Package.kind_knowledge),
    Measure("groups of modules that import each other", 0, Package.cycles),
    Measure(f"classes of more than {MAX_CLASS_LINES} lines", 0,
            lambda p: [f"{where} ({lines})" for where, lines in p.classes() if lines > MAX_CLASS_LINES]),
    Measure(f"functions of more than {MAX_BODY_LINES} lines", 0,
            lambda p: [f"{where} ({lines})" for where, lines in p.functions() if lines > MAX_BODY_LINES]),
    Measure("functions named by a bare participle", 0.002, Package.bare_participles,
            share_of=lambda p: sum(1 for _ in p.named_functions())),
    Measure("docstrings of functions that do not begin with a verb", 0, find_docstrings_without_verb),
    Measure("public class names used twice", 0, Package.public_classes_twice),
    Measure("tests that assert nothing", 0, lambda p: Claims().tests_without_assertion()),
    Measure("test files that mirror no module", 0, lambda p: misplaced_tests()),
    Measure("banned words in pages and data", 0, lambda p: [*find_banned_in_pages(), *find_banned_in_data()]),
    Measure("banned words in messages", 0, lambda p: Messages().find_banned()),
    Measure(f"sentences of more than {MAX_SENTENCE_WORDS} words", 0, lambda p: find_long_sentences()),
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    package = Package()
    exceeded = 0
    for measure in MEASURES:
        value = measure.value(package)
        wrong = value > measure.limit
        exceeded += wrong
        shown = f"{value:.3f}" if measure.share_of else f"{value:.0f}"
        print(f"{'TOO MANY' if wrong else 'ok':8} {shown:>6} of {measure.limit:>6}  {measure.name}")
        if wrong or "--places" in arguments:
            for place in measure.places(package):
                print(f"{'':27}{place}")
    return 1 if exceeded else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
