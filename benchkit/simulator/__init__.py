"""What an inference engine does over time, computed without clocks or sockets."""
