# of several providers, with blocks that kplan has nothing like
data "aws_secretsmanager_secret_version" "db" {
  secret_id = "db"
}

resource "aws_msk_cluster" "main" {
  cluster_name = "main"
}

resource "kafka_topic" "cdc" {
  name               = "cdc.${var.env}.orders"
  partitions         = var.env == "prod" ? 12 : 3
  replication_factor = 3
  config = {
    "cleanup.policy" = "compact"
    "retention.ms"   = <<-EOT
      86400000
    EOT
  }
  lifecycle {
    prevent_destroy = true
    ignore_changes  = [partitions, config["retention.ms"]]
  }
}

resource "kafka-connect_connector" "orders" {
  name = "orders-${var.env}"
  config = merge(
    {
      "name"              = "orders-${var.env}"
      "connector.class"   = "io.confluent.connect.s3.S3SinkConnector"
      "topics"            = kafka_topic.cdc.name
      "s3.bucket.name"    = data.aws_s3_bucket.lake.id
      "s3.region"         = "eu-west-1"
      "flush.size"        = 1000
      "storage.class"     = "io.confluent.connect.s3.storage.S3Storage"
      "format.class"      = "io.confluent.connect.s3.format.json.JsonFormat"
    },
    { "aws.secret.access.key" = jsondecode(data.aws_secretsmanager_secret_version.db.secret_string)["key"] },
  )
}

resource "confluent_kafka_topic" "events" {
  topic_name       = "events"
  partitions_count = 4
  config           = { "retention.ms" = "604800000" }
  rest_endpoint    = "https://pkc.example:443"
}
