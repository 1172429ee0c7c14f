"""Runs with one question each."""
