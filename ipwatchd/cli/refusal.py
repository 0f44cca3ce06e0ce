"""What a command says when it can't, and the exit status that goes with it."""

from __future__ import annotations

import errno

from ipwatchd.trouble import sentence

__all__ = ["refusal"]

_MENDS = {
    errno.EACCES: "run it as root, or as a user who may",
    errno.EPERM: "run it as root, or with the capabilities CAP_NET_RAW and CAP_NET_ADMIN",
    errno.ENOSPC: "make room on the disk; nothing that was recorded is lost",
    errno.EROFS: "name a folder that can be written to",
}


def refusal(error: BaseException) -> tuple[str, int]:
    """Return the sentence and the status: 2 for wrong input, 1 for what can't be done now."""
    if isinstance(error, BaseExceptionGroup):
        return refusal(error.exceptions[0])
    if isinstance(error, FileNotFoundError):
        return _words(error, "is there such a file or folder?"), 2
    if isinstance(error, IsADirectoryError):
        return _words(error, "name a file"), 2
    if isinstance(error, NotADirectoryError | FileExistsError):
        return _words(error, "name a folder"), 2
    if isinstance(error, OSError):
        return _words(error, _MENDS.get(error.errno or 0, "")), 1
    return str(error), 2


def _words(error: OSError, mend: str) -> str:
    """Return the error's own sentence where it has one, else file, reason and mend."""
    if error.strerror is None:
        return sentence(error)
    text = error.strerror.lower()
    if error.filename is not None:
        text = f"{error.filename}: {text}"
    return f"{text}: {mend}" if mend else text
