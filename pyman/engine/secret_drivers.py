"""Where the values of secrets lie: sealed in the store (file), in files of GnuPG (pass), or behind commands of the user's (shell).

CLI process. Values go through pipes and descriptors only, never through arguments or the environment.
"""

from __future__ import annotations

import os

from pyman import paths
from pyman.errors import MissingProgram, StorageError, UsageError
from pyman.state.store import write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMES = ("file", "pass", "shell")
_OPTIONS = {"file": ("path",), "pass": ("root", "key", "gpghomedir"), "shell": ("list", "lookup", "store", "delete")}


def directory() -> str:
    """graphroot/secrets."""
    return os.path.join(paths.graphroot(), "secrets")


def check(driver: str, options: dict[str, str]) -> dict[str, str]:
    """The options that the driver will have, defaults included. UsageError for unknown or missing ones."""
    if driver not in NAMES:
        raise UsageError(f"cannot use secret driver {driver!r}", "invalid driver", "drivers are " + ", ".join(NAMES))
    for key in options:
        if key not in _OPTIONS[driver]:
            raise UsageError(
                f"cannot use secret driver {driver}", f"it has no option {key!r}", "its options are " + ", ".join(_OPTIONS[driver])
            )
    if driver == "file":
        return {"path": os.path.abspath(options.get("path") or directory())}
    if driver == "shell":
        missing = [key for key in _OPTIONS["shell"] if not options.get(key)]
        if missing:
            raise UsageError(
                "cannot use secret driver shell",
                "missing config value: " + ", ".join(missing),
                "--driver-opts store=COMMAND,lookup=COMMAND,delete=COMMAND,list=COMMAND",
            )
        return options
    root = options.get("root") or os.environ.get("PASSWORD_STORE_DIR") or os.path.join(paths.home(), ".password-store")
    key = options.get("key") or _default_key(root)
    return {"root": root, "key": key, **({"gpghomedir": options["gpghomedir"]} if options.get("gpghomedir") else {})}


def _default_key(root: str) -> str:
    try:
        with open(os.path.join(root, ".gpg-id"), encoding="utf-8") as file:
            return file.readline().strip()
    except (OSError, UnicodeDecodeError) as err:
        raise UsageError(
            "cannot use secret driver pass",
            f"no key is given, and {root}/.gpg-id cannot be read",
            "pass init KEY, or --driver-opts key=KEY",
        ) from err


def store(record: dict[str, Any], value: bytes) -> None:
    """Keep the value of a secret, durably. StorageError, MissingProgram."""
    driver, options, name = record["driver"], record["options"], record["id"]
    if driver == "file":
        from pyman.state import seal  # hashlib: only where a value is touched

        os.makedirs(options["path"], 0o700, exist_ok=True)
        # A second key would make the secrets of the first one's unreadable for good, once that is restored in its place.
        key = seal.read_key(create=not _sealed(options["path"]))
        write_bytes(os.path.join(options["path"], name + ".sealed"), seal.seal(key, value, name.encode()), sync=True)
    elif driver == "pass":
        target = os.path.join(options["root"], name + ".gpg")
        os.makedirs(options["root"], 0o700, exist_ok=True)
        _gpg(options, ["--encrypt", "--recipient", options["key"], "--output", target], value, record)
    else:
        _shell(record, "store", value)


def _sealed(path: str) -> bool:
    """Whether a secret is there that only the user's key opens."""
    return any(entry.endswith(".sealed") and os.path.exists(os.path.join(directory(), entry[:-7] + ".json")) for entry in os.listdir(path))


def lookup(record: dict[str, Any]) -> bytes:
    """The value of a secret. StorageError, MissingProgram."""
    driver, options, name = record["driver"], record["options"], record["id"]
    if driver == "file":
        from pyman.state import seal

        path = os.path.join(options["path"], name + ".sealed")
        try:
            with open(path, "rb") as file:
                return seal.open_sealed(seal.read_key(), file.read(1 << 20), name.encode())
        except OSError as err:
            raise StorageError(f"cannot read secret {record['name']}", f"{path}: {err.strerror or err}") from err
        except ValueError as err:
            raise broken(record["name"]) from err
    if driver == "pass":
        return _gpg(options, ["--decrypt", os.path.join(options["root"], name + ".gpg")], b"", record)
    return _shell(record, "lookup", b"")


def broken(name: str) -> StorageError:
    """The error for a value that was sealed with another key, or changed."""
    from pyman.state import seal

    return StorageError(
        f"cannot read secret {name}",
        f"it was encrypted with another key than {seal.key_path()}, or is damaged",
        "restore the key from a backup, or make the secret again: pyman secret create --replace",
    )


def delete(record: dict[str, Any]) -> None:
    """Forget the value of a secret. StorageError; a file that has gone is fine."""
    driver, options, name = record["driver"], record["options"], record["id"]
    if driver == "shell":
        _shell(record, "delete", b"")
        return
    path = os.path.join(options["path"], name + ".sealed") if driver == "file" else os.path.join(options["root"], name + ".gpg")
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as err:
        raise StorageError(f"cannot delete secret {record['name']}", f"{path}: {err.strerror or err}") from err


def _gpg(options: dict[str, str], arguments: list[str], value: bytes, record: dict[str, Any]) -> bytes:
    home = ["--homedir", options["gpghomedir"]] if options.get("gpghomedir") else []
    try:
        return _run(["gpg", *home, "--batch", "--yes", "--quiet", "--no-auto-key-locate", *arguments], value, record, dict(os.environ))
    except FileNotFoundError:
        raise MissingProgram(
            "cannot use secret driver pass", "the program gpg is not installed", "as root: apt-get install gnupg"
        ) from None


def _shell(record: dict[str, Any], verb: str, value: bytes) -> bytes:
    environment = {**os.environ, "SECRET_ID": record["id"]}
    # What the command writes to stderr is for its user alone: it may hold the value, and errors go into logs.
    return _run(["/bin/sh", "-c", record["options"][verb]], value, record, environment, f"the command for {verb} ended with ")


def _run(argv: list[str], value: bytes, record: dict[str, Any], environment: dict[str, str], passed: str = "") -> bytes:
    """What the program writes to stdout. Its last words are part of the error, unless its stderr is `passed` on: then these are. StorageError."""
    import subprocess  # these two drivers only

    done = subprocess.run(
        argv, input=value, stdout=subprocess.PIPE, stderr=None if passed else subprocess.PIPE, env=environment, check=False
    )
    if done.returncode:
        words = "" if passed else f": {'; '.join(done.stderr.decode('utf-8', 'replace').strip().splitlines()[-2:])[:300]}"
        raise StorageError(
            f"the secret driver {record['driver']} failed for {record['name']}", f"{passed}exit code {done.returncode}{words}"
        )
    return done.stdout
