"""A store on a file system that only a whole machine has: NFS."""

from __future__ import annotations

from tests.vm.machine import Machine


def test_a_store_on_nfs_is_refused_before_use(vm: Machine) -> None:
    vm(
        r"""
        mkdir -p /srv/nfs /mnt/nfs; chmod 777 /srv/nfs
        modprobe nfsd; mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd
        exportfs -o rw,no_root_squash,insecure,fsid=0 127.0.0.1:/srv/nfs
        rpc.mountd -N 3; rpc.nfsd -N 3 -G 10 -L 10 1
        mount -t nfs4 127.0.0.1:/ /mnt/nfs
        """,
        user="root",
    )
    try:
        said = vm(
            r"""
            stat -f -c %T /mnt/nfs; exec 2>&1
            pyman --root /mnt/nfs/store pull -q oci:/opt/demo:latest || echo "code $?"
            export XDG_DATA_HOME=/mnt/nfs/data
            pyman run --rm oci:/opt/demo:latest true || echo "code $?"
            { pyman doctor || :; } | grep -A 3 -e '^store ' -e '^to mend store'
            find /mnt/nfs -type f; find /mnt/nfs -name layers
            """
        ).stdout
    finally:
        vm("umount /mnt/nfs; rpc.nfsd 0; exportfs -ua; kill $(pidof rpc.mountd); rm -r /srv/nfs/*", user="root", rc=None)
    refused = "it lies on NFS, which keeps no subordinate owners"
    hint = "choose a directory on a local disk: export XDG_DATA_HOME=DIRECTORY, or pyman --root DIRECTORY"
    lines = said.splitlines()
    assert lines[0] == "nfs"
    for start, place in ((1, "/mnt/nfs/store"), (4, "/mnt/nfs/data/pyman")):
        assert lines[start : start + 3] == [
            f"Error: cannot keep images and containers in {place}: {refused}",
            f"  hint: {hint}",
            "code 125",
        ]
    assert lines[7].split() == f"store fail /mnt/nfs/data/pyman: {refused}".split()
    assert f"  {hint}" in lines[8:] and not lines[-1].startswith("/")
