"""What a policy would do: the same core and the same Lua under a virtual clock, on a private server that leaves nothing behind.

No rule has a second copy here. Arrivals are submitted, routed and deposited, looks are sweeps, heartbeats take the steps that workers take;
only time, the runner, and the doorbells' way through Celery are made up: a doorbell and a router take no time.
"""
