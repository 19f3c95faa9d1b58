"""Schema registries that speak Confluent's REST API: Confluent's own, Karapace, Apicurio."""
