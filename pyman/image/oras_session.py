"""The door of oras and requests: a session as oras makes it, with our rules. Slow path: to import them takes a tenth of a second."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def make(host: str, insecure: bool, context: Any, redirected: Callable[[Any, Any], None]) -> Any:
    """A session for a registry. context: its TLS settings; redirected: called with request and response before a redirect is followed."""
    session = _import_oras().Registry(hostname=host, insecure=False, tls_verify=not insecure).session
    session.trust_env = True  # the proxy variables
    session.max_redirects = 5
    session.mount("https://", _adapter(context))
    # Credentials are those of auth.json: requests would take others from ~/.netrc, for the registry and for wherever it redirects to.
    session.auth = lambda request: request
    session.rebuild_auth = redirected
    return session


def failures() -> Any:
    """requests.exceptions; once there is a session it can be found."""
    import requests.exceptions

    return requests.exceptions


def broken() -> Any:
    """What urllib3 raises while a body is read without requests between."""
    import urllib3.exceptions

    return urllib3.exceptions.HTTPError


def _import_oras() -> Any:
    import importlib
    import sys
    import types

    def loaded(name: str) -> Any:
        del sys.modules["jsonschema"]
        return getattr(importlib.import_module("jsonschema"), name)

    # oras checks with it what it writes itself, which is not done here: 40 of 130 ms. It is loaded when something of it is asked for.
    stand_in = types.ModuleType("jsonschema")
    stand_in.__getattr__ = loaded  # type: ignore[method-assign]
    sys.modules.setdefault("jsonschema", stand_in)
    try:
        import oras.provider
    except ImportError:
        import site  # the launcher starts without site-packages

        site.main()
        import oras.provider
    return oras.provider


def _adapter(context: Any) -> Any:
    """A requests adapter whose connections have these TLS settings."""
    import requests.adapters

    class Adapter(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
            return super().init_poolmanager(*args, ssl_context=context, **kwargs)

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            return super().proxy_manager_for(*args, ssl_context=context, **kwargs)

    return Adapter(pool_maxsize=16)
