"""Which Avro schemas Debezium will register for a table, from the table's structure and the connector's settings."""
