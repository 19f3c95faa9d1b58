# No topic keeps its records for a shorter time than before.
package main

import rego.v1

default_retention_ms := 604800000 # of a broker without log.retention.ms

deny contains message if {
	some change in topics
	some difference in change.diff
	difference.path == "/config/retention.ms"
	before := milliseconds(difference.before)
	after := milliseconds(difference.after)
	is_shorter(before, after)
	message := sprintf("%s: retention.ms shrinks from %v to %v", [change.address, before, after])
}

# Configs are texts in plan.json; null is the broker's default.
milliseconds(value) := default_retention_ms if value == null

milliseconds(value) := to_number(value) if is_string(value)

# -1 keeps the records forever.
is_shorter(before, after) if {
	before == -1
	after != -1
}

is_shorter(before, after) if {
	after != -1
	after < before
}
