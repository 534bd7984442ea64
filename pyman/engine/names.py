"""Container names: grammar, random names, reservation. CLI process."""

from __future__ import annotations

import os

from pyman.engine.container import Container, all_ids, containers_dir, names_dir
from pyman.errors import NameInUse, UsageError
from pyman.state.lock import Lock

_FIRST = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_REST = _FIRST + "_.-"

_LEFT = (
    "able amber ample arctic autumn azure bold brave brief bright brisk broad calm candid clean clear clever cosmic crisp daring "
    "deep eager early easy fair fast fine firm fluent fond frank free fresh gentle glad golden good grand green happy hardy "
    "honest humble jolly keen kind lively lucid lucky mellow merry mild modest neat nimble noble plain polite proud quick quiet "
    "rapid ready robust round safe sharp silent silver smart snowy solid steady still strong sunny swift tidy true vivid warm wise"
).split()
_RIGHT = (
    "acorn alder anchor aspen badger barley basalt beacon beaver birch bison brook candle canyon cedar clover cobalt comet coral "
    "cricket delta dune eagle elm ember falcon fern finch fjord flint forest fox garnet glacier granite grove harbor hazel heron "
    "iris island ivy jasper juniper lagoon lantern larch lark lichen linden lynx maple marten meadow mesa moss nectar oak ocean "
    "onyx opal orchid osprey otter owl pebble pine plover poplar quartz quill raven reef ridge river robin rowan saddle sage "
    "sparrow spruce summit swan tern thistle tulip valley walnut willow wren"
).split()


def check(name: str) -> None:
    """UsageError unless `name` follows [a-zA-Z0-9][a-zA-Z0-9_.-]* (at most 255 characters)."""
    if not name or name[0] not in _FIRST or name.strip(_REST) or len(name) > 255:
        raise UsageError(f"invalid container name {name!r}", "names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*", "choose another name")


def random_id() -> str:
    """A container's id, 64 hexadecimal digits. The first twelve become its host name: who looks up one of decimal digits alone takes
    it for an address, and finds nobody."""
    while True:
        found = os.urandom(32).hex()
        if not found[:12].isdigit():
            return found


def random_name() -> str:
    """Two words; not reserved yet."""
    number = int.from_bytes(os.urandom(4), "little")
    return f"{_LEFT[number % len(_LEFT)]}_{_RIGHT[(number >> 12) % len(_RIGHT)]}"


def reserve(name: str, container_id: str, doing: str = "create container") -> None:
    """Give `name`, which the user has chosen, to a container, or NameInUse (`doing` says for what). A name whose container has gone is taken over."""
    try:
        few = len(all_ids()) - (doing == "create container") > len(os.listdir(names_dir()))
        if few or os.path.lexists(os.path.join(names_dir(), name)):
            from pyman.engine import lost_state  # where others are being made, or a name was lost

            lost_state.lookup(name)
    except OSError:
        pass  # there is no name yet
    take(name, container_id, doing)


def take(name: str, container_id: str, doing: str = "create container") -> None:
    """As `reserve`, without a look at containers whose names were lost."""
    link = os.path.join(names_dir(), name)
    for _ in range(50):
        try:
            os.symlink(container_id, link)
            return
        except FileNotFoundError:
            os.makedirs(names_dir(), 0o700, exist_ok=True)
            continue
        except FileExistsError:
            pass
        try:
            holder = os.readlink(link)
        except FileNotFoundError:
            continue  # released just now
        except OSError:
            from pyman.storage import trash  # what is no name

            trash.discard(link)
            continue
        if holder == container_id:
            return  # a rename was killed before it could say so anywhere else
        if _is_ghost(holder):
            # Two commands may find the same ghost: each renames its own link over it, and the last one holds the name,
            # which both see by reading it back.
            temp = f"{link}.{container_id[:12]}~"
            os.symlink(container_id, temp)
            os.rename(temp, link)
            if os.readlink(link) == container_id:
                return
            continue
        from pyman.engine import rename  # which may have been killed when it had given a container two

        if rename.release_stale(Container(holder), name):
            continue
        other = "choose another --name, or use --replace" if doing == "create container" else "or choose another name"
        raise NameInUse(
            f"cannot {doing} {name}",
            f"the name is already in use by container {holder[:12]}",
            f"remove it (pyman rm {name}), {other}",
        )
    raise NameInUse(f"cannot {doing} {name}", "other commands keep taking and releasing this name")


def reserve_random(container_id: str) -> str:
    """Reserve a random free name and return it."""
    for attempt in range(200):
        name = random_name() if attempt < 100 else f"{random_name()}{os.urandom(2).hex()}"
        try:
            take(name, container_id)
        except NameInUse:
            continue
        return name
    raise NameInUse("cannot find a free container name", "two hundred random names were all taken", "give --name")


def release(name: str, container_id: str) -> None:
    """Give a name back if it belongs to `container_id`."""
    link = os.path.join(names_dir(), name)
    try:
        if os.readlink(link) == container_id:
            os.unlink(link)
    except OSError:
        pass


def release_all(container_id: str) -> list[str]:
    """Give back all names that lead to a container, found the slow way: its state is not known. Which they were."""
    from pyman.engine import lost_state  # for such containers only

    mine = [name for name, target in lost_state.all_names().items() if target == container_id]
    for name in mine:
        release(name, container_id)
    return mine


def _is_ghost(holder: str) -> bool:
    """Whether the holder of a name no longer exists, nor is just being created."""
    from pyman.engine import lost_state  # for names that are taken only

    path = os.path.join(containers_dir(), holder)
    if os.path.exists(os.path.join(path, "config.json")) or lost_state.complete(path):
        return False
    from pyman.engine import vanished

    if vanished.runs(Container(holder)):
        return False
    lock = Lock(path)
    try:
        return lock.try_acquire()
    except OSError:
        return True
    finally:
        lock.release()
