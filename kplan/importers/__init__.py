"""Make a stack from what exists: live topics and connectors, and the files of other tools."""
