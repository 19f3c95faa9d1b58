"""Views. Each takes a document or diagnostics and gives text; none decides anything."""
