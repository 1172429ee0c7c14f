"""What happened in a run: the tables, the folder they lie in, and the machine they were measured on."""
