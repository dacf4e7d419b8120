"""The worker side: what answers a doorbell, holds the lease, runs one heartbeat and settles it.

Imports `dispatcher`, never the reverse; a producer that only reports completions never loads this package.
"""
