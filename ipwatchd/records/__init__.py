"""The vocabulary: what every room passes to every other. Types and their pure functions, no I/O.

Mass moves as numpy structured arrays (`FLOW`, `RANGE`), rare things as msgspec Structs.
numpy stays in `address`, `flow` and `policy`: the command line imports the rest alone.
"""
