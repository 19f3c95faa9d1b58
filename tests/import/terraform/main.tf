terraform {
  required_providers {
    kafka = {
      source  = "Mongey/kafka"
      version = "~> 0.7"
    }
  }
}

provider "kafka" {
  bootstrap_servers = ["localhost:9092"]
}

variable "partitions" {
  type    = number
  default = 6
}

variable "db_password" {
  sensitive = true
}

locals {
  prefix = "shop"
  week   = "604800000"
}

resource "kafka_topic" "orders" {
  name               = "${local.prefix}.orders"
  replication_factor = 3
  partitions         = var.partitions

  config = {
    "segment.ms"     = "20000"
    "cleanup.policy" = "compact"
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "kafka_topic" "customers" {
  name               = "shop.customers"
  replication_factor = 3
  partitions         = var.partitions
  config = {
    "retention.ms"    = local.week
    "retention.bytes" = 1024 * 1024
  }
}

resource "kafka_topic" "each" {
  for_each           = toset(["a", "b"])
  name               = each.key
  replication_factor = 3
  partitions         = 1
}

resource "kafka_acl" "reader" {
  resource_name       = "shop.orders"
  resource_type       = "Topic"
  acl_principal       = "User:reader"
  acl_host            = "*"
  acl_operation       = "Read"
  acl_permission_type = "Allow"
}

resource "kafka-connect_connector" "sqlite-sink" {
  name = "sqlite-sink"

  config = {
    "name"            = "sqlite-sink"
    "connector.class" = "io.confluent.connect.jdbc.JdbcSinkConnector"
    "tasks.max"       = 1
    "topics"          = "shop.orders"
    "connection.url"  = "jdbc:sqlite:test.db"
    "key.path"        = "$${file:/run/x:y}"
  }

  config_sensitive = {
    "connection.password" = "tf-secret"
    "connection.extra"    = var.db_password
  }
}
