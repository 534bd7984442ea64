"""A new image of a container: its own files as a further layer, its configuration as the image's. CLI process; reads in U1.

The layer is packed by one child and unpacked by another, confined one, exactly as a pulled layer is, so that the store holds
nothing it would not take from a registry. An intent names what is put into the store until the image's record does.
"""

from __future__ import annotations

import hashlib
import os
import time

from pyman import paths, stages
from pyman.engine import image_changes, pause, root_access
from pyman.engine.container import Container
from pyman.engine.container_list import list_containers
from pyman.errors import StorageError, UsageError
from pyman.image import reference
from pyman.image.manifest import host_platform
from pyman.linux import fs, process
from pyman.rootless import userns
from pyman.state import fastjson
from pyman.storage import image_config, images, intents, layers, partial, sharing, tarsink, tarwriter, trash, unpacker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.engine.plan import Plan

_TYPES = {
    "oci": (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar",
    ),
    "docker": (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar",
    ),
}


def commit(container: Container, name: str, opts: dict[str, Any], warn: Callable[[str], None], say: Callable[[str], None]) -> str:
    """Make an image of a container and return its id. `name` may be empty; `say` is told what happens.

    opts: author, change, config, format, include_volumes, message, pause, squash. UsageError, ImageError, StorageError, StateError.
    """
    form = str(opts.get("format") or "oci")
    if form not in _TYPES:
        raise UsageError(f'unrecognized image format "{form}"', "it must be oci or docker")
    if opts.get("message") and form == "oci":
        raise UsageError("messages are only compatible with the docker image format", "the OCI format has no place for one", "-f docker")
    full = reference.normalise_tag(name) if name else ""
    config = _config(container, opts)
    image_changes.apply(config, list(opts.get("change") or []))
    collect()
    made = root_access.bare_plan(container)
    intent, sweepless = intents.Intent(), layers.storing()
    sweepless.acquire()
    try:
        info = _with_pause(container, bool(opts.get("pause")), lambda: _layer(made, bool(opts.get("squash")), intent, warn))
        say(f"Copying blob sha256:{info['diff_id']}")
        record, blobs = _describe(container, form, config, info, opts)
        stages.reach("commit:layer")
        intent.note([str(info["diff_id"])], list(blobs))
        for digest, data in blobs.items():
            say(f"Copying config sha256:{digest}" if digest == record["config"] else "Writing manifest to image destination")
            images.write_blob(digest, data)
        stages.reach("commit:blobs")
        images.add(record, [full] if full else [])
        stages.reach("commit:record")
    except BaseException:
        intent.release()
        sweepless.release()
        collect()  # what is in the store without a record goes again
        raise
    finally:
        sweepless.release()
    intent.done()
    container.event("commit")
    return str(record["id"])


def collect(oldest: float = partial.KEPT) -> None:
    """Remove what killed commands have left in the store; `oldest`: as for intents.collect."""
    if os.path.isdir(os.path.join(paths.graphroot(), "intents")):
        try:
            list_containers()  # takes away containers whose making was interrupted
        except StorageError:
            pass  # one is damaged, which is not this command's to tell; what it may need stays
        intents.collect(oldest)
        trash.sweep()


def _with_pause(container: Container, wanted: bool, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run `action` while the container is frozen, if that is wanted and it runs."""
    container.sync()
    if not wanted or container.state["status"] != "running":
        return action()
    with container:
        if container.state["status"] != "running":
            return action()
        pause.freeze_locked(container, own=True)
        try:
            return action()
        finally:
            pause.thaw_locked(container)


def _layer(made: Plan, squash: bool, intent: intents.Intent, warn: Callable[[str], None]) -> dict[str, Any]:
    """Put the new layer into the store; its record, see unpack_layer. ImageError, StorageError."""
    single = root_access.single_id()
    sharing.how()
    try:
        info = dict(userns.start_call(lambda: _store_layer(made, squash, single, intent), "pyman:[commit]", (intent.fd,)).finish())
    except StorageError as err:
        if err.errno in (fs.ENOSPC, fs.EDQUOT):
            err.what = f"cannot commit container {made.container.name}: its new layer does not fit into the store"
        raise
    for text in info.get("notes") or []:
        warn(text)
    return info


def _store_layer(made: Plan, squash: bool, single: bool, intent: intents.Intent) -> dict[str, Any]:
    """In U1: pack into a pipe, unpack from it into a staging directory, make it a layer."""
    with layers.Staging() as staging:
        read_end, write_end = os.pipe()
        report_r, report_w = os.pipe()
        fs.widen_pipe(write_end)
        packer = process.fork(lambda: _pack(made, squash, write_end, report_w), "pyman:[commit]", (write_end, report_w))
        os.close(write_end)
        os.close(report_w)
        try:
            info = unpacker.unpack_layer(read_end, staging.path, media_type="", single=single, threaded=True)
        except StorageError:
            os.close(read_end)
            read_end = -1
            process.wait(packer)  # it finds its pipe closed: a consequence of the full disk, not the cause
            raise
        finally:
            if read_end >= 0:
                os.close(read_end)
            with open(report_r, "rb") as pipe:
                report = fastjson.loads(pipe.read() or b'{"error": "the packing process was killed"}')
            if read_end >= 0:
                process.wait(packer)
                if "error" in report:
                    raise StorageError(f"cannot commit container {made.container.name}", str(report["error"]))
        stages.reach("commit:unpacked")
        intent.note([str(info["diff_id"])], [])
        staging.commit(str(info["diff_id"]), info)
    return {**info, "notes": [*report["notes"], *(info.get("notes") or [])][:20]}


def _pack(made: Plan, squash: bool, out_fd: int, report_fd: int) -> int:
    """Body of the packing child: what the container has changed, or with `squash` all its files, as a layer's archive."""
    container = made.container
    left_out: list[str] = []
    answer: dict[str, Any] = {"notes": left_out}
    upper = os.path.join(container.dir, "upper")
    writer = tarwriter.TreeWriter(
        tarsink.FdSink(out_fd), layer=True, marker_files=container.state.get("driver") == "fuse-overlayfs", note=left_out.append
    )
    try:
        if squash or made.rootfs == container.config["rootfs"]:
            writer.tree(root_access.mount_read_only(made))
        elif os.path.isdir(upper):
            writer.tree(os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
        writer.close()
    except OSError as err:
        answer = {"error": err.strerror or str(err)}
    answer["notes"] = left_out[:20]
    os.close(out_fd)
    with open(report_fd, "wb") as pipe:
        pipe.write(fastjson.dumps(answer).encode())
    return 0


def _config(container: Container, opts: dict[str, Any]) -> dict[str, Any]:
    """The new image's `config`: that of the container, as it was made."""
    from pyman.engine import env, inspect_config

    made, options, image = container.config, container.config["options"], container.config["image_config"]
    entries = env.committed(options, list(image.get("Env") or []))
    ports = [*inspect_config.exposed_ports(container), *inspect_config.published(container)]
    config: dict[str, Any] = {
        "User": str(options.get("user") or image.get("User") or ""),
        "ExposedPorts": {port: {} for port in ports},
        "Env": entries,
        "Entrypoint": inspect_config.entrypoint(container),
        "Cmd": made["command"] or ([] if "entrypoint" in options else image.get("Cmd")),
        "Volumes": {str(path): {} for path in [*(image.get("Volumes") or {}), *_destinations(container, anonymous=True)]},
        "WorkingDir": root_access.workdir(container),
        "Labels": dict(container.state["labels"]),
        "StopSignal": str(options.get("stop_signal") or image.get("StopSignal") or ""),
        "Healthcheck": image.get("Healthcheck"),
    }
    if opts.get("include_volumes"):
        config["Volumes"].update({path: {} for path in _destinations(container)})
    if opts.get("config"):
        image_changes.override(config, str(opts["config"]))
    return config


def _destinations(container: Container, anonymous: bool = False) -> list[str]:
    """Where something is mounted that was asked for, also tmpfs; anonymous: its own volumes alone."""
    from pyman.engine import volumes_from

    with container:
        mounts, volumes = volumes_from.all_of(container)
    return sorted(path for path, mount in mounts.items() if not anonymous or mount.volume in volumes.anonymous)


def _describe(
    container: Container, form: str, config: dict[str, Any], info: dict[str, Any], opts: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(the image's record, its blobs by digest)."""
    base = _base(container)
    now = time.time()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e9):09d}Z"
    below = [] if opts.get("squash") else list(container.config["layers"])
    author, platform = str(opts.get("author") or ""), host_platform().split("/")
    step = {
        "created": moment,
        "created_by": "/bin/sh",
        "author": author,
        "comment": f"FROM {container.config['image']['name'] or 'scratch'}",
    }
    document: dict[str, Any] = {
        "created": moment,
        "author": author,
        "architecture": base.get("architecture") or platform[1],
        "variant": base.get("variant") or "",
        "os": base.get("os") or platform[0],
        "config": {key: value for key, value in config.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}" for diff_id in [*below, info["diff_id"]]]},
        "history": [*([] if opts.get("squash") else base.get("history") or []), {key: text for key, text in step.items() if text}],
        "comment": str(opts.get("message") or ""),
    }
    config_data = fastjson.dumps({key: value for key, value in document.items() if value != ""}).encode()
    image_id = hashlib.sha256(config_data).hexdigest()
    manifest_type, config_type, layer_type = _TYPES[form]
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": {"mediaType": config_type, "digest": f"sha256:{image_id}", "size": len(config_data)},
        "layers": [_descriptor(diff_id, layer_type) for diff_id in [*below, str(info["diff_id"])]],
    }
    if form == "oci":
        manifest["annotations"] = {"org.opencontainers.image.created": moment}
    data = fastjson.dumps(manifest).encode()
    digest = hashlib.sha256(data).hexdigest()
    ids = [*below, str(info["diff_id"])]
    record = image_config.new_record(document, config=image_id, manifest=digest, layers=ids, size=layers.sizes(ids), created=now)
    return record, {image_id: config_data, digest: data}


def _descriptor(diff_id: str, media_type: str) -> dict[str, Any]:
    """A layer as it lies in the store: plain. Whoever pushes it compresses it, and writes another manifest."""
    info = layers.read_info(diff_id)
    size = int(info.get("plain_size") or info.get("compressed_size") or 0)
    return {"mediaType": media_type, "digest": f"sha256:{diff_id}", "size": size}


def _base(container: Container) -> dict[str, Any]:
    """The configuration of the container's image; empty if the image has gone (its layers have not)."""
    record = images.load().records.get(container.config["image"]["id"])
    return images.read_config(record) if record else {}
