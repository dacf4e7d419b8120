"""Many seeded interleavings of routers, workers and operators on one real server under a virtual clock, and a model of one mailbox."""
