"""Where kplan remembers: the ledger (who owns what), the journal (what a run did), and the lock."""
