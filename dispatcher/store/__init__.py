"""The only place that speaks Redis. Each change of state is one atomic Lua step; see lua/README.md for the keys."""
