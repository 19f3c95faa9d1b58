#!/bin/bash
# Creates what the shop needs.
set -euo pipefail
BOOTSTRAP=${KAFKA:-localhost:9092}
REPLICAS=3
export PREFIX=shop

kafka-topics.sh --bootstrap-server "$BOOTSTRAP" --create --if-not-exists \
  --topic $PREFIX.orders --partitions 6 --replication-factor ${REPLICAS} \
  --config cleanup.policy=compact --config retention.ms=604800000
docker exec kafka kafka-topics --create --topic=shop.events --zookeeper zk:2181; echo done
kafka-topics --bootstrap-server $BOOTSTRAP --alter --topic shop.events --partitions 12
kafka-topics --bootstrap-server $BOOTSTRAP --delete --topic shop.old
kafka-configs --bootstrap-server $BOOTSTRAP --alter --entity-type topics --entity-name shop.events \
  --add-config 'retention.ms=86400000,cleanup.policy=[compact,delete]'
kafka-configs --alter --entity-type users --entity-name alice --add-config 'SCRAM-SHA-512=[iterations=8192,password=post-gres-secret]'
kafka-configs --alter --entity-type users --entity-name alice --entity-type clients --entity-name app --add-config 'producer_byte_rate=1048576'

for topic in a b c; do
  kafka-topics --create --topic "$topic" --partitions 1
done
kafka-topics --create --topic $(hostname).log --partitions 1

kafka-acls --bootstrap-server $BOOTSTRAP --add --allow-principal User:alice --producer --topic shop. --resource-pattern-type prefixed
kafka-acls --bootstrap-server $BOOTSTRAP --add --allow-principal User:bob --consumer --topic shop.orders --group billing
kafka-acls --bootstrap-server $BOOTSTRAP --add --deny-principal User:eve --deny-host 10.0.0.1 --operation Read --topic shop.orders

curl -s -X POST -H 'Content-Type: application/json' http://connect:8083/connectors -d '{
  "name": "files",
  "config": {"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "topics": "shop.orders", "file": "/tmp/out"}
}'
curl -X PUT http://connect:8083/connectors/lines/config -H "Content-Type: application/json" -d @- <<JSON
{"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "topic": "$PREFIX.lines", "file": "/tmp/in"}
JSON
curl -X POST http://connect:8083/connectors -d @connector.json
curl http://connect:8083/connectors
