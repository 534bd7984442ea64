"""What tests of containers as units share: shell functions, texts of files."""

from __future__ import annotations

FOLDER = "/home/dev/.config/containers/systemd"
GENERATORS = "/etc/systemd/user-generators"

PATIENCE = 1500.0  # seconds for a script: all is emulated, and may have to share the processor
HELPERS = f"""
cd {FOLDER}
until_true() {{
    n=0
    until "$@"; do
        n=$((n + 1))
        [ $n -lt 9000 ] || {{ echo "never: $*" >&2; systemctl --user --no-pager -l status >&2; journalctl --user -n 60 --no-pager >&2; exit 1; }}
        sleep 0.1
    done
}}
state() {{ systemctl --user show -p ActiveState --value $1; }}
is() {{ [ "$(state $1)" = $2 ]; }}
of() {{ pyman inspect --format "$2" $1 2>/dev/null; }}
says() {{ [ "$(of $1 "$2")" = "$3" ]; }}
"""
# The machine's own programs in a container of the demo image.
SYSTEM = "\n".join(f"Volume={path}:ro" for path in ("/usr/bin:/usr/bin", "/usr/lib:/usr/lib", "/usr/lib:/lib", "/usr/lib64:/lib64"))


def container(command: str, *keys: str, service: str = "") -> str:
    """The text of a .container file; its command is a shell's."""
    text = "\n".join(["[Container]", "Image=localhost/demo:latest", "Network=none", f"Exec=sh -c '{command}'", "StopTimeout=0", *keys])
    return f"{text}\n[Service]\nTimeoutStartSec=900\n{service}\n"


def files(**texts: str) -> str:
    """A script that writes them into FOLDER, named kind__name."""
    named = {"{1}.{0}".format(*name.split("__")).replace("_", "-"): text for name, text in texts.items()}
    return "".join(f"cat >{name} <<'EOF'\n{text}EOF\n" for name, text in named.items()) + "systemctl --user daemon-reload\n"
