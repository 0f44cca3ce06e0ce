"""Import what dissects, give up every privilege, then answer until the pipe is closed."""

from __future__ import annotations

import logging
import sys
import warnings


def main() -> int:
    """Run the child."""
    from ipwatchd.capture.rich.child.serve import serve
    from ipwatchd.confine import confine, isolate

    isolate()
    # What is odd about a packet or a certificate is told by the event, and nobody reads stderr.
    logging.disable()
    warnings.simplefilter("ignore")
    from ipwatchd.capture.rich.child.protocols import PROTOCOLS, rehearse

    rehearse()
    confine()
    serve(PROTOCOLS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
