"""What Debezium's connectors have beyond every connector: databases, slots, signals, and their six engines."""
