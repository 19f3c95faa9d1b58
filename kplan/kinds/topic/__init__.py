"""Topics: their configs, settings in layers, replicas and internal names."""
