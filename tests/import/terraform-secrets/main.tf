variable "password" {
  sensitive = true
}

variable "other" {
  sensitive = true
}

locals {
  token = data.vault_generic_secret.kafka.data["token"]
}

resource "kafka-connect_connector" "orders" {
  name = "orders"
  config = {
    "connector.class" = "io.confluent.connect.jdbc.JdbcSinkConnector"
    "topics"          = "orders"
    "connection.url"  = "jdbc:postgresql://db/orders"
  }
  config_sensitive = {
    "connection.password" = var.password
    "value.converter.schema.registry.basic.auth.user.info" = "kplan:${local.token}"
  }
}

resource "kafka-connect_connector" "lines" {
  name = "lines"
  config = {
    "connector.class" = "io.confluent.connect.jdbc.JdbcSinkConnector"
    "topics"          = "lines"
    "connection.url"  = "jdbc:postgresql://db/lines"
  }
  config_sensitive = {
    "connection.password" = "${var.password}"
    "value.converter.schema.registry.basic.auth.user.info" = "kplan:${local.token}"
  }
}

resource "kafka-connect_connector" "clicks" {
  name = "clicks"
  config = {
    "connector.class" = "io.confluent.connect.jdbc.JdbcSinkConnector"
    "topics"          = "clicks"
    "connection.url"  = "jdbc:postgresql://db/clicks"
  }
  config_sensitive = {
    "connection.password" = var.other
  }
}
