"""Start, reload, stop, health."""
