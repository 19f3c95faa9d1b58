"""The kinds of resources: what is specific to each, without input and output."""
