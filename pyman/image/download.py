"""A file from the web, for load and import: through the same door as registries, without credentials. CLI process, slow path."""

from __future__ import annotations

import os

from pyman.config.registries import Endpoint
from pyman.errors import NoSuchImage, RegistryError, StorageError, UsageError
from pyman.image import output
from pyman.image.registry import Access, Connection
from pyman.image.waiting import Broken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def is_url(text: str) -> bool:
    """Whether the text is an http or https address."""
    return text.startswith(("http://", "https://"))


def download(url: str, reporter: Any = None) -> int:
    """A file without a name that holds what the address leads to; goes on where a connection broke. NoSuchImage, RegistryError, StorageError."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        if not host or parts.username:
            raise ValueError("it names no host" if not host else "a user and a password in an address are seen by other processes")
    except ValueError as err:
        raise UsageError(f"cannot use the address {url.rpartition('@')[2]}", str(err)) from err
    access = Access()
    connection = Connection(Endpoint(host, "", False), access, name=url, key=(host, ""), verb="read")
    connection.credentials = None
    fd = output.spool()
    try:
        _fill(connection, access, url, fd, reporter)
        os.lseek(fd, 0, os.SEEK_SET)
        return fd
    except OSError as err:
        os.close(fd)
        raise StorageError(f"cannot read {url}", err.strerror or str(err), "free some disk space", errno=err.errno or 0) from err
    except BaseException:
        os.close(fd)
        raise
    finally:
        connection.close()


def _fill(connection: Connection, access: Access, url: str, fd: int, reporter: Any) -> None:
    have = breaks = 0
    while True:
        before = have
        response = connection.request("GET", url, {"Range": f"bytes={have}-"} if have else {}, stream=True)
        if response.status_code == 404:
            response.close()
            raise NoSuchImage(f"cannot read {url}", f"{connection.host} has no such file (404)", "check the address")
        connection.check(response, url)
        if have and response.status_code != 206:
            have = 0  # a server without ranges starts again
        total = have + int(response.headers.get("Content-Length") or 0)
        if reporter and not before:
            reporter.start(url, url.rpartition("/")[2] or url, total)
        try:
            for piece in connection.pieces(response):
                os.pwrite(fd, piece, have)
                have += len(piece)
                if reporter:
                    reporter.update(url, have)
        except Broken as err:
            breaks = 0 if have > before else breaks + 1
            if breaks >= access.retries:
                raise RegistryError(
                    f"cannot read {url}", f"the connection broke {breaks} times in a row: {err}", "run the command again"
                ) from err
            err.again()
            access.wait(breaks)
            continue
        finally:
            response.close()
        if reporter:
            reporter.finish(url, "done")
        return
