"""policy.json: what is rejected or cannot be verified is refused, by the most specific scope."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration.test_registry import copy, start_registry


@pytest.fixture(scope="module")
def registry(base: Path, layout: str) -> Iterator[str]:
    process, address = start_registry(base / "policy-registry", {})
    for name in ("team/demo:1", "team/demo:2", "other/demo:1"):
        copy(layout, f"docker://{address}/{name}", "--dest-tls-verify=false")
    yield address
    process.kill()
    process.wait()


@pytest.fixture
def policy(base: Path) -> Iterator[Path]:
    file = base / "home/.config/containers/policy.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    yield file
    file.unlink()


def test_the_most_specific_scope_decides(pyman: Run, layout: str, registry: str, policy: Path) -> None:
    accept, reject = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]
    scopes = {f"{registry}/team": accept, f"{registry}/team/demo:2": reject}
    policy.write_text(json.dumps({"default": reject, "transports": {"docker": scopes, "oci": {layout: accept}}}))
    pyman("pull", "-q", "--tls-verify=false", f"{registry}/team/demo:1")
    assert "rejects it" in pyman("pull", "--tls-verify=false", f"{registry}/team/demo:2", rc=125).stderr
    assert "rejects it" in pyman("pull", "--tls-verify=false", f"{registry}/other/demo:1", rc=125).stderr
    pyman("pull", "-q", f"oci:{layout}:latest")
    assert "rejects it" in pyman("pull", "docker-archive:/nonexistent", rc=125).stderr


@pytest.mark.parametrize("kind", ["signedBy", "sigstoreSigned"])
def test_what_cannot_be_verified_is_refused(pyman: Run, registry: str, policy: Path, kind: str) -> None:
    policy.write_text(json.dumps({"default": [{"type": kind, "keyPath": "/etc/passwd"}]}))
    assert "cannot verify" in pyman("pull", "--tls-verify=false", f"{registry}/team/demo:1", rc=125).stderr


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"default": []}', '{"default": [{"type": "other"}]}', '{"default": [{"type": "reject"}], "x": 1}', '{"transports": {}}'],
)
def test_a_policy_that_is_not_understood_allows_nothing(pyman: Run, registry: str, policy: Path, text: str) -> None:
    policy.write_text(text)
    assert "policy.json" in pyman("pull", "--tls-verify=false", f"{registry}/team/demo:1", rc=125).stderr
