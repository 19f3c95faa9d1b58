variable "db_password" {
  sensitive = true
}

locals {
  teams = {
    billing = { topics = ["invoices", "payments"], partitions = 6 }
    search  = { topics = ["queries"], partitions = 2 }
  }
}

module "topics" {
  source   = "./modules/topics"
  for_each = local.teams

  team       = each.key
  topics     = each.value.topics
  partitions = each.value.partitions
}

module "sink" {
  source = "./modules/sink"
  name   = "billing-sink"
  topic  = kafka_topic.audit.name
  extra  = { "connection.password" = var.db_password, "errors.tolerance" = "all" }
}

module "cluster" {
  source  = "terraform-aws-modules/msk-kafka-cluster/aws"
  version = "~> 2.0"
}

module "elsewhere" {
  source = "../shared/acls"
}

resource "kafka_topic" "audit" {
  name               = "audit"
  partitions         = 1
  replication_factor = 3
}
