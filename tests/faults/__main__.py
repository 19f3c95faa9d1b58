"""`make faults`: the crash matrix, the fault list and the lock trials, whole, with their counts at the end."""

from __future__ import annotations

import sys

from tests.faults import faults, locks, matrix

if __name__ == "__main__":
    sys.exit(max([each.main(sys.argv[1:]) for each in (matrix, faults, locks)]))
