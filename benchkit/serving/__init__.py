"""Something to measure: servers that benchkit starts and stops."""
