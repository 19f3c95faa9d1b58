"""Access control lists, as a kind of resource: one binding is one resource."""
