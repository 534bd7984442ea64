"""images, image inspect, exists, prune, tag, untag and rmi: fields, filters, orders, former names."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conftest import Run


@pytest.fixture(scope="module", autouse=True)
def empty(pyman: Run) -> None:
    """Only what these tests put into the store is in the lists."""
    pyman("rmi", "-af")


@pytest.fixture
def tagged(pyman: Run, image: str) -> Iterator[str]:
    pyman("tag", image, "registry.example/team/app:1", "app2")
    yield image
    pyman("rmi", "registry.example/team/app:1", "localhost/app2", rc=None)


def names(pyman: Run, *args: str) -> list[str]:
    return sorted(pyman("images", "--format", "{{.Repository}}:{{.Tag}}", *args).stdout.split())


ALL = ["localhost/app2:latest", "localhost/demo:latest", "registry.example/team/app:1"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("reference=app2", ALL),
        ("reference=*/team/*", ALL),
        ("reference=nosuch", []),
        ("reference!=demo", []),
        ("label=title", ALL),
        ("label=title=demo", ALL),
        ("label!=title", []),
        ("dangling=false", ALL),
        ("dangling=true", []),
        ("intermediate=true", []),
        ("containers=true", []),
        ("containers=false", ALL),
        ("manifest=true", []),
        ("readonly=false", ALL),
        ("until=1h", ALL),
        ("until=2001-01-01", []),
        ("before=app2", []),
        ("since=app2", []),
        ("after=app2", []),
    ],
)
def test_filters(pyman: Run, tagged: str, wanted: str, found: list[str]) -> None:
    assert names(pyman, "--filter", wanted) == found


def test_ids_and_digests_as_filters(pyman: Run, tagged: str) -> None:
    row = json.loads(pyman("images", "--format", "json").stdout)[0]
    assert names(pyman, "--filter", f"id={row['Id'][:10]}") == names(pyman, "--filter", f"digest={row['Digest'][:20]}") == ALL
    assert names(pyman, "--filter", f"id!={row['Id']}") == []
    assert "true or false" in pyman("images", "--filter", "dangling=maybe", rc=125).stderr
    for bad, text in (("colour=red", "there is no filter 'colour' of images"), ("colour", "there is no filter"), ("label", "the form is")):
        done = pyman("images", "--filter", bad, rc=125).stderr
        assert text in done and "keys are" in done


def test_an_unknown_name_is_an_empty_list(pyman: Run, tagged: str) -> None:
    assert pyman("images", "nosuch").stdout.split()[0] == "REPOSITORY"
    assert names(pyman, "nosuch") == [] and names(pyman, "app2") == names(pyman, "*/team/app") == ALL


def test_fields(pyman: Run, tagged: str) -> None:
    value = json.loads(pyman("image", "inspect", tagged).stdout)[0]
    row = json.loads(pyman("images", "--format", "json").stdout)[0]
    template = "{{.Id}} {{.Containers}} {{.VirtualSize}} {{.ParentId}} {{.SharedSize}} {{.IsDangling}} {{.IsReadOnly}} {{.RepoTags}} {{.Labels.title}}"
    (line, *_) = pyman("images", "--format", template).stdout.splitlines()
    assert line == f"{value['Id']} 0 {value['Size']}  0 false false [{' '.join(value['RepoTags'])}] demo"
    # Archives of this image that were read before may have added digests.
    assert row["RepoDigests"] == value["RepoDigests"]
    assert {f"{name.rpartition(':')[0]}@{value['Digest']}" for name in ALL} <= set(value["RepoDigests"])
    assert {entry.partition("@")[0] for entry in value["RepoDigests"]} == {name.rpartition(":")[0] for name in ALL}
    assert row["CreatedAt"] == value["Created"] == "2026-01-01T00:00:00Z"
    assert pyman("images", "--format", "{{.CreatedAt}}", tagged).stdout.startswith("2026-01-01 00:00:00 +0000 UTC\n")
    assert pyman("images", "--format", "table {{.ID}} {{.Repository}}").stdout.startswith("IMAGE ID      REPOSITORY")
    assert json.loads(pyman("images", "--format", "{{json .}}").stdout.splitlines()[0]) == row
    assert pyman("images", "-q", "--no-trunc").stdout == f"sha256:{value['Id']}\n"


def test_former_names_stay_known(pyman: Run, image: str) -> None:
    pyman("tag", image, "old:1")
    pyman("untag", image, "old:1")
    heading, row = pyman("images", "--history").stdout.splitlines()
    assert heading.endswith("HISTORY") and "localhost/old:1, " in row and row.endswith("localhost/demo:latest")
    assert json.loads(pyman("image", "inspect", image).stdout)[0]["NamesHistory"][0] == "localhost/old:1"
    assert json.loads(pyman("images", "--format", "json").stdout)[0]["History"][0] == "localhost/old:1"


def test_orders(pyman: Run, tagged: str) -> None:
    for sort in ("created", "id", "size", "tag"):
        assert names(pyman, "--sort", sort) == ALL
    assert pyman("images", "--sort", "repository", "--format", "{{.Repository}}").stdout.split() == sorted(n.rsplit(":", 1)[0] for n in ALL)


def test_containers_are_counted(pyman: Run, tagged: str) -> None:
    pyman("create", "--network", "none", "--name", "user", tagged)
    assert json.loads(pyman("images", "--format", "json").stdout)[0]["Containers"] == 1
    assert names(pyman, "--filter", "containers=true") == ALL
    assert pyman("image", "prune", "-a", "-f").stdout == ""
    pyman("rm", "user")


def test_prune_asks_and_filters(pyman: Run, image: str) -> None:
    pyman("tag", image, "keep:1")
    assert "Go on?" in pyman("image", "prune", "-a", input="n\n").stderr
    assert pyman("image", "prune", "-a", "-f", "--filter", "label!=title").stdout == ""
    assert pyman("image", "prune", "-a", "-f", "--filter", "until=2001-01-01").stdout == ""
    assert "keys are" in pyman("image", "prune", "-f", "--filter", "containers=true", rc=125).stderr
    pyman("untag", image)
    assert pyman("images", "--format", "{{.Repository}} {{.Tag}}").stdout == "<none> <none>\n"
    assert len(pyman("image", "prune", "-f").stdout.split()) == 1
    pyman("image", "exists", image, rc=1)


@pytest.mark.parametrize("alias", [("image", "ls"), ("image", "list")])
def test_aliases(pyman: Run, tagged: str, alias: tuple[str, ...]) -> None:
    assert pyman(*alias).stdout == pyman("images").stdout


def test_names_that_look_like_ids(pyman: Run, image: str) -> None:
    prefix = pyman("images", "-q", image).stdout.split()[0][:4]
    pyman("tag", image, prefix)
    assert pyman("image", "rm", prefix).stdout == f"Untagged: localhost/{prefix}:latest\n"
    pyman("image", "exists", image)
    assert pyman("image", "remove", "--ignore", "nosuch").stdout == ""
