"""Capabilities by raw capset(2) and prctl(2), and their names. Init and exec-init."""

from __future__ import annotations

from pyman.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
else:
    from pyman.linux import cabi as ctypes

# capabilities(7), in the kernel's order: the index is the number.
NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW "
    "IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD "
    "LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
NUMBERS = {"CAP_" + name: number for number, name in enumerate(NAMES)}

_VERSION_3 = 0x20080522


def mask(names: list[str]) -> int:
    """The bit set of capability names (CAP_X). ValueError for an unknown name."""
    result = 0
    for name in names:
        if name not in NUMBERS:
            raise ValueError(f"unknown capability {name}")
        result |= 1 << NUMBERS[name]
    return result


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set this process's three capability sets."""
    # struct __user_cap_header_struct, then two struct __user_cap_data_struct: low and high halves
    header = ctypes.c_char_p(libc.u32s(_VERSION_3, 0))
    halves = [(value >> shift) & 0xFFFFFFFF for shift in (0, 32) for value in (effective, permitted, inheritable)]
    if libc.libc.syscall(ctypes.c_long(libc.NR_capset), header, ctypes.c_char_p(libc.u32s(*halves))) < 0:
        libc.raise_errno("capset")


def drop_bounding(keep: int) -> None:
    """Drop every capability outside `keep` from the bounding set (needs CAP_SETPCAP)."""
    for number in range(64):
        if keep >> number & 1:
            continue
        if libc.libc.prctl(libc.PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
            if ctypes.get_errno() == 22:  # EINVAL: beyond the kernel's last capability
                return
            libc.raise_errno("prctl(PR_CAPBSET_DROP)")


def raise_ambient(wanted: int) -> None:
    """Put capabilities into the ambient set; each must be permitted and inheritable."""
    for number in range(len(NAMES)):
        if wanted >> number & 1:
            libc.prctl(libc.PR_CAP_AMBIENT, 2, number)
