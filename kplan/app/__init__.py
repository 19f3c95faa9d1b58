"""The composition root: it opens servers, state and logs for the commands and the library."""
