"""Carry a plan out: waves, rollback, recovery and notifications."""
