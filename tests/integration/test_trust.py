"""image trust, sign, scp and search: the policy that is shown and set is the one that pulls obey; refusals say what does it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Run


def test_trust(pyman: Run, layout: str, base: Path, tmp_path: Path) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    before = pyman("image", "trust", "show", env=env).stdout.splitlines()
    assert before[0].split() == ["TRANSPORT", "NAME", "TYPE", "ID", "STORE"] and before[1].split()[:2] == ["all", "default"]
    key = tmp_path / "key.gpg"
    key.write_text("key")
    (tmp_path / "containers/registries.d").mkdir(parents=True)
    (tmp_path / "containers/registries.d/a.yaml").write_text(
        "docker:\n  signed.example/team:\n    lookaside: https://signatures.example/x\n"
    )
    pyman("image", "trust", "set", "-t", "reject", "evil.example", env=env)
    pyman("image", "trust", "set", "-f", str(key), "signed.example/team", env=env)
    pyman("image", "trust", "set", "--type", "accept", "default", env=env)
    rows = json.loads(pyman("image", "trust", "show", "--json", env=env).stdout)
    assert {row["repo_name"]: row["type"] for row in rows} == {
        "default": "accept",
        "evil.example": "reject",
        "signed.example/team": "signed",
    }
    assert rows[-1]["gpg_id"] == "key.gpg" and rows[-1]["transport"] == "repository"
    assert rows[-1]["sigstore"] == "https://signatures.example/x" and "sigstore" not in rows[0]
    raw = json.loads(pyman("image", "trust", "show", "--raw", env=env).stdout)
    assert raw == json.loads((tmp_path / "containers/policy.json").read_text())
    assert len(pyman("image", "trust", "show", "-n", "evil.example", env=env).stdout.splitlines()) == 2
    assert "rejects it" in pyman("pull", "evil.example/x", rc=125, env=env).stderr
    other = tmp_path / "other.json"  # another file, which begins as a copy and leaves the first one alone
    pyman("image", "trust", "set", "--policypath", str(other), "-t", "sigstoreSigned", "-f", str(key), "cosigned.example", env=env)
    pyman("image", "trust", "set", "--policypath", str(other), "-t", "accept", "evil.example", env=env)
    shown = json.loads(pyman("image", "trust", "show", "--policypath", str(other), "--registrypath", str(tmp_path), "-j", env=env).stdout)
    assert {row["repo_name"]: row["type"] for row in shown}["cosigned.example"] == "sigstoreSigned"
    assert {row["repo_name"]: row["type"] for row in shown}["evil.example"] == "accept" and not any("sigstore" in row for row in shown)
    assert json.loads(other.read_text())["transports"]["docker"]["cosigned.example"] == [{"type": "sigstoreSigned", "keyPath": str(key)}]
    assert raw == json.loads((tmp_path / "containers/policy.json").read_text())
    for args, why in (
        (("set", "x"), "public key"),
        (("set", "-t", "maybe", "x"), "signedBy, accept"),
        (("set", "-t", "accept", "-f", str(key), "x"), "has no keys"),
        (("set", "-f", "/nosuch", "x"), "no such file"),
        (("set",), "needs a registry"),
        (("show", "-t", "accept"), "other one"),
        ((), "show or set"),
    ):
        assert why in pyman("image", "trust", *args, rc=125, env=env).stderr, args


def test_what_is_refused_says_what_does_it(pyman: Run) -> None:
    assert "cosign" in pyman("push", "--sign-by-sq-fingerprint", "k", "x", rc=125).stderr
    assert "sudo -iu other pyman load" in pyman("image", "scp", "-q", "x", "other@localhost::", rc=125).stderr
    assert "must specify a destination" in pyman("image", "scp", "x", "y", rc=125).stderr
    assert "needs a term" in pyman("image", "search", rc=125).stderr
