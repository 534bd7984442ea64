"""The environment of a container's processes. CLI process, pure but for --env-file."""

from __future__ import annotations

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY")


def _split(entries: list[Any]) -> tuple[dict[str, str], list[str]]:
    """(mapping, entries without `=`), of an image's Env: never looked up on the host."""
    result: dict[str, str] = {}
    bad = []
    for entry in entries:
        name, separator, value = str(entry).partition("=")
        if separator and name:
            result[name] = value
        else:
            bad.append(str(entry))
    return result, bad


def _apply(env: dict[str, str], items: list[str], host: dict[str, str]) -> None:
    """-e NAME=VALUE, -e NAME (the host's value, if any), -e PREFIX* (all of the host's)."""
    for item in items:
        name, separator, value = item.lstrip(" \t").partition("=")  # an indented file's lines, too
        if not (name or separator):
            continue  # an empty one says nothing, as Podman has it: a script's variable
        if not name:
            raise UsageError(f"invalid environment variable {item!r}", "its name is empty", "the form is NAME=VALUE or NAME")
        if separator:
            env[name] = value
        elif name.endswith("*"):
            env.update({key: value for key, value in host.items() if key.startswith(name[:-1])})
        elif name in host:
            env[name] = host[name]


def _read_file(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return [line.rstrip("\r\n") for line in file if line.strip() and not line.lstrip().startswith("#")]
    except (OSError, UnicodeDecodeError) as err:
        raise UsageError(
            f"cannot read environment file {path}", getattr(err, "strerror", None) or str(err), errno=getattr(err, "errno", 0)
        ) from err


def _options(env: dict[str, str], opts: dict[str, Any], host: dict[str, str]) -> None:
    for path in opts.get("env_file") or []:
        _apply(env, _read_file(path), host)
    _apply(env, list(opts.get("env") or []), host)


def frozen(opts: dict[str, Any], host: dict[str, str]) -> list[str]:
    """--env-file and --env as NAME=VALUE only: what the host has now. UsageError."""
    env: dict[str, str] = {}
    _options(env, opts, host)
    return [f"{name}={value}" for name, value in env.items()]


def build(
    opts: dict[str, Any], image_env: list[Any], host: dict[str, str], conf: dict[str, Any], hostname: str, warnings: list[str]
) -> list[str]:
    """NAME=VALUE entries: defaults, containers.toml, image, host (where asked), options; --unsetenv last."""
    env = _native(opts, host, conf) if not opts.get("unsetenv_all") else {}
    if opts.get("env_host"):
        env.update(opts.get("host_env") or host)
    if not opts.get("unsetenv_all"):
        image, bad = _split(image_env)
        warnings += [f"the image's environment entry {entry!r} has no value and is ignored" for entry in bad]
        env.update(image)
    for item in opts.get("env_merge") or []:
        name, _, value = item.partition("=")
        for known in sorted(env, key=len, reverse=True):
            value = value.replace("${" + known + "}", env[known]).replace("$" + known, env[known])
        env[name] = value
    env["HOSTNAME"] = hostname
    _options(env, opts, host)
    for name in opts.get("unsetenv") or []:
        env.pop(name, None)
    return [f"{name}={value}" for name, value in env.items()]


def _native(opts: dict[str, Any], host: dict[str, str], conf: dict[str, Any]) -> dict[str, str]:
    """What containers have by themselves and by containers.toml."""
    env = {"PATH": DEFAULT_PATH, "container": "podman"}
    if opts.get("tty"):
        env["TERM"] = "xterm"
    table = conf["containers"]
    proxy = opts.get("http_proxy")
    if proxy if proxy is not None else table.get("http_proxy", True):
        env.update({name: host[name] for name in _PROXIES if host.get(name)})
    _apply(env, list(table.get("env") or []), {})
    return env


def committed(opts: dict[str, Any], image_env: list[Any]) -> list[str]:
    """What an image made of a container has: the image's and the options', nothing of the host and of this run.

    As with Podman, what the container was made without is still the image's.
    """
    image = _split(image_env)[0]
    env = {} if opts.get("unsetenv_all") else {"PATH": DEFAULT_PATH, "container": "podman"}
    env.update(image)
    _apply(env, list(opts.get("env") or []), {})
    for name in opts.get("unsetenv") or []:
        env.pop(name, None)
    env.update({name: image[name] for name in opts.get("unsetenv") or [] if name in image})
    return [f"{name}={value}" for name, value in env.items()]


def merge(base: list[str], opts: dict[str, Any], terminal: bool, host: dict[str, str]) -> list[str]:
    """The environment of an exec: the container's, plus -e and --env-file. UsageError."""
    if "" in (opts.get("env") or []):
        raise UsageError("invalid environment variable ''", "its name is empty", "the form is NAME=VALUE or NAME")  # here Podman minds
    env, _ = _split(list(base))
    if terminal:
        env.setdefault("TERM", "xterm")
    _options(env, opts, host)
    return [f"{name}={value}" for name, value in env.items()]
