"""A full disk: one clear error, nothing left behind, what was good stays good, and with room again all works."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.conftest import Run, command
from tests.integration.test_pull_resumed import write_layout

SCRIPT = """
mount -t tmpfs -o size=24m,mode=700 none "$STORE" || exit 1
export PYMAN_GRAPHROOT="$STORE"
p() { %(command)s "$@"; }
state() { for d in tmp trash partial containers names; do ls "$STORE/$d" 2>/dev/null; done | wc -l; }
fill() { head -c 30000000 /dev/zero > "$STORE/filler" 2>/dev/null; truncate -s "-$1" "$STORE/filler"; }
p pull -q oci:"$DEMO":latest >/dev/null || exit 1
echo "== pull"
p pull -q oci:"$BIG":latest; echo "code $? left $(state)"
echo "== pull from an archive"
p pull -q oci-archive:"$ARCHIVE"; echo "code $? left $(state)"
echo "== load of a compressed archive"
gzip -1 < "$ARCHIVE" | p load -q; echo "code $? left $(state)"
echo "== save into the full place"
p save -q -o "$STORE/saved.tar" demo; p save -q --format oci-dir -o "$STORE/saved" demo; fill 100k; p save -q -o "$STORE/saved2.tar" demo
echo "code $? left $(state) $(ls "$STORE"/saved2* 2>/dev/null)"; rm -rf "$STORE"/saved* "$STORE/filler"
echo "== good stays good"
p run --rm --network none demo echo fine; echo "code $? left $(state)"
fill 0
echo "== create without room"
p create --name full demo true; echo "code $? left $(state)"
echo "== run without room"
p run --rm --network none demo true; echo "code $? left $(state)"
fill 64k
echo "== write in the container"
p run --rm --network none demo sh -c 'head -c 1000000 /dev/zero > /big'; echo "code $? left $(state)"
echo "== exit code"
p run -d --name full --network none demo sh -c 'head -c 1000000 /dev/zero > /big; exit 7' >/dev/null
p wait full; p rm full; echo "code $? left $(state)"
echo "== list and stop"
for i in 1 2; do p run -d --name "full$i" --network none demo sleep 100 >/dev/null; done
fill 0
kill -9 "$(p inspect -f '{{.State.Pid}}' full1)"
n=0; until [ "$(p inspect -f '{{.State.Status}}' full1)" = exited ] || [ $((n += 1)) = 600 ]; do sleep 0.1; done
p ps -a --format '{{.Names}}' | sort | xargs; echo "code $?"
p stop -t 0 full2; echo "code $?"
p rm full1 full2; echo "code $? left $(state)"
rm "$STORE/filler"
echo "== room again"
p run --rm --network none demo echo fine; echo "code $? left $(state)"
p images -q | wc -l
umount -l "$STORE"
"""


def test_full_disk(pyman: Run, layout: str, base: Path) -> None:
    store, big, archive = base / "small", base / "bigger", base / "bigger.tar"
    store.mkdir()
    write_layout(big, 40 << 20)
    import subprocess

    subprocess.run(["tar", "-C", str(big), "-cf", str(archive), "."], check=True)
    env = {"STORE": str(store), "DEMO": layout, "BIG": str(big), "ARCHIVE": str(archive)}
    done = pyman("unshare", "sh", "-c", SCRIPT % {"command": shlex.join(command())} + "exec 2>&1", env=env, rc=0)
    sections = dict(part.split("\n", 1) for part in done.stdout.split("== ")[1:])
    errors = done.stderr
    for name in (
        "pull",
        "pull from an archive",
        "load of a compressed archive",
        "save into the full place",
        "create without room",
        "run without room",
    ):
        assert sections[name].rstrip().endswith("code 125 left 0"), (name, sections[name], errors)
    assert sections["good stays good"] == "fine\ncode 0 left 0\n"
    assert sections["write in the container"] == "code 1 left 0\n", errors
    assert sections["list and stop"] == "full1 full2\ncode 0\nfull2\ncode 0\nfull1\nfull2\ncode 0 left 0\n", errors
    assert sections["exit code"] == "7\nfull\ncode 0 left 0\n", errors
    assert sections["room again"] == "fine\ncode 0 left 0\n1\n"
    assert "Traceback" not in errors
    lines = [line for line in errors.split("\n") if line.startswith("Error: ")]
    assert len(lines) == 6 and all("No space left on device" in line for line in lines), errors
    assert "make room there" in errors


RESERVE = """
mount -t tmpfs -o size=100m,mode=700 none "$STORE" || exit 1
export PYMAN_GRAPHROOT="$STORE"
head -c 200000000 /dev/zero > "$STORE/filler" 2>/dev/null
truncate -s -9000k "$STORE/filler"
%s pull -q oci:"$BIG":latest; echo "code $?"; ls "$STORE/tmp"
umount -l "$STORE"
"""


def test_a_layer_leaves_some_room(pyman: Run, base: Path) -> None:
    """It is refused before the disk is full, with its name and its image's."""
    store, big = base / "nearly", base / "large"
    store.mkdir()
    write_layout(big, 40 << 20)
    done = pyman("unshare", "sh", "-c", RESERVE % shlex.join(command()), env={"STORE": str(store), "BIG": str(big)})
    assert done.stdout == "code 125\n"
    assert "nearly full" in done.stderr and "2 MiB are kept free" in done.stderr and f"of image oci:{big}" in done.stderr


POINTS = """
mount -t tmpfs -o size=24m,mode=700 none "$STORE" || exit 1
export PYMAN_GRAPHROOT="$STORE"
p() { %(command)s "$@"; }
left() { for d in tmp trash partial intents; do ls "$STORE/$d" 2>/dev/null; done; ls "$STORE/layers" "$STORE/blobs/sha256" "$STORE/containers" | sort; }
p pull -q oci:"$DEMO":latest >/dev/null || exit 1
p run --name box --network none demo sh -c 'head -c 3000000 /dev/zero > /big' || exit 1
before=$(left)
for room in 0 60k 1400k 6m; do
    for action in "pull -q oci:$BIG:latest" "pull -q oci-archive:$ARCHIVE" "load -q -i $ARCHIVE" "import -q $ARCHIVE made" "commit -q box made" \\
            "save -q --format oci-dir -o $STORE/saved demo" "push -q demo oci:$STORE/saved:1"; do
        head -c 30000000 /dev/zero > "$STORE/filler" 2>/dev/null; truncate -s "-$room" "$STORE/filler"
        p $action > /dev/null; code=$?
        checked=$(p system check 2>&1 | grep -v ': good$'); rm -rf "$STORE/filler" "$STORE/saved"
        [ $code = 0 ] && case $action in save*|push*) ;; *) p rmi -f $(p images --format '{{.Id}} {{.Repository}}' | grep -v localhost/demo | cut -d ' ' -f 1) >/dev/null ;; esac
        [ "$(left)" = "$before" ] && [ -z "$checked" ] && [ $code = 0 -o $code = 125 ] && echo "good $code" || echo "$room $action: $code, $checked, $(left)"
    done
done
head -c 30000000 /dev/zero > "$STORE/filler" 2>/dev/null
p rmi -f demo; echo "rmi $?"
rm "$STORE/filler"; p image prune -f; p images -q; p system check; left | grep -v ':$' | grep .
umount -l "$STORE"
"""


def test_full_at_any_point(pyman: Run, layout: str, base: Path) -> None:
    """However little room there is: what cannot be done leaves nothing, and an image can be removed without any room."""
    import subprocess

    store, big, archive = base / "points", base / "points-image", base / "points.tar"
    store.mkdir()
    write_layout(big, 2 << 20)
    subprocess.run(["tar", "-C", str(big), "-cf", str(archive), "."], check=True)
    env = {"STORE": str(store), "DEMO": layout, "BIG": str(big), "ARCHIVE": str(archive)}
    done = pyman("unshare", "sh", "-c", POINTS % {"command": shlex.join(command())}, env=env, rc=0, timeout=1200)
    lines, rest = done.stdout.splitlines()[:28], done.stdout.splitlines()[28:]
    assert lines.count("good 125") + lines.count("good 0") == 28 and lines.count("good 125") >= 10 and lines.count("good 0") >= 3, (
        done.stdout
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in done.stderr and len(errors) == lines.count("good 125"), done.stderr
    assert all("No space left on device" in line for line in errors), errors
    assert rest[-1] == "rmi 0" and rest[0].startswith("Untagged: "), done.stdout  # and nothing is listed after it


AGAIN = """
mount -t tmpfs -o size=24m,mode=700 none "$STORE" || exit 1
export PYMAN_GRAPHROOT="$STORE"
p() { %s "$@"; }
fill() { head -c 30000000 /dev/zero > "$STORE/filler" 2>/dev/null; }
field() { p inspect -f "$2" "$1" 2>/dev/null; }
reach() { n=0; until [ "$(field "$1" "$2")" = "$3" ] || [ $((n += 1)) = 300 ]; do sleep 0.1; done; field "$1" "$2"; }
tried() { n=0; until [ -d "/proc/$1" ] && [ "$(cat "/proc/$1/comm")" = "pyman:[restart]" ] || [ $((n += 1)) = 300 ]; do sleep 0.1; done; }
go() { p run -d --name "$1" --network none --restart "$2" -v "$STORE:/s" demo sh -c 'until [ -e /s/go ]; do sleep 0.05; done; exit 3' >/dev/null; }
p pull -q oci:"$DEMO":latest >/dev/null || exit 1
echo "== again"
go al on-failure:3
pid=$(field al '{{.State.ConmonPid}}')
touch "$STORE/go"; fill
tried "$pid"
field al '{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}'; p wait al; p ps -a --format '{{.Status}}'
rm "$STORE/filler"
reach al '{{.RestartCount}} {{.State.Restarting}} {{.State.ExitCode}}' '3 false 3'
p rm al
echo "== stopped"
rm "$STORE/go"; go st always
pid=$(field st '{{.State.ConmonPid}}')
touch "$STORE/go"; fill
tried "$pid"
p stop st >/dev/null 2>&1
readlink "/proc/$pid/exe" # nothing: it has ended
rm "$STORE/filler"
p ps -a --format '{{.Names}} {{.Restarts}} {{.Status}}'
p rm st
echo "== lost"
rm "$STORE/go"; go lo always
pid=$(field lo '{{.State.ConmonPid}}')
fill
kill -9 "$pid"
p ps -a --format '{{.Names}} {{.Restarts}}' 2>/dev/null
rm "$STORE/filler"
p ps -a --format '{{.Names}} {{.Restarts}} {{.State}}' 2>/dev/null
p rm -f -t 0 lo
umount -l "$STORE"
"""


def test_restarts_wait_for_room(pyman: Run, layout: str, base: Path) -> None:
    store = base / "again"
    store.mkdir()
    env = {"STORE": str(store), "DEMO": layout}
    done = pyman("unshare", "sh", "-c", AGAIN % shlex.join(command()), env=env, timeout=300)
    sections = dict(part.split("\n", 1) for part in done.stdout.split("== ")[1:])
    again = sections["again"].splitlines()
    assert again[:2] == ["exited 3 0", "3"] and again[2].startswith("Restarting (3)"), (done.stdout, done.stderr)
    assert again[3:] == ["3 false 3", "al"], (done.stdout, done.stderr)
    assert sections["stopped"].startswith("st 0 Exited (3)"), (done.stdout, done.stderr)
    assert sections["lost"] == "lo 0\nlo 1 running\nlo\n", (done.stdout, done.stderr)


SAID = """
mount -t tmpfs -o size=24m,mode=700 none "$STORE" && mount -t tmpfs -o size=1m,mode=700 none "$PLACE" || exit 1
export PYMAN_GRAPHROOT="$STORE"
p() { echo "== $1" >&2; %s "$@"; }
p pull -q oci:"$DEMO":latest || exit 1
p volume create full
p run --name box --network none -v full:/full demo sh -c 'i=0; while [ $((i += 1)) -lt 300 ]; do cp /bin/busybox /b$((i %% 3)); done; yes | head -c 1500000 >/full/y'
kept() { [ "$(cat "$PLACE/1")" = old ] && echo "the old one is kept" >&2; rm -f "$PLACE/1"; }
echo old >"$PLACE/1"; p export -o "$PLACE/1" box; kept
p export box >"$PLACE/1"; rm "$PLACE/1"
p cp box:/b1 "$PLACE/1"; rm "$PLACE/1"
p cp box:/b1 - >"$PLACE/1"; rm "$PLACE/1"
p save -q -o "$PLACE/1" demo
p save -q demo >"$PLACE/1"; rm "$PLACE/1"
p save -q --format oci-archive --uncompressed -o "$PLACE/1" demo
p save -q --format oci-dir --uncompressed -o "$PLACE/1" demo; rm -rf "$PLACE/1"
echo old >"$PLACE/1"; p volume export -o "$PLACE/1" full; kept
head -c 30000000 /dev/zero > "$STORE/filler"; truncate -s -60k "$STORE/filler"
p commit -q box made
p commit -q --squash box made
p cp "$DEMO" box:/new
p cp box:/b1 box:/b4
rm "$STORE/filler"; p rm box
umount -l "$STORE" "$PLACE"
"""


def test_which_disk_is_full_and_how_much_is_free(pyman: Run, layout: str, base: Path) -> None:
    store, place = base / "said", base / "place"
    store.mkdir()
    place.mkdir()
    env = {"STORE": str(store), "PLACE": str(place), "DEMO": layout}
    done = pyman("unshare", "sh", "-c", SAID % shlex.join(command()), env=env)
    said = [part.split("\n", 1) for part in done.stderr.split("== ")[1:]][3:]
    assert [verb for verb, _ in said] == [*"export export cp cp save save save save volume commit commit cp cp rm".split()]
    for verb, text in said[:13]:
        assert "No space left on device (" in text and ("of 24 MiB are free" in text or "KiB of 1024 KiB are free" in text), (verb, text)
        assert "hint: make room there" in text and "cannot unpack" not in text, (verb, text)
    assert [number for number, (_, text) in enumerate(said) if "the old one is kept" in text] == [0, 8]
    for verb, text in said[:9]:
        assert f"({place}" in text or "(stdout: " in text, (verb, text)
    for _, text in said[9:11]:
        assert f"cannot commit container box: its new layer does not fit into the store: No space left on device ({store}: " in text
    assert "(container box, /new: " in said[11][1]


INODES = """
mount -t tmpfs -o size=64m,mode=700 none "$STORE" || exit 1
export PYMAN_GRAPHROOT="$STORE"
p() { %s "$@"; }
p pull -q oci:"$DEMO":latest >/dev/null || exit 1
p run -d --name again --network none --restart always demo sleep 1000 >/dev/null
p run -d --name other --network none --restart always demo sleep 1000 >/dev/null
mkdir "$STORE/fill"
used=$(($(stat -f -c '%%c - %%d' "$STORE")))
mount -o remount,nr_inodes=$((used + 3)) "$STORE"
n=0; while touch "$STORE/fill/$((n += 1))" 2>/dev/null; do :; done
p stop -t 0 again; echo "code $?"
p kill other; echo "code $?"
p inspect -f '{{.State.Status}} {{.RestartCount}}' again other
rm -r "$STORE/fill"
p start again >/dev/null
p inspect -f '{{.State.Status}} {{.HostConfig.RestartPolicy.Name}}' again
p rm -f -t 0 again other >/dev/null
umount -l "$STORE"
"""


def test_no_file_can_be_made(pyman: Run, layout: str, base: Path) -> None:
    """What has a restart policy is stopped all the same, and stays so."""
    store = base / "few"
    store.mkdir()
    done = pyman("unshare", "sh", "-c", INODES % shlex.join(command()), env={"STORE": str(store), "DEMO": layout})
    assert done.stdout.splitlines() == ["again", "code 0", "other", "code 0", "exited 0", "exited 0", "running always"], done
