"""Pages, letters and reports: sent, tried again, acknowledged; the shell of incidents.paging."""
