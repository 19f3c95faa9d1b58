"""The stack language: YAML with places, JSON Schema checks, templates, variables, the formatter and its limits."""
