"""Numbers from records: pure functions, tables in and out."""
