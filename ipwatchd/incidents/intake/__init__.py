"""What people report: scripts, mails, what looks like the same. Pure."""
