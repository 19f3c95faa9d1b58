"""The services that host repositories: comments and reviewed plans."""
