"""Hostile input: what reads it, fed with anything. `python -m tests.fuzz` is the campaign."""
