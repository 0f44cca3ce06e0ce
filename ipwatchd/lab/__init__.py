"""A whole BPO site in network namespaces on one machine, with real traffic and real attacks.

`add_arguments` and `main` are `ipwatchd lab`; `netns` is also what every test of the kernel uses.
"""

from ipwatchd.lab.command import add_arguments, main

__all__ = ["add_arguments", "main"]
