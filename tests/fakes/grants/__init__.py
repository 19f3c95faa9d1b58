"""A kind of resource that exists for tests alone, on a server of its own: `grant/WHO/MAY/WHAT`.

It differs from topics and connectors where the next kinds do: a name has several encoded parts, there is no `config`,
one attribute cannot be read back, creating an existing grant answers success, one block declares several grants, one
update has no undo, and a grant is deleted with its line.
"""
