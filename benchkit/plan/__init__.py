"""What will be sent, and when: pure functions of parameters and a seed."""
