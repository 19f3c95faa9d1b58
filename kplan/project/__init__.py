"""What a folder of stacks holds: kplan.yaml, environments, loading, expansion, guards and the first files."""
