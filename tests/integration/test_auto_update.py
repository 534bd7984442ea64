"""auto-update as far as it goes without a service manager; restart policies tell what a reboot will do. The rest is in tests/vm."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Run
from tests.integration.test_registry import copy, start_registry

LABEL = "io.containers.autoupdate"


def test_what_would_be_updated(pyman: Run, image: str, base: Path, layout: str) -> None:
    process, address = start_registry(base / "update-registry", {})
    try:
        copy(layout, f"docker://{address}/demo:1", "--dest-tls-verify=false")
        remote = f"{address}/demo:1"
        pyman("pull", "-q", "--tls-verify=false", f"docker://{remote}")
        pyman("tag", image, "localhost/mine:1")
        unit = {"PODMAN_SYSTEMD_UNIT": "au.service"}
        pyman("run", "-d", "--name", "au-r", "--network", "none", "--label", f"{LABEL}=registry", remote, "sleep", "600", env=unit)
        pyman("run", "-d", "--name", "au-l", "--network", "none", "--label", f"{LABEL}=local", "localhost/mine:1", "sleep", "600", env=unit)
        pyman("run", "-d", "--name", "au-off", "--network", "none", "--label", f"{LABEL}=disabled", image, "sleep", "600", env=unit)

        def look(rc: int = 0) -> dict[str, str]:
            done = pyman("auto-update", "--dry-run", "--tls-verify=false", "--format", "json", rc=rc)
            return {row["ContainerName"]: row["Updated"] for row in json.loads(done.stdout)}

        assert look() == {"au-r": "false", "au-l": "false"}
        pyman("run", "--name", "au-new", image, "touch", "/new")
        pyman("commit", "-q", "au-new", "localhost/mine:1")
        pyman("push", "-q", "--tls-verify=false", "localhost/mine:1", f"docker://{remote}")
        assert look() == {"au-r": "pending", "au-l": "pending"}
        table = pyman("auto-update", "--dry-run", "--tls-verify=false").stdout
        assert table.split()[:5] == ["UNIT", "CONTAINER", "IMAGE", "POLICY", "UPDATED"] and "au.service" in table and "(au-l)" in table
        names = pyman("auto-update", "--dry-run", "--tls-verify=false", "--format", "{{.ContainerName}} {{.Policy}}").stdout
        assert sorted(names.splitlines()) == ["au-l local", "au-r registry"]
        pyman("run", "-d", "--name", "au-bad", "--network", "none", "--label", f"{LABEL}=sometimes", image, "sleep", "600", env=unit)
        pyman("run", "-d", "--name", "au-alone", "--network", "none", "--label", f"{LABEL}=local", image, "sleep", "600")
        told = pyman("auto-update", "--dry-run", "--tls-verify=false", rc=125).stderr
        assert "sometimes" in told and "was not started by a unit" in told
        # An image cannot choose the unit that is restarted, nor that it is.
        change = [word for key in (f"{LABEL}=local", "PODMAN_SYSTEMD_UNIT=other.service") for word in ("--change", f"LABEL {key}")]
        pyman("commit", "-q", *change, "au-new", "localhost/hostile:1")
        pyman("run", "-d", "--name", "au-hostile", "--network", "none", "localhost/hostile:1", "sleep", "600")
        assert look(rc=125) == {"au-r": "pending", "au-l": "pending"}
        pyman("rm", "-f", "-t", "0", "-a")
        pyman("rmi", "localhost/hostile:1", "localhost/mine:1", remote)
    finally:
        process.kill()
        process.wait()


def test_a_restart_policy_tells_what_is_missing(pyman: Run, image: str, base: Path) -> None:
    store = {"PYMAN_GRAPHROOT": str(base / "reboot-store")}
    pyman("pull", "-q", f"oci:{base}/demo:latest", env=store)
    quiet = pyman("create", "-q", "--restart=always", image, "true", env=store).stderr
    other = pyman("create", "--restart=on-failure", image, "true", env=store).stderr
    pyman("create", "--name", "changed", image, "true", env=store)
    quiet += pyman("update", "--restart=on-failure", "changed", env=store).stderr
    first = pyman("update", "--restart=always", "changed", env=store).stderr
    mark = base / "reboot-store/restart-told"
    mark.unlink(missing_ok=True)
    assert pyman("create", "--restart=always", image, "true", env=store).stderr == first
    again = pyman("create", "--restart=unless-stopped", image, "true", env=store).stderr
    assert (quiet, other) == ("", "")
    # Later it is said again only where something can be done.
    assert again == (first if "to change that: " in first else "")
    assert "be back after a reboot: " in first and first.count("\n") == 1
    assert "restart at boot" in pyman("doctor", env=store, rc=None).stdout
    pyman("rm", "-a", env=store)
    pyman("unshare", "rm", "-rf", store["PYMAN_GRAPHROOT"], env=store)
