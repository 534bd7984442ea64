"""Named moments at which the state on disk or the set of processes has just changed; tests kill commands at each of them.

With PYMAN_KILL_AT=STAGE in the environment, the process that reaches the stage kills itself with SIGKILL; with STAGE! it
kills its whole process group. Any process; imports only os.
"""

from __future__ import annotations

import os

PULL = (
    "pull:manifest",  # the manifest and the configuration are known, nothing is written
    "pull:download",  # the first bytes of a layer have arrived
    "pull:unpacked",  # a layer is complete in its staging directory
    "pull:commit",  # it is on disk, and not yet renamed into place
    "pull:layers",  # all layers are in place
    "pull:blobs",  # manifest and configuration too; no record names the image
    "pull:record",  # the image exists
)
PUSH = (
    "push:packed",  # a worker has read the first part of a layer
    "push:layer",  # one layer is at the target
    "push:layers",  # all layers are at the target
    "push:config",  # the configuration too; no manifest names them
    "push:manifest",  # the registry has the manifest
)
IMPORT = (
    "import:unpacked",  # the layer is complete in its staging directory
    "import:layer",  # it is in place
    "import:blobs",  # manifest and configuration too; no record names the image
    "import:record",  # the image exists
)
ARTIFACT = (
    "artifact:blobs",  # its files have their names, no index names them
    "artifact:index",  # it exists
)
LOAD = ("load:record",)  # one image of an archive exists
RMI = (
    "rmi:noted",  # what is going to be deleted is written down; the image exists
    "rmi:index",  # it does not; its layers do
    "collect:layer",  # the first of them is deleted
)
SAVE = (
    "save:written",  # the archive is written, and has no name yet
)
RUN = (
    "create:directory",  # the container's directory is made and locked
    "create:name",  # its name is reserved
    "create:state",  # its state is written, its configuration is not: it does not exist yet
    "create:config",  # it exists
    "start:planned",  # what to start is decided; nothing runs
    "start:network",  # C runs in the user namespace, the network's helper is started
    "start:rootfs",  # the root file system is mounted
    "start:cloned",  # init is cloned
    "start:ready",  # the network works; init has entered its root, or is about to
    "start:saved",  # the state says that the container runs; init has not executed the command
    "start:started",  # init has executed the command
    "start:reported",  # C is about to become the monitor
    "run:started",  # the command knows it
    "run:ended",  # the container has ended, nothing is cleaned up
    "remove:unmade",  # it exists no more; its name and its directory are left
    "remove:name",  # its name is given back
    "remove:renamed",  # its directory lies in the trash
)
NETWORK = (
    "network:planned",  # a new network is decided, nothing is written
    "network:created",  # its file exists
    "network:leases",  # a removed network's leases are gone, its file is not
    "network:removed",  # its file is gone
)
VOLUME = (
    "create:volume",  # a volume of a new container is made
    "volume:made",  # a volume is complete, and has no name yet
    "volume:named",  # it exists
    "volume:copied",  # the image's files are copied for it, and not in it yet
    "volume:unpacked",  # an archive to be imported is unpacked aside
    "volume:importing",  # the first of its entries is in the volume
    "volume:removing",  # it is about to go
    "remove:volumes",  # the anonymous volumes of a container are gone, the container is not
)
COMMIT = (
    "commit:unpacked",  # the new layer is complete in its staging directory
    "commit:layer",  # it is in place
    "commit:blobs",  # manifest and configuration too; no record names the image
    "commit:record",  # the image exists
)
RESTART = ("restart:stopped",)  # the container is stopped and not yet started again
PAUSE = (
    "pause:noted",  # the state says that the container is paused; it is not
    "pause:frozen",  # it is
)
RENAME = (
    "rename:reserved",  # the new name leads to the container, too
    "rename:saved",  # it is called so, and the old name still leads to it
)
STOP = (
    "stop:noted",  # the wish is written down; the container knows nothing of it
    "stop:signalled",  # its stop signal was sent
    "stop:ended",  # it has ended and its end is known; nothing is saved
)
EXEC = (
    "exec:joined",  # the user namespace is entered
    "exec:started",  # the command runs
)
EXEC_DETACHED = (
    "exec:reported",  # the caller of a detached exec knows its session; the program that waits for its end is not there yet
    "exec:recorded",  # the end of a detached exec is written down; there is no event
)
UPDATE = (
    "update:applied",  # the control group has the new limits
    "update:saved",  # the state has them; the OCI configuration and the monitor do not know
)
SECRET = (
    "secret:stored",  # the value of a new secret is kept, nothing names it
    "secret:created",  # it exists; with --replace its predecessor still does
    "secret:unnamed",  # a secret that is removed exists no more, its value does
)
BRIDGE = (
    "bridge:keeper",  # the keeper runs, its namespace is empty
    "bridge:uplink",  # the namespace has its rules and its way out
    "bridge:attached",  # the container has its devices and addresses
    "bridge:named",  # the name servers know it
)
RESET = (
    "reset:containers",  # all containers are removed
    "reset:renamed",  # all else lies in the trash
)
ALL = (
    PULL
    + PUSH
    + SAVE
    + COMMIT
    + RUN
    + PAUSE
    + RENAME
    + NETWORK
    + VOLUME
    + STOP
    + EXEC
    + EXEC_DETACHED
    + UPDATE
    + SECRET
    + LOAD
    + IMPORT
    + ARTIFACT
    + BRIDGE
    + RESTART
    + RESET
    + RMI
)

_KILL_AT = os.environ.get("PYMAN_KILL_AT", "")


def reach(stage: str) -> None:
    """Note that `stage` is reached."""
    if _KILL_AT and _KILL_AT.rstrip("!") == stage:
        os.kill(0 if _KILL_AT.endswith("!") else os.getpid(), 9)
