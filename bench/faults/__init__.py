"""The fault campaign: real processes are killed, stopped, cut off and lied to under load; then everything is counted."""
