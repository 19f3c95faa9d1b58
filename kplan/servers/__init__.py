"""The servers that kplan reads and changes: Kafka, Connect, databases, and a cluster simulated in SQLite."""
