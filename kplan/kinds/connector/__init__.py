"""Connectors: their templates, tables, topics, transforms, settings and databases."""
