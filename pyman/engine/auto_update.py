"""`auto-update`: containers of units whose image has changed are made anew by restarting their unit; with a way back. CLI process.

Which containers take part, and which unit is restarted, is said by labels that the user gave; those of an image say nothing here.
"""

from __future__ import annotations

from pyman.engine import container as containers
from pyman.engine.container_list import list_containers
from pyman.errors import NoSuchContainer, PymanError, StateError, UsageError
from pyman.storage import images
from pyman.systemd import manager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container

LABEL, AUTHFILE, UNIT = "io.containers.autoupdate", "io.containers.autoupdate.authfile", "PODMAN_SYSTEMD_UNIT"
_POLICIES = {"registry": "registry", "image": "registry", "local": "local"}


class Task:
    """One container that takes part. updated: false, pending, true, failed or rolled back."""

    __slots__ = ("authfile", "container_id", "image", "image_id", "name", "policy", "unit", "updated")

    def __init__(self, container: Container, labels: dict[str, str]) -> None:
        self.policy = _POLICIES[labels[LABEL]]
        self.unit = labels.get(UNIT, "")
        self.authfile = labels.get(AUTHFILE, "")
        self.container_id, self.name = container.id, container.name
        self.image, self.image_id = container.config["image"]["name"], container.config["image"]["id"]
        self.updated = "false"


def given_labels(container: Container) -> dict[str, str]:
    """The labels of a container that are not only its image's."""
    own = container.config["image_config"].get("Labels") or {}
    said = {item.partition("=")[0] for item in container.config["options"].get("label") or []}
    return {key: value for key, value in container.state["labels"].items() if key in said or own.get(key) != value}


def tasks() -> tuple[list[Task], list[PymanError]]:
    """The running containers that take part, and what is wrong with others that want to."""
    found: list[Task] = []
    errors: list[PymanError] = []
    for container in reversed(list_containers()):
        try:
            labels = given_labels(container)
        except NoSuchContainer:
            continue  # removed just now
        policy = labels.get(LABEL, "")
        if container.state["status"] not in containers.RUNNING or policy in ("", "disabled"):
            continue
        what = f"cannot update container {container.name}"
        if policy not in _POLICIES:
            errors.append(UsageError(what, f"label {LABEL}={policy} is none of registry, local, disabled"))
        elif not labels.get(UNIT):
            errors.append(StateError(what, f"it has no label {UNIT}: it was not started by a unit", "pyman quadlet from " + container.name))
        else:
            found.append(Task(container, labels))
    return found, errors


def update(
    *, dry_run: bool, rollback: bool, access: dict[str, Any], conf: dict[str, Any], reporter: Any
) -> tuple[list[Task], list[PymanError]]:
    """Look for new images, pull them and restart the units, or with dry_run only look. Returns all tasks, and the errors met."""
    found, errors = tasks()
    fresh: dict[str, str] = {}  # image name -> id of its newest image
    for task in found:
        try:
            newest = _newest(task, fresh, dry_run, access, conf, reporter)
        except PymanError as err:
            task.updated = "failed"
            errors.append(err)
            continue
        if newest != task.image_id:
            task.updated = "pending"
    if not dry_run:
        for unit in dict.fromkeys(task.unit for task in found if task.updated == "pending"):
            error = _restart(unit, [task for task in found if task.unit == unit and task.updated == "pending"], rollback)
            errors += [error] if error else []
    return found, errors


def _newest(task: Task, fresh: dict[str, str], dry_run: bool, access: dict[str, Any], conf: dict[str, Any], reporter: Any) -> str:
    """The id of the newest image of that name; with dry_run something else than the container's if the registry has another."""
    if task.policy == "local":
        return str(images.load().resolve(task.image)["id"])
    if task.image in fresh:
        return fresh[task.image]
    if "@" in task.image or "/" not in task.image or task.image.startswith("localhost/"):
        raise UsageError(
            f"cannot update container {task.name}", f"its image {task.image} is not a name and tag of a registry", f"use {LABEL}=local"
        )
    from pyman.image import pull  # the slow path: oras and requests

    access = {**access, "authfile": task.authfile or access.get("authfile") or ""}
    if dry_run:
        record = images.load().records.get(task.image_id)
        newest = task.image_id if record and not pull.changed(task.image, record, **access) else "new"
    else:
        newest = str(pull.pull(task.image, policy="always", reporter=reporter, conf=conf, **access)["id"])
    fresh[task.image] = newest
    return newest


def _restart(unit: str, updated: list[Task], rollback: bool) -> PymanError | None:
    """Restart a unit, which makes its containers anew from the new images; if it fails, with the old ones again."""
    try:
        manager.call("restart", "--", unit)
    except PymanError as err:
        failure = err
    else:
        _mark(updated, "true")
        return None
    _mark(updated, "failed")
    if not rollback:
        return failure
    try:
        for task in updated:
            record = images.load().records.get(task.image_id)
            if record is None:
                raise StateError(f"cannot roll back {unit}", f"the old image of {task.image} is gone", "pull a good one, restart the unit")
            images.add(record, [task.image])
        manager.call("reset-failed", "--", unit)
        manager.call("restart", "--", unit)
    except PymanError as err:
        return err
    _mark(updated, "rolled back")
    return None


def _mark(updated: list[Task], word: str) -> None:
    for task in updated:
        task.updated = word
