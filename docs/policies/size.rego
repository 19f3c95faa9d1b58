# A topic has at most so many partitions, and at least so many replicas.
package main

import rego.v1

max_partitions := 50

min_replicas := 3

deny contains message if {
	some change in topics
	change.after.partitions > max_partitions
	message := sprintf("%s: %v partitions, at most %v", [change.address, change.after.partitions, max_partitions])
}

# -1 is the broker's default, which plan.json does not know.
deny contains message if {
	some change in topics
	change.after.replication_factor < min_replicas
	message := sprintf(
		"%s: replication factor %v, at least %v",
		[change.address, change.after.replication_factor, min_replicas],
	)
}
