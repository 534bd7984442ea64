# Helpers of shims/install and tests/run; sourced, POSIX sh.

say() { printf '%s\n' "$*"; }
die() { printf 'Error: %s\n' "$*" >&2; exit 1; }

# Root commands: directly, or through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# A real interpreter of Python 3.10 or newer; the shims of version managers cost tens of milliseconds at every start.
find_python() {
    for candidate in /usr/bin/python3 /usr/bin/python3.14 /usr/bin/python3.13 /usr/bin/python3.12 /usr/bin/python3.11 /usr/bin/python3.10 /usr/local/bin/python3; do
        if [ -x "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
}

# Those of the named Debian packages that are not installed.
missing_packages() {
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || printf '%s ' "$package"
    done
}

install_packages() {
    [ -n "$*" ] || return 0
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Install those of the named packages that can be had here: older distributions lack some, an administrator may hold some back, and
# doctor says what that costs. Only trying it (-s changes nothing) tells both.
install_known_packages() {
    known=
    for package in "$@"; do
        if apt-get install -s -qq --no-install-recommends "$package" >/dev/null 2>&1; then known="$known $package"; else say "the package $package cannot be had here; going on without"; fi
    done
    # shellcheck disable=SC2086 # a list of package names
    [ -z "$known" ] || as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $known >/dev/null
}

# /dev/fuse and /dev/net/tun are 0666 on a usual Debian; some virtual machines have them closed.
closed_devices() {
    for device in /dev/fuse /dev/net/tun; do
        [ -e "$device" ] && [ "$(stat -c %a "$device")" != 666 ] && printf '%s ' "$device"
    done
    return 0
}

open_devices() {
    for device in $(closed_devices); do
        as_root chmod 0666 "$device" || say "cannot open $device; pyman doctor tells what that costs"
    done
}

has_ranges() {
    grep -q "^$1:" /etc/subuid 2>/dev/null && grep -q "^$1:" /etc/subgid 2>/dev/null
}

# The first id of a range of 65536 that nobody has.
free_range() {
    awk -F: 'BEGIN { top = 100000 } { end = $2 + $3; if (end > top) top = end } END { print top }' /etc/subuid /etc/subgid 2>/dev/null
}

give_ranges() {
    first=$(free_range)
    as_root usermod --add-subuids "$first-$((first + 65535))" --add-subgids "$first-$((first + 65535))" "$1"
}

# Run a command as the account $1, in a clean environment of its own.
as_account() {
    account=$1
    shift
    if [ "$(id -u)" = 0 ]; then
        home=$(getent passwd "$account" | cut -d: -f6)
        setpriv --reuid "$account" --regid "$account" --init-groups env -i HOME="$home" USER="$account" LOGNAME="$account" \
            PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LANG=C.UTF-8 TERM="${TERM:-dumb}" CI="${CI:-}" "$@"
    else
        "$@"
    fi
}
