"""What goes wrong with a registry, in words: no answer, refusals, its own explanations. Slow path."""

from __future__ import annotations

from pyman.errors import NoSuchImage, PymanError, RegistryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.image.registry import Connection

_BODY = 1 << 16  # bytes of an error's text that are read


class Unreachable(RegistryError):
    """No answer came; `passing`: another try may have one."""

    passing = True


def unreachable(host: str, what: str, err: Exception) -> Unreachable:
    """The error for a request that had no answer."""
    text = cause(err)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        failure = Unreachable(
            what,
            f"the certificate of {host} cannot be verified: {text}",
            f"put its CA into ~/.config/containers/certs.d/{host}/ca.crt or the system's store, or use --tls-verify=false",
        )
    elif "WRONG_VERSION_NUMBER" in text or "wrong version number" in text or "record layer failure" in text:
        failure = Unreachable(
            what,
            f"{host} speaks http, not https",
            f'--tls-verify=false, or in registries.conf: [[registry]] location = "{host}" insecure = true',
        )
    elif "connection adapters" in text:
        place = text.rsplit("'", 2)[-2] if text.count("'") > 1 else "another place"
        failure = Unreachable(
            what, f"{host} redirects to {place[:200]}, which is no http address", "report it to whoever runs the registry"
        )
    elif type(err).__name__ == "ProxyError":  # of requests, which may not be imported
        failure = Unreachable(
            what, f"{host} cannot be reached by the proxy: {text}", "check http_proxy, https_proxy and no_proxy in the environment"
        )
    else:
        if isinstance(err, ConnectionResetError) or "Connection reset by peer" in text:
            text = "it broke off the connection"
        elif "(EOF)" in text or "EOF occurred" in text:
            text = "it broke off the TLS connection"
        elif "handshake operation timed out" in text:
            text = "it does not answer the TLS handshake"
        failure = Unreachable(what, f"{host} cannot be reached: {text}", "check the name, the network and the proxy variables")
        failure.passing = "refused" not in text.lower() and "resolve" not in text
        return failure
    failure.passing = False
    return failure


def refusal(connection: Connection, status: int, path: str, said: str) -> PymanError:
    """The error for an answer that is no success; `path`: what was asked for."""
    host, what = connection.host, connection.what
    if status == 404:
        return NoSuchImage(
            what,
            f"{host} has no {'such image' if path.startswith('manifests') else 'blob ' + path[6:25] if path.startswith('blobs/') else path} (404)",
            "check the name and the tag",
        )
    if status == 401 and connection.credentials:
        return RegistryError(
            what,
            f"{host} refused {credentials(connection)[0]} (401){said}",
            credentials(connection)[1],
        )
    if status in (401, 403):
        return RegistryError(
            what,
            f"{host} denies access ({status}){said}",
            f"check the name, and the credentials for {connection.registry}: pyman login",
        )
    return RegistryError(what, f"{host} answers {status}{said}")


def credentials(connection: Connection) -> tuple[str, str]:
    """(what was sent, what to do when it is refused): the user's own words, or what is stored."""
    if connection.given:
        return "the user and password given", "check both, and whether the registry knows them"
    return "the stored credentials", f"pyman login {connection.registry}, or correct its entry in auth.json"


def said(response: Any) -> str:
    """The registry's own words in an error's body (distribution-spec, "Error Codes"), shortened."""
    import json

    try:
        data = next(iter(response.iter_content(_BODY)), b"")
        errors = json.loads(data).get("errors") or []
        return ": " + "; ".join(str(entry.get("message") or entry.get("code")) for entry in errors[:3])[:300] if errors else ""
    except Exception:  # whatever a failing registry sends, its status is the message
        return ""


def challenge(text: str) -> dict[str, str]:
    """The parameters of the first challenge in a WWW-Authenticate header, by their names in lower case; a damaged rest is left out."""
    found: dict[str, str] = {}
    rest = text.partition(" ")[2].strip()
    while rest:
        name, equals, rest = rest.partition("=")
        rest = rest.lstrip()
        if not equals or not name.strip() or " " in name.strip():
            break  # the next challenge
        value, quoted = "", rest.startswith('"')
        if quoted:
            at = 1
            while at < len(rest) and rest[at] != '"':
                at += rest[at] == "\\"
                value += rest[at : at + 1]
                at += 1
            rest = rest[at + 1 :]
        else:
            value, comma, rest = rest.partition(",")
            rest = comma + rest
        found.setdefault(name.strip().lower(), value.strip())
        rest = rest.lstrip().removeprefix(",").lstrip()
    return found


def host_of(url: str) -> str:
    """The host a URL really leads to: what stands before an @ is a user's name. Empty if it cannot be told."""
    from urllib.parse import urlsplit

    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def cause(err: BaseException) -> str:
    """The innermost reason of a requests error, without its layers of wrapping."""
    while True:
        inner = getattr(err, "reason", None) or err.__cause__ or next((arg for arg in err.args if isinstance(arg, BaseException)), None)
        if not isinstance(inner, BaseException) or inner is err:
            text = str(err)
            return text.split(": ", 1)[1] if text.startswith(("HTTPSConnection", "HTTPConnection")) and ": " in text else text
        err = inner
