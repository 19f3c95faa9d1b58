variable "prefix" { default = "shop" }
variable "x" { default = true }
variable "rf" { default = 3 }
variable "pw" { sensitive = true }
locals {
  topics = { "a.b" = { partitions = 3, config = { "retention.ms" = 7 * local.day } }, "c" = { partitions = 1 } }
  names = ["x", "y", "z"]
  day = 86400000
  key = "cleanup.policy"
}
resource "kafka_topic" "t" {
  for_each = local.topics
  name = each.key
  partitions = each.value.partitions
  replication_factor = var.rf == 3 ? 3 : lookup(each.value, "rf", 1)
  config = merge({ "cleanup.policy" = "delete" }, try(each.value.config, {}))
}
resource "kafka_topic" "u" {
  for_each = { for n in local.names : "p.${n}" => n if n != "z" }
  name = "${var.prefix}.${each.value}-${join("_", ["a","b"])}"
  partitions = 1
  replication_factor = 1
  config = { (local.key) = "compact", "max.message.bytes" = tostring(1024 * 1024), "retention.ms" = null }
}
resource "kafka_topic" "v" {
  count = var.x ? 2 : 0
  name = format("%s.%d", local.names[count.index], count.index)
  partitions = length(local.names)
  replication_factor = 1
}
resource "kafka_topic" "w" {
  for_each = toset(data.x.y.names)
  name = each.key
  partitions = 1
  replication_factor = 1
}
resource "kafka_acl" "a" {
  for_each = toset(["read", "write"])
  acl_principal = "User:app"
  acl_operation = title(each.key)
  acl_host = "*"
  acl_permission_type = "Allow"
  resource_name = "shop."
  resource_type = "Topic"
  resource_pattern_type_filter = "Prefixed"
}
resource "kafka-connect_connector" "sink" {
  name = "sink"
  config = merge({
    "connector.class" = "org.example.Sink"
    "topics" = join(",", [for t in keys(local.topics) : "${var.prefix}.${t}"])
  }, { "connection.password" = var.pw })
}
resource "kafka-connect_connector" "sink2" {
  name = "sink2"
  config = {
    "connector.class" = "org.example.Sink"
    "topics" = join(",", values({a = "1", b = "2"}))
  }
  config_sensitive = { "connection.password" = var.pw }
}
