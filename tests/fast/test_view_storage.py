"""The picture of who mounts what: what it must say, and that nothing in it hides anything else."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from dockernb.model import Container, Mount, Snapshot, Volume
from dockernb.view import look
from dockernb.view.storage import storage_picture
from tests.support.snapshots import ENGINES, snapshot_of

SVG = "{http://www.w3.org/2000/svg}"


def container(name: str, *mounts: Mount, state: str = "running") -> Container:
    web = snapshot_of().container("web")
    assert web
    return replace(web, id=name * 20, name=name, state=state, mounts=mounts)


def volume(name: str, driver: str = "local", **options: str) -> Volume:
    return Volume(name, driver, f"/var/lib/docker/volumes/{name}/_data", options, {})


NAMELESS = "5f" * 32
DISK = {"type": "ext4", "o": "noatime,nodiratime", "device": "/dev/disk/by-label/pgdata"}
STATE = Snapshot(
    (),
    (
        container(
            "app",
            Mount("bind", "/srv/config", "/app/config", True),
            Mount("tmpfs", "", "/tmp", False, ("noexec", "size=64m")),
            Mount("volume", "pgdata", "/var/lib/postgresql/data", False),
        ),
        container("backup", Mount("volume", "pgdata", "/source", True)),
        container("idle"),
        container("old", Mount("volume", NAMELESS, "/cache", False), state="exited"),
    ),
    (volume(NAMELESS), volume("pgdata", **DISK), volume("spare")),
)


def words(html: str) -> list[str]:
    """What stands in the picture, without the tooltips."""
    found = []
    for text in ET.fromstring(html).iter(f"{SVG}text"):
        tips = "".join(tip.text or "" for tip in text.iter(f"{SVG}title"))
        found.append("".join(text.itertext()).removeprefix(tips))
    return found


def rectangles(html: str) -> list[tuple[float, float, float, float]]:
    """Containers and cards; the first rectangle is the Docker host."""
    found = []
    for rect in ET.fromstring(html).iter(f"{SVG}rect"):
        x, y, width, height = (float(rect.get(key) or 0) for key in ("x", "y", "width", "height"))
        if width > 100:
            found.append((x, y, x + width, y + height))
    return found[1:]


def test_all_that_is_mounted_is_there_with_what_distinguishes_it() -> None:
    told = words(storage_picture(STATE).html)
    for name in ("app", "backup", "idle", "old", "pgdata", "spare", "/srv/config", "memory"):
        assert told.count(name) == 1, name
    for path in ("/app/config", "/tmp", "/var/lib/postgresql/data", "/source", "/cache"):
        assert told.count(path) == 1, path
    assert told.count("read-only") == 2
    assert "ext4 on /dev/disk/by-label/pgdata" in told and "noatime,nodiratime" in told
    assert "noexec, size=64m" in told and "tmpfs" in told and "directory of the Docker host" in told
    assert told.count("nobody mounts it") == 1 and "mounts nothing" in told
    assert "■ exited (0)" in told


def test_the_text_says_the_same() -> None:
    assert storage_picture(STATE).text.splitlines() == [
        "/srv/config (directory of the Docker host): app at /app/config (read-only)",
        "memory (tmpfs, noexec, size=64m): app at /tmp",
        "pgdata (volume, ext4 on /dev/disk/by-label/pgdata, noatime,nodiratime): "
        "app at /var/lib/postgresql/data, backup at /source (read-only)",
        "no name (anonymous volume): old at /cache",
        "spare (volume): nobody mounts it",
        "idle: mounts nothing",
        "old: exited",
    ]


def test_several_volumes_without_a_name_are_told_apart() -> None:
    picture = storage_picture(replace(STATE, volumes=(*STATE.volumes, volume("0b" * 32))))
    told = picture.text.splitlines()
    assert "no name (1) (anonymous volume): old at /cache" in told
    assert "no name (2) (anonymous volume): nobody mounts it" in told
    assert {"no name (1)", "no name (2)"} <= set(words(picture.html))


def test_propagation_belongs_to_the_mount() -> None:
    state = Snapshot(
        (),
        (
            container("one", Mount("bind", "/srv/media", "/media", False, ("rshared",))),
            container("other", Mount("bind", "/srv/media", "/media", True, ("rslave",))),
        ),
    )
    picture = storage_picture(state)
    assert picture.text == (
        "/srv/media (directory of the Docker host): one at /media (rshared), other at /media (rslave, read-only)"
    )
    told = words(picture.html)
    assert told.count("rshared") == told.count("rslave") == 1


def test_it_is_drawn_on_request_only() -> None:
    assert "pgdata" in words(look(STATE, volumes=True).html)
    assert "pgdata" not in words(look(STATE).html)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_engines_tell(engine: str) -> None:
    picture = storage_picture(snapshot_of(engine))
    assert "pgdata (volume): db at /data" in picture.text.splitlines()
    assert "web: mounts nothing" in picture.text.splitlines()


def test_it_can_be_read_by_a_screen_reader() -> None:
    picture = storage_picture(STATE)
    root = ET.fromstring(picture.html)
    assert root.get("role") == "img"
    ids = {e.get("id"): e.text for e in root if e.tag in (f"{SVG}title", f"{SVG}desc")}
    assert set((root.get("aria-labelledby") or "").split()) == set(ids)
    assert picture.text in ids.values()


def test_a_line_joins_each_mount_to_its_card_and_is_told_apart_without_colour() -> None:
    html = storage_picture(STATE).html
    lines = re.findall(r'<path d="M346 ([\d.]+)C[^"]* 530 ([\d.]+)" style="fill:none;stroke:#([^"]*)"', html)
    assert len(lines) == 5
    assert sum("dasharray" in style for _start, _end, style in lines) == 2  # the read-only ones
    cards = [box for box in rectangles(html) if box[0] == 530]
    for _start, end, _style in lines:
        assert sum(top <= float(end) <= low for _x, top, _u, low in cards) == 1


def large() -> Snapshot:
    mounts = [
        Mount("volume", f"v{number % 9}", f"/{'deep/' * 12}{number}", number % 2 == 0) for number in range(40)
    ]
    return Snapshot(
        (),
        tuple(container(f"c{n}", *mounts[4 * n : 4 * n + 4]) for n in range(10)),
        tuple(volume(f"v{n}", "a-driver-with-a-name", **{"a" * 30: "b" * 30}) for n in range(15)),
    )


@pytest.mark.parametrize("state", [STATE, large()], ids=["small", "large"])
def test_no_box_covers_another_and_all_lie_in_the_picture(state: Snapshot) -> None:
    html = storage_picture(state).html
    _x, _y, width, height = map(float, (ET.fromstring(html).get("viewBox") or "").split())
    placed = rectangles(html)
    assert len(placed) >= len(state.containers) + len(state.volumes)
    for number, (x1, y1, x2, y2) in enumerate(placed):
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
        for u1, v1, u2, v2 in placed[number + 1 :]:
            assert x2 <= u1 or u2 <= x1 or y2 <= v1 or v2 <= y1


def test_what_came_and_what_went() -> None:
    """A container is removed: its memory goes with it, its volume stays and is nobody's; a new one has come."""
    after = replace(
        STATE, containers=(*STATE.containers[2:], container("new", Mount("volume", "late", "/x", True)))
    )
    after = replace(after, volumes=(*after.volumes[:2], volume("late")))
    picture = storage_picture(after, STATE)
    told = words(picture.html)
    for name in ("− app", "− backup", "+ new", "+ late", "− memory", "− spare", "− /srv/config"):
        assert name in told, name
    assert "pgdata" in told and "removed" in told
    lines = picture.text.splitlines()
    assert any(line.startswith("pgdata (") and line.endswith("nobody mounts it") for line in lines)
    assert "− app: removed" in lines and "+ new: new" in lines and "− spare (volume): removed" in lines
    assert not [word for word in words(storage_picture(STATE, STATE).html) if word[0] in "+−"]


def test_a_password_in_options_is_not_put_into_a_picture() -> None:
    share = volume("share", type="cifs", device="//server/share", o="username=user,password=hunter2,vers=3.0")
    picture = storage_picture(Snapshot((), (), (share,)))
    assert "username=user,password=…,vers=3.0" in words(picture.html)
    assert "hunter2" not in picture.html + picture.text


def test_another_run_gives_the_same_picture() -> None:
    """Committed outputs are compared by people: no id may be in them."""
    again = "0a" * 32
    other = replace(
        STATE,
        containers=(
            *STATE.containers[:3],
            container("old", Mount("volume", again, "/cache", False), state="exited"),
        ),
        volumes=(volume(again), *STATE.volumes[1:]),
    )
    assert storage_picture(other).html == storage_picture(STATE).html


def test_names_cannot_break_the_picture() -> None:
    odd = Snapshot((), (container('<b>&"x"', Mount("bind", "</svg><script>", "/<i>", True)),))
    html = storage_picture(odd).html
    assert "<script>" not in html and '<b>&"x"' in words(html)


def test_nothing_is_drawn_as_nothing() -> None:
    picture = storage_picture(Snapshot((), ()))
    assert picture.text == "Nothing is here yet." and picture.text in words(picture.html)
