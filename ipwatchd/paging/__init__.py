"""Pages: sent, retried, acknowledged; the shell of incidents.paging."""
