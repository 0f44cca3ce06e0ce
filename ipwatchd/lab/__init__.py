"""A whole BPO site in network namespaces on one machine, with real traffic and real attacks."""
