variable "name" {}
variable "topic" {}
variable "extra" { default = {} }

resource "kafka-connect_connector" "this" {
  name = var.name
  config = merge({
    "name"            = var.name
    "connector.class" = "io.confluent.connect.jdbc.JdbcSinkConnector"
    "topics"          = join(",", [var.topic])
    "connection.url"  = "jdbc:postgresql://db/billing"
  }, var.extra)
}

module "dead_letters" {
  source     = "../topics"
  team       = "dlq"
  topics     = [var.topic]
  partitions = 1
  days       = 30
}
