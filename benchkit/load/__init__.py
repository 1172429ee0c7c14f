"""Sends a plan and tapes every byte with its time."""
