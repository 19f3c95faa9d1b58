"""`make faults`: the crash matrix, the fault list, the lock trials, the deaths of a broker, clocks, large applies, and
what is predicted of tables."""

from __future__ import annotations

import sys

from tests.faults import access, brokers, clocks, faults, large, locks, matrix, moves, prediction, schemas

if __name__ == "__main__":
    chosen = [each.main(sys.argv[1:]) for each in (matrix, faults, locks)]
    sys.exit(max([*chosen, *(each.main([]) for each in (brokers, clocks, large, access, schemas, moves, prediction))]))
