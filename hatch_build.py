"""Build hook: compile the native programs with the C compiler, and put them into the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ["-Os", "-Wall", "-Wextra", "-fstack-protector-strong"]


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Programs, not extension modules: an idle Python interpreter would cost 6-10 MB per container."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the results to the wheel; an editable installation keeps them in the source tree."""
        compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
        if compiler is None:
            raise RuntimeError("pyman's monitor and launcher are small C programs: install a C compiler (apt-get install gcc libc6-dev)")
        place = os.path.join(self.root, "pyman", "_native") if version == "editable" else os.path.join(self.root, "build", "native")
        os.makedirs(place, exist_ok=True)
        names = ("pyman-monitor", "pyman-namespaces", "pyman-network", "launcher", "launcher-runtime", "launcher-quadlet")
        monitor, holder, network, launcher, runtime, quadlet = (os.path.join(place, name) for name in names)
        self._compile(compiler, os.path.join(self.root, "shims", "monitor.c"), monitor)
        self._compile(compiler, os.path.join(self.root, "shims", "namespaces.c"), holder)
        self._compile(compiler, os.path.join(self.root, "shims", "network.c"), network)
        self._compile(compiler, os.path.join(self.root, "shims", "launcher.c"), launcher)
        shutil.copy2(launcher, runtime)
        shutil.copy2(launcher, quadlet)
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["shared_scripts"] = {launcher: "pyman", runtime: "pyman-runtime", quadlet: "pyman-quadlet"}
        if version != "editable":
            shims = {os.path.join(self.root, "shims", name): f"pyman/_shims/{name}" for name in ("docker", "podman")}
            build_data["force_include"] = {
                monitor: "pyman/_native/pyman-monitor",
                holder: "pyman/_native/pyman-namespaces",
                network: "pyman/_native/pyman-network",
                **shims,
            }

    @staticmethod
    def _compile(compiler: str, source: str, target: str) -> None:
        """Static where libc.a is there: no loader, less memory, nothing of the container's to be loaded."""
        command = [compiler, *FLAGS, "-o", target, source]
        if subprocess.run([*command, "-static"], capture_output=True, check=False).returncode != 0:
            subprocess.run(command, check=True)
