"""Client quotas, as a kind of resource."""
