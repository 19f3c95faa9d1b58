"""SCRAM users, as a kind of resource."""
