"""The protocol as a Promela model, checked with spin over every interleaving."""
