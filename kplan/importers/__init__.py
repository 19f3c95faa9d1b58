"""What is there already becomes a stack: live topics and connectors, and the files of other tools."""
