"""Behaviour as data: vectors of a well-known dispatcher, run against this program's own code."""
