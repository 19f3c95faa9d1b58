# What the rules beside this file share: the changes of one plan or of several, each with its stack and environment.
package main

import rego.v1

plans contains input if input.changes

plans contains plan if some plan in input.plans

changes contains object.union(change, {"stack": plan.stack.name, "env": plan.stack.env}) if {
	some plan in plans
	some change in plan.changes
}

topics contains change if {
	some change in changes
	change.kind == "topic"
}
