"""The local API on a Unix socket: routes, roles, and the client that ipwatchctl and the TUI use.

`messages` are the shapes, `client` is all that the command line and the TUI may import of ours.
"""
