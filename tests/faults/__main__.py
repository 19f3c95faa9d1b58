"""`make faults`: the crash matrix, the fault list, the lock trials, the deaths of a broker, and the large applies."""

from __future__ import annotations

import sys

from tests.faults import brokers, faults, large, locks, matrix

if __name__ == "__main__":
    sys.exit(max([*(each.main(sys.argv[1:]) for each in (matrix, faults, locks)), brokers.main([]), large.main([])]))
