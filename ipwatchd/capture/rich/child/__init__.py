"""The child: a program of its own that holds scapy, hostile bytes and no privilege.

Started as `python -m ipwatchd.capture.rich.child`; only here may scapy be imported.
"""
