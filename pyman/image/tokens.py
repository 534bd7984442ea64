"""What a registry gets to see of credentials: answers to its 401, by user and password or by a token of the server it names. Slow path."""

from __future__ import annotations

import binascii

from pyman.errors import RegistryError
from pyman.image import answers, auth, oras_session, questions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.image.registry import Connection

_TOKEN = 1 << 18  # bytes of a token server's answer
_LONGEST = 1 << 16  # of a token: all heads together may have a megabyte at most servers, at many 64 KiB
TIMEOUT = (10, 60)  # seconds: to connect, between two packets


def header(connection: Connection) -> dict[str, str]:
    """The header that requests to the registry itself carry; empty before it has asked for one."""
    if connection.token:
        return {"Authorization": f"Bearer {connection.token}"}
    return _basic(connection) if connection.basic else {}


def _basic(connection: Connection) -> dict[str, str]:
    if not connection.credentials:
        return {}
    return {"Authorization": "Basic " + binascii.b2a_base64(":".join(connection.credentials).encode(), newline=False).decode()}


def answer(connection: Connection, challenge: str, shown: bool) -> None:
    """Answer a 401: basic, or a token from the declared realm. shown: the request had user and password already. RegistryError."""
    kind = challenge.split(" ", 1)[0].lower()
    if kind == "basic":
        if not connection.credentials:
            raise RegistryError(
                connection.what,
                f"{connection.host} wants a user and password (401), and no credentials are stored for it",
                f"pyman login {connection.registry}, or --creds USER:PASSWORD",
            )
        if shown:
            whose, hint = answers.credentials(connection)
            raise RegistryError(connection.what, f"{connection.host} refused {whose} (401)", hint)
        connection.basic = True
        return
    if kind != "bearer":
        raise RegistryError(connection.what, f"{connection.host} asks for an authentication pyman does not know: {challenge[:80]!r}")
    header = answers.challenge(challenge)
    realm = header.get("realm", "")
    secure = realm.startswith("https://")
    # Without TLS, or with a certificate nobody verifies, credentials go to the very host that was declared insecure, and to no other.
    same_host = answers.host_of(realm) == answers.host_of(f"http://{connection.host}") != ""
    if not secure and (connection.scheme == "https" or not same_host or not realm.startswith("http://")):
        raise RegistryError(
            connection.what,
            f"{connection.host} wants its tokens fetched from {realm!r}, which is not https",
            "credentials are never sent without TLS to another place",
        )
    connection.token = _fetch(connection, realm, header.get("service", ""), not (connection.insecure and same_host))


def _fetch(connection: Connection, realm: str, service: str, verify: bool) -> str:
    parameters: dict[str, Any] = {"scope": connection.scopes, **({"service": service} if service else {})}
    response = None
    if (
        not connection.has_session
        and verify == (not connection.insecure)
        and not (connection.credentials and connection.credentials[0] == auth.TOKEN_USER)
    ):
        response = _ask(connection, realm, parameters)
    if response is None:
        response = _request(connection, realm, parameters, verify)
    if response.status_code != 200:
        whose, hint = answers.credentials(connection)
        who = f"refused {whose}" if connection.credentials else "gives no anonymous token"
        raise RegistryError(connection.what, f"its token server {who} ({response.status_code})", hint)
    try:
        value = response.json()
        token = value.get("token") or value["access_token"]
        if not isinstance(token, str) or not (token.isascii() and token.isprintable() and len(token) <= _LONGEST):
            raise ValueError("it would not fit into a header")
        return token
    except (ValueError, KeyError, AttributeError, RecursionError) as err:
        raise RegistryError(connection.what, "its token server sent no token") from err


def _ask(connection: Connection, realm: str, parameters: dict[str, Any]) -> Any:
    """The token server's answer by a plain connection; None if oras is to ask."""
    from urllib.parse import urlencode

    url = realm + ("&" if "?" in realm else "?") + urlencode(parameters, doseq=True)
    try:
        return connection.asker.ask("GET", url, {"User-Agent": "pyman", "Accept": "*/*", **_basic(connection)}, _TOKEN)
    except (questions.NotPlain, OSError):
        return None


def _request(connection: Connection, realm: str, parameters: dict[str, Any], verify: bool) -> Any:
    """The token server's answer by oras's session. RegistryError."""
    session = connection.session
    try:
        if connection.credentials and connection.credentials[0] == auth.TOKEN_USER:
            form = {**parameters, "grant_type": "refresh_token", "refresh_token": connection.credentials[1], "client_id": "pyman"}
            form["scope"] = " ".join(connection.scopes)
            # A redirect could carry the form, with the token in it, anywhere.
            response = session.post(realm, data=form, timeout=TIMEOUT, verify=verify, allow_redirects=False, stream=True)
        else:
            response = session.get(realm, params=parameters, auth=connection.credentials, timeout=TIMEOUT, verify=verify, stream=True)
        oras_session.settle(response, _TOKEN)
        return response
    except (oras_session.failures().RequestException, ValueError) as err:
        raise RegistryError(connection.what, f"its token server {realm} does not answer: {answers.cause(err)}") from err
