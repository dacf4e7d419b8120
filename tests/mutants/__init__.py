"""Tests of the tests: one rule changed at a time, and those that should notice must."""
