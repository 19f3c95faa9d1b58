resource "kafka_topic" "this" {
  for_each           = toset(var.topics)
  name               = "${var.team}.${each.value}"
  partitions         = var.partitions
  replication_factor = 3
  config             = merge(local.base, var.config)
}

locals {
  base = { "cleanup.policy" = "delete", "retention.ms" = tostring(var.days * 24 * 3600 * 1000) }
}
