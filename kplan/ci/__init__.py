"""The services where repositories are: comments and reviewed plans."""
