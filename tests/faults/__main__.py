"""`make faults`: the crash matrix, the fault list, the lock trials and the deaths of one broker of three."""

from __future__ import annotations

import sys

from tests.faults import brokers, faults, locks, matrix

if __name__ == "__main__":
    sys.exit(max([*(each.main(sys.argv[1:]) for each in (matrix, faults, locks)), brokers.main([])]))
