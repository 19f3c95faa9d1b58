#!/usr/bin/env bash
set -euo pipefail
BROKER=${BROKER:-localhost:9092}
PREFIX=shop
kafka-topics --bootstrap-server "$BROKER" --create --if-not-exists \
  --topic "${PREFIX}.orders" --partitions 6 --replication-factor 3 \
  --config retention.ms=86400000 --config cleanup.policy=compact,delete
for t in a b; do
  kafka-topics --bootstrap-server "$BROKER" --create --topic "$t"
done
kafka-topics --bootstrap-server "$BROKER" --create --topic "$(date +%s)"
kafka-configs --bootstrap-server "$BROKER" --alter --entity-type users --entity-name billing \
  --add-config 'SCRAM-SHA-512=[iterations=8192,password=tf-secret],producer_byte_rate=1048576'
kafka-acls --bootstrap-server "$BROKER" --add --allow-principal User:billing --operation Read --operation Describe \
  --topic "$PREFIX" --resource-pattern-type prefixed
curl -s -X POST -H 'Content-Type: application/json' http://localhost:8083/connectors -d '{
  "name": "lines", "config": {"connector.class": "FileStreamSource", "topic": "shop.lines", "file": "/tmp/in"}}'
curl -s -X PUT -H 'Content-Type: application/json' http://localhost:8083/connectors/sink/config -d @sink.json
echo done
kafka-acls --bootstrap-server "$BROKER" --add --allow-principal User:audit --allow-host app.example.com --operation Read --topic orders
kafka-acls --bootstrap-server "$BROKER" --add --allow-principal audit --operation Read --topic orders
