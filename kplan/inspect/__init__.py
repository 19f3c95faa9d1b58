"""Questions about what is there: status, drift, lineage and snapshots. They return data."""
