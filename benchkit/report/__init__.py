"""What people look at: charts, tables, notebooks and their HTML."""
