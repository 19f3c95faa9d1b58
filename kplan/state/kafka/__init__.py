"""The state in a Kafka topic: records, the lock and their clients."""
