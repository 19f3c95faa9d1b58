"""Servers that kplan talks to, imitated on this machine: one module for each. None of them needs a service."""
