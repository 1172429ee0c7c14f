"""The embedded server: a paced or simulated engine behind a real socket."""
