"""One message to one channel, once. What keeps it from leaving is a SendError with a sentence."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ipwatchd.paging.notify.mail import mail_of
from ipwatchd.paging.notify.tls import trust

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ipwatchd.records.paging import Channel, Message

__all__ = ["SendError", "secret", "send"]

SECRET: Final = 4096
REPLY: Final = 4096
FILE: Final = 20 << 20
"""Bytes of a file that goes with a mail: mail servers take hardly more."""


class SendError(Exception):
    """A message did not leave; the text says why."""


async def send(channel: Channel, message: Message) -> None:
    """Hand a message over; raises SendError after at most the channel's `timeout` seconds."""
    try:
        async with asyncio.timeout(channel.timeout + 1.0):
            await _SENDERS[channel.kind](channel, message)
    except TimeoutError:
        raise SendError(f"no answer within {channel.timeout:.0f} s") from None
    except SendError:
        raise
    except Exception as error:
        # Whatever a library stumbles over (email's parser over an address that a stranger wrote):
        # it is a failed delivery like any other, and what waits behind it must leave.
        where = channel.address or channel.host or channel.url_file or channel.url
        raise SendError(f"{where}: {_why(error)}") from error


def _why(error: Exception) -> str:
    """Return a sentence; connections refused name themselves, files the file."""
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ssl.SSLError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"[:300]


def secret(path: str) -> str:
    """Return the first line of a file that holds a secret; OSError or ValueError."""
    with Path(path).open("rb") as file:
        lines = file.read(SECRET).decode("utf-8", "replace").splitlines()
    if not lines or not lines[0].strip():
        raise ValueError(f"{path} is empty: its first line is the secret")
    return lines[0].strip()


async def _smtp(channel: Channel, message: Message) -> None:
    # smtplib blocks; its socket's own timeout ends the thread where the server hangs.
    await asyncio.to_thread(_smtp_now, channel, message)


def _smtp_now(channel: Channel, message: Message) -> None:
    files = [(Path(one).name, _file(one)) for one in message.files]
    mail = mail_of(channel, message, files)
    if channel.tls == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            channel.host, channel.port or 465, timeout=channel.timeout, context=trust(channel)
        )
    else:
        server = smtplib.SMTP(channel.host, channel.port or 587, timeout=channel.timeout)
    with server:
        if channel.tls == "starttls":
            # A server that offers none is refused: a page must not be read on its way.
            server.starttls(context=trust(channel))
        if channel.user:
            server.login(channel.user, secret(channel.password_file))
        server.send_message(mail, from_addr=channel.sender, to_addrs=[message.to])


def _file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        data = file.read(FILE + 1)
    if len(data) > FILE:
        raise ValueError(f"{path} has over {FILE:,} bytes: no mail takes it")
    return data


async def _webhook(channel: Channel, message: Message) -> None:
    import aiohttp

    from ipwatchd.paging.notify.signature import signed

    key = secret(channel.secret_file) if channel.secret_file else ""
    body, headers = signed(message, key)
    timeout = aiohttp.ClientTimeout(total=channel.timeout)
    verify: ssl.SSLContext | bool = trust(channel) if channel.ca_file else True
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                channel.url, data=body, headers=headers, ssl=verify, allow_redirects=False
            ) as response,
        ):
            text = (await response.content.read(REPLY)).decode("utf-8", "replace")
            if not 200 <= response.status < 300:
                raise SendError(f"{channel.url} answered {response.status}: {text[:100]}")
    except aiohttp.ClientError as error:
        raise SendError(f"{channel.url}: {error}"[:300]) from error


async def _syslog(channel: Channel, message: Message) -> None:
    from ipwatchd.paging.notify.syslog import deliver

    await deliver(channel, message)


async def _apprise(channel: Channel, message: Message) -> None:
    """Let a process of its own speak: apprise blocks, and some of its plug-ins never come back."""
    import sys

    import msgspec

    work = {"urls": [secret(channel.url_file)], "title": message.subject, "body": message.body}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "ipwatchd.paging.notify.apprise_child",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(channel.timeout):
            out, _ = await child.communicate(msgspec.json.encode(work))
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise SendError(f"apprise: {out.decode('utf-8', 'replace').strip()[:200] or 'it refused'}")


_SENDERS: Final[dict[str, Callable[[Channel, Message], Awaitable[None]]]] = {
    "smtp": _smtp, "webhook": _webhook, "syslog": _syslog, "apprise": _apprise,
}  # fmt: skip
