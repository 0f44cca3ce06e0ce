"""Compile the packet loop once, so that the next start finds it in the cache."""
