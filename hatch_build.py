"""Build hook: compile the monitor and the launcher with the C compiler, and put them into the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ["-Os", "-Wall", "-Wextra", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong"]


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Programs, not extension modules: an idle Python interpreter would cost 6-10 MB per container."""

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        """Compile into pyman/_native and name the results to the wheel."""
        compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
        if compiler is None:
            raise RuntimeError("pyman's monitor is a small C program: install a C compiler (apt-get install gcc libc6-dev)")
        native = os.path.join(self.root, "pyman", "_native")
        os.makedirs(native, exist_ok=True)
        for source, target in (("monitor.c", "pyman-monitor"), ("launcher.c", "pyman-launcher")):
            self._compile(compiler, os.path.join(self.root, "shims", source), os.path.join(native, target))
        build_data["pure_python"] = False
        build_data["tag"] = None
        build_data["infer_tag"] = True
        launcher = os.path.join(native, "pyman-launcher")
        build_data["shared_scripts"] = {launcher: "pyman"}
        runtime = os.path.join(native, "pyman-runtime-launcher")
        shutil.copy2(launcher, runtime)
        build_data["shared_scripts"] = {launcher: "pyman", runtime: "pyman-runtime"}
        build_data["force_include"] = {os.path.join(native, "pyman-monitor"): "pyman/_native/pyman-monitor"}
        for name in ("docker", "podman"):
            build_data["force_include"][os.path.join(self.root, "shims", name)] = f"pyman/_shims/{name}"  # type: ignore[index]

    @staticmethod
    def _compile(compiler: str, source: str, target: str) -> None:
        """Static where libc.a is there: no loader, less memory, nothing of the container's to be loaded."""
        command = [compiler, *FLAGS, "-o", target, source]
        if subprocess.run([*command, "-static"], capture_output=True, check=False).returncode != 0:
            subprocess.run(command, check=True)
