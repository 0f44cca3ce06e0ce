"""Rich and rare protocols, dissected by scapy in a child process without privileges.

`door.Rich` hands messages to the child over a pipe and brings back events. A message on which the
child dies or hangs costs that message and is counted; what is over the budget is counted and
forgotten. The child (`child/`) is a program of its own that starts here too: this file imports
nothing.
"""
