"""One look at a feed: a file or an HTTP address, bounded in size and time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.lists.readers import BYTES

if TYPE_CHECKING:
    import aiohttp

    from ipwatchd.config.settings import FeedSettings
    from ipwatchd.lists.feeds import FeedState

__all__ = ["FetchError", "Fetched", "fetch"]

_SECONDS: Final = 120.0
"""A server that sends a byte a second must not hold a feed for ever."""
_REDIRECTS: Final = 5
_CHUNK: Final = 1 << 16


class FetchError(OSError):
    """A feed that did not come."""


class Fetched(NamedTuple):
    """What came, and how to ask whether it changed."""

    data: bytes
    etag: str
    modified: str


async def fetch(
    session: aiohttp.ClientSession | None, settings: FeedSettings, state: FeedState
) -> Fetched | None:
    """Return a feed, None where the server says that it has not changed; FetchError else."""
    if settings.file or session is None:
        return await asyncio.to_thread(_read, Path(settings.file))
    import aiohttp

    headers = {"If-None-Match": state.etag} if state.etag else {}
    if state.modified:
        headers["If-Modified-Since"] = state.modified
    try:
        async with session.get(
            settings.url, headers=headers, max_redirects=_REDIRECTS,
            timeout=aiohttp.ClientTimeout(total=_SECONDS),
        ) as answer:  # fmt: skip
            if answer.status == 304:
                return None
            if answer.status != 200:
                raise FetchError(f"{settings.url} answered {answer.status} {answer.reason}")
            data = bytearray()
            async for chunk in answer.content.iter_chunked(_CHUNK):
                data += chunk
                if len(data) > BYTES:
                    raise FetchError(f"{settings.url} sends over {BYTES} bytes: no list is so long")
            return Fetched(
                bytes(data), answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
            )
    except (aiohttp.ClientError, TimeoutError) as error:
        raise FetchError(
            f"{settings.url} can't be fetched: {error or 'it took too long'}"
        ) from None


def _read(path: Path) -> Fetched:
    try:
        with path.open("rb") as file:
            data = file.read(BYTES + 1)
    except OSError as error:
        raise FetchError(f"{path} can't be read: {error.strerror}") from None
    if len(data) > BYTES:
        raise FetchError(f"{path} is over {BYTES} bytes: no list is so long")
    return Fetched(data, "", "")
