"""Metrics for operators: what the store holds, what workers counted there, and the page that Prometheus scrapes.

All of it is read from the store at a scrape, so that it is right however many processes there are and however they ended: one page has
everything. Workers need no port, and a worker that is killed takes no counts along but those of its last second.
"""
