"""kplan: plan, apply and roll back Kafka topics and Kafka Connect connectors."""

__version__ = "0.1.0"
