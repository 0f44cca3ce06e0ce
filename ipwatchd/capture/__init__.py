"""Packets → flow batches and wire events."""
