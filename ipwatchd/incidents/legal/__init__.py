"""Clocks that law and contracts set: regimes, what applies, duties, notices. Pure."""
