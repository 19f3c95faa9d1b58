"""Kafka brokers, through librdkafka's clients."""
