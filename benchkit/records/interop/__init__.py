"""Other tools' result files and our records: readers, writers, and the values that pass between."""
