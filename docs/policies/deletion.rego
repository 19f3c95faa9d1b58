# A topic of production is not deleted. A replacement deletes it, too.
package main

import rego.v1

production := {"prod"}

deny contains message if {
	some change in topics
	change.env in production
	"delete" in change.actions
	message := sprintf("%s: topics in %s are not deleted (stack %s)", [change.address, change.env, change.stack])
}
