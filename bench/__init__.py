"""Measurements, as ratios within one run. Never part of the tests: no test asserts a speed."""
