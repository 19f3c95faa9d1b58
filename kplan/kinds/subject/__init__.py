"""Subjects of a schema registry, as a kind of resource."""
