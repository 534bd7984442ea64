"""history, image tree and image diff, of an image and one that is built on it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conftest import Run

EMPTY = b"\0" * 10240  # a tar archive of nothing


@pytest.fixture
def child(pyman: Run, image: str) -> Iterator[str]:
    """An image of two layers more than the demo image's."""
    for number, below in ((1, image), (2, "localhost/built:1")):
        pyman("run", "--name", "maker", "--network", "none", below, "sh", "-c", f"echo {number} > /file{number}; rm -f /etc/group")
        pyman("commit", "-q", "maker", f"localhost/built:{number}")
        pyman("rm", "maker")
    yield "localhost/built:2"
    pyman("rmi", "-f", "localhost/built:2", "localhost/built:1")


def test_templates_know_what_an_image_need_not_have(pyman: Run, image: str) -> None:
    """As with Go's types: what its configuration lacks is empty, what no image has is an error."""
    fields = "{{.Config.User}}|{{.Config.ExposedPorts}}|{{.Config.ExposedPorts.x}}|{{.Config.StopSignal}}|{{len .Config.Volumes}}"
    assert pyman("image", "inspect", "--format", fields, image).stdout == "|map[]|<no value>||0\n"
    steps = pyman(
        "image", "inspect", "--format", "{{range .History}}{{.CreatedBy}}:{{.EmptyLayer}}:{{.Created.Year}};{{end}}", image
    ).stdout
    assert steps.count(":false:") >= 1 and "no value" not in steps
    for template in ("{{.Config.Nope}}", "{{range .History}}{{.Nope}}{{end}}", "{{.Nope}}"):
        assert "there is no field 'Nope'" in pyman("inspect", "--format", template, image, rc=125).stderr


def test_history_tree_diff(pyman: Run, image: str, child: str) -> None:
    key = pyman("image", "inspect", "--format", "{{.Id}}", child).stdout.strip()
    steps = json.loads(pyman("history", "--format", "json", child).stdout)
    assert steps[0]["id"] == key and steps[0]["tags"] == [child] and steps[0]["comment"] == "FROM localhost/built:1"
    assert steps[1]["tags"] == ["localhost/built:1"] and image in steps[2]["tags"] and steps[2]["size"] > 100000
    assert steps[0]["Created"].endswith("Z") and len(steps[0]["Created"]) == 20
    lines = pyman("image", "history", child).stdout.splitlines()
    assert lines[0].split() == ["ID", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"] and lines[1].startswith(key[:12])
    assert len(lines) == len(steps) + 1
    assert pyman("history", "-q", child).stdout.splitlines()[0] == key[:12]
    assert pyman("history", "-q", "--no-trunc", child).stdout.splitlines()[0] == key
    raw = pyman("history", "-H=false", "--format", "{{.Size}} {{.Created}}", child).stdout.splitlines()
    assert raw[2].split()[0] == str(steps[2]["size"]) and raw[0].split()[1] == steps[0]["Created"]
    assert pyman("history", "--format", "table {{.ID}} {{.CreatedBy}}", child).stdout.startswith("ID")
    pyman("import", "-q", "-m", "wiped \x1b[2J", "-", "localhost/rude", input=EMPTY, text=False)
    assert json.loads(pyman("history", "--format", "json", "rude").stdout)[0]["comment"] == "wiped \x1b[2J"
    rude = pyman("history", "rude").stdout
    assert "wiped" in rude and "\x1b" not in rude and pyman("rmi", "rude")
    assert "image not known" in pyman("history", "nobody", rc=125).stderr

    tree = pyman("image", "tree", child).stdout.splitlines()
    assert tree[0] == f"Image ID: {key[:12]}" and tree[1] == f"Tags:     [{child}]" and tree[3] == "Image Layers"
    assert tree[4].startswith("├── ID: ") and image in tree[4] and tree[6].startswith("└── ID: ")
    assert tree[6].endswith(f"Top Layer of: [{child}]")
    above = pyman("image", "tree", "--whatrequires", image).stdout.splitlines()
    assert above[4].startswith("├── ") and above[6].endswith(f"Top Layer of: [{child}]") and above[6].startswith("└── ")

    assert pyman("image", "diff", child).stdout == "A /file2\n"
    assert "A /file1" in pyman("image", "diff", child, image).stdout and "D /etc/group" in pyman("image", "diff", child, image).stdout
    assert json.loads(pyman("image", "diff", "--format", "json", child).stdout)["added"] == ["/file2"]
