"""The process that speaks apprise: JSON {urls, title, body} on standard input, status 0: sent."""

from __future__ import annotations

import json
import sys

__all__ = ["main"]


def main() -> int:
    """Notify once."""
    import apprise

    work = json.load(sys.stdin)
    one = apprise.Apprise()
    for url in work["urls"]:
        if not one.add(url):
            sys.stdout.write("a URL is not understood\n")
            return 2
    sent = one.notify(title=work["title"], body=work["body"], body_format=apprise.NotifyFormat.TEXT)
    if not sent:
        sys.stdout.write("the service did not take it\n")
    return 0 if sent else 1


if __name__ == "__main__":
    sys.exit(main())
