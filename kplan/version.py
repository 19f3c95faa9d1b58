"""The version of kplan; the package reads it, and so does the build."""

__version__ = "0.1.0"
