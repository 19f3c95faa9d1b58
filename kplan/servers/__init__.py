"""Where the world is touched: Kafka, Connect, and a cluster that is simulated in SQLite."""
