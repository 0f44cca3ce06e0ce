"""Escalation: who is paged, when, in which order. Pure."""
