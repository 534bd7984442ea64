"""What registries offer beside images: whether they take credentials, what they are asked for by `search`. Slow path."""

from __future__ import annotations

from pyman.config import registries
from pyman.errors import NoSuchImage, PymanError, RegistryError
from pyman.image import manifest
from pyman.image.registry import Access, Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PAGE = 1000
_MAX = 16 << 20  # bytes of one answer
_MOST = 100_000  # names that are looked at


def _connect(host: str, path: str, access: Access, verb: str) -> Connection:
    conf = registries.load()
    endpoint = conf.endpoints(host, path)[-1]
    return Connection(registries.Endpoint(endpoint.host, "", endpoint.insecure), access, name=host, key=(host, path), verb=verb)


def ping(host: str, path: str, access: Access, *, verb: str) -> None:
    """GET /v2/ with the credentials. RegistryError."""
    connection = _connect(host, path, access, verb)
    try:
        response = connection.request("GET", "/v2/", stream=True)
        if response.status_code == 401:
            raise RegistryError(connection.what, f"{host} refused the user name or the password (401)")
        connection.check(response, "/v2/")
        response.close()
    finally:
        connection.close()


def search(host: str, term: str, limit: int, access: Access) -> list[dict[str, Any]]:
    """Images of one registry: {"name", "description", "stars", "official", "automated"}, at most `limit`. RegistryError.

    Registries have no standard for it: /v1/search is what Docker Hub and quay.io answer; others list their catalog.
    """
    hub = host == "docker.io"
    connection = _connect("index.docker.io" if hub else host, "", access, "search")
    try:
        if hub or term:
            found = _by_v1(connection, host, term, limit)
            if found is not None:
                return found
        return _by_catalog(connection, host, term, limit)
    finally:
        connection.close()


def _by_v1(connection: Connection, host: str, term: str, limit: int) -> list[dict[str, Any]] | None:
    from urllib.parse import urlencode

    try:
        response = connection.request("GET", "/v1/search?" + urlencode({"q": term, "n": limit}), stream=True, again=False)
        connection.check(response, "/v1/search")
        value = manifest.loads(connection.read(response, _MAX), f"answer of {host}", _MAX)
    except NoSuchImage:
        return None
    except PymanError:
        if host == "docker.io":
            raise
        return None
    results = value.get("results")
    if not isinstance(results, list):
        return None
    found = []
    for entry in results[:limit]:
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str) and name:
            full = f"library/{name}" if host == "docker.io" and "/" not in name else name
            stars = entry.get("star_count")
            found.append(
                {
                    "name": f"{host}/{full}",
                    "description": str(entry.get("description") or ""),
                    "stars": stars if isinstance(stars, int) else 0,
                    "official": entry.get("is_official") is True,
                    "automated": entry.get("is_automated") is True,
                }
            )
    return found


def _by_catalog(connection: Connection, host: str, term: str, limit: int) -> list[dict[str, Any]]:
    from urllib.parse import quote

    connection.need("registry:catalog:*")
    found: list[dict[str, Any]] = []
    last, seen = "", 0
    while len(found) < limit and seen < _MOST:
        response = connection.get(f"/v2/_catalog?n={_PAGE}" + (f"&last={quote(last, safe='')}" if last else ""))
        value = manifest.loads(connection.read(response, _MAX), f"catalog of {host}", _MAX)
        page = value.get("repositories") or []
        if not isinstance(page, list) or not all(isinstance(name, str) for name in page):
            raise RegistryError(connection.what, f"{host} sent something else than a catalog")
        seen += len(page)
        found += [
            {"name": f"{host}/{name}", "description": "", "stars": 0, "official": False, "automated": False}
            for name in page
            if term in name
        ]
        # The next page is asked for by its last name, never by an address that the registry chooses.
        if "next" not in (response.headers.get("Link") or "") or not page or page[-1] == last:
            break
        last = page[-1]
    return found[:limit]
