"""What users would pick instead, each in a module of its own, as its documentation has it; and this program, by the same measure.

Every module is run as a program by the Python of its own environment: `submit` reports completions, and a command of the peer runs them.
"""
