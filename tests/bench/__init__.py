"""Measurements: ratios of kplan to a floor, taken in one run, A B A B."""
