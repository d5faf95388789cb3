"""The exercise of lesson 15 and its scripts: what is right passes, and each thing that is not as it was is told.

The two machines are lab hosts in a native engine (provider container). The scripts are those of the lesson's cells.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from docker.types import Mount

from dockernb import probe
from dockernb.course.lesson15 import clean_state
from dockernb.session import Cluster, open_cluster
from tests.support.engine import Engine, why_not
from tests.support.lesson import Lesson, attempt, shell

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")

NAME = "15-backup-restore-migrate"
LESSON = Lesson(NAME)
PLACE = "/var/lib/docker/volumes/{}/_data"
CLEAN = PLACE.format("app-clean")


@pytest.fixture(scope="module")
def names(learner: Engine) -> Iterator[dict[str, Any]]:
    """The lesson's names after its first cells: both machines have the tools, and the first one a filled volume."""
    del learner  # this thread is where it is
    lab = open_cluster(NAME, 2, owner=os.getpid(), provider="container", report=lambda text, part: None)
    try:
        known: dict[str, Any] = {"lab": lab, "node1": lab.nodes[0], "node2": lab.nodes[1], "Mount": Mount}
        exec(LESSON.cell("import secrets").partition("lab =")[0], known)
        exec(LESSON.cell("MANIFEST = "), known)
        shell(lab, LESSON.cell("docker volume create app-data").partition("docker run -d")[0])
        exec(LESSON.cell("def manifest(").partition("good =")[0], known)
        yield known
    finally:
        lab.stop()


@pytest.fixture(scope="module")
def repository(names: dict[str, Any]) -> Cluster:
    """Tuesday's and Wednesday's snapshots, Tuesday's state in /host/tuesday, and app on a volume of its own."""
    lab: Cluster = names["lab"]
    exec(LESSON.cell("def keep_password("), names)
    exec(LESSON.cell("def restic("), names)
    lab.host.run(
        ["tee", "/host/tools/replicate"],
        input=LESSON.cell("REPLICATE = ").split('"""')[1].replace("\\\n", "", 1).encode(),
    )
    job = (
        "docker run --rm --entrypoint bash -e RESTIC_REPOSITORY=/repository -e RESTIC_PASSWORD_FILE=/secrets/restic "
        "-v app-data:/data -v /host/tools:/tools -v /host/secrets:/secrets -v /host/repository:/repository "
        "dockernb/restic"
    )
    shell(
        lab,
        f"""
        set -e
        {job} -c 'restic init; bash /tools/replicate tuesday "2026-01-06 02:00:00"'
        cp -a {PLACE.format("app-data")} /host/tuesday
        echo burglar > {PLACE.format("app-data")}/pay.html
        {job} /tools/replicate wednesday "2026-01-07 02:00:00"
        docker run -d --name app -p 8080:80 -v app-data:/usr/share/nginx/html dockernb/nginx
        """,
    )
    return lab


@pytest.fixture
def lab(repository: Cluster) -> Cluster:
    """The lab before the exercise, whatever the test before left."""
    shell(repository, "docker rm -f app; docker volume rm -f app-clean")
    serve(repository, "app-data")
    return repository


def serve(lab: Cluster, volume: str, port: int = 8080) -> None:
    mounts = [Mount("/usr/share/nginx/html", volume)]
    lab.docker.containers.run(
        "dockernb/nginx", name="app", ports={"80/tcp": port}, mounts=mounts, detach=True
    )


def restored(lab: Cluster, change: str = "true") -> None:
    """Tuesday in app-clean, but for a change, and app on it."""
    lab.docker.volumes.create("app-clean")
    shell(lab, f"cp -a /host/tuesday/. {CLEAN}")
    serve(lab, "app-clean")  # now, since the web server's image fills an empty volume
    shell(lab, f"cd {CLEAN}; {change}")


def test_nothing_done(lab: Cluster) -> None:
    assert clean_state(lab).sentence == 'There is no volume called "app-clean" on this machine yet.'


def test_the_solution_as_written(lab: Cluster, names: dict[str, Any]) -> None:
    exec(clean_state.solution, names)
    result = clean_state(lab)
    assert result.passed, str(result)
    assert LESSON.folds(clean_state.solution)


def test_files_copied_by_hand(lab: Cluster) -> None:
    restored(lab)
    result = clean_state(lab)
    assert result.passed, str(result)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("echo x > pay.html", "this snapshot was taken after the break-in."),
        ("rm -r *", "app-clean is empty."),
        ("mkdir data; mv [!d]* data", "What was the volume is now in a directory of app-clean: restore ID:/data"),
        ("rm orders/07.txt", "orders/07.txt is not in app-clean, and 1 of 28 paths are missing."),
        ("touch old.html", "old.html is in app-clean and was not in the snapshot: was the volume new and empty?"),
        ("chown -R 0:0 orders", "The owner of orders is 0:0 and was 999:999"),
        ("chmod 755 orders", "The mode of orders is drwxr-xr-x and was drwx------"),
        ("cp -a orders/20.txt copy; mv copy orders/20.txt", "number of names of orders/20.txt is 1 and was 2"),
        ("cp index.html copy; cat copy > orders/03.txt; rm copy", "orders/03.txt has another content"),
        ("cp catalogue.bin copy; mv copy catalogue.bin", "attribute of catalogue.bin is none and was user.origin="),
        ("ln -sf index.html current", "current has another content"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_was_is_told(lab: Cluster, change: str, says: str) -> None:
    restored(lab, change)
    result = clean_state(lab)
    assert not result.passed
    assert says in result.sentence
    assert result.sentence.endswith((".", "?"))


def the_latest(lab: Cluster, names: dict[str, Any]) -> None:
    exec(clean_state.solution.replace("--tag tuesday ", ""), names)


def app_as_before(lab: Cluster, names: dict[str, Any]) -> None:
    restored(lab)
    serve(lab, "app-data")


def not_published(lab: Cluster, names: dict[str, Any]) -> None:
    restored(lab)
    serve(lab, "app-clean", 8081)


def no_password(lab: Cluster, names: dict[str, Any]) -> None:
    restored(lab)
    lab.host.run(["mv", "/host/secrets/restic", "/host/secrets/away"])


@pytest.mark.parametrize(
    ("do", "says"),
    [
        (the_latest, "The burglar's page is in app-clean: this snapshot was taken after the break-in."),
        (app_as_before, "/usr/share/nginx/html of app is app-data, and app-clean is wanted."),
        (not_published, "app does not answer on port 8080 of this machine."),
        (no_password, "restic finds no snapshot of tuesday in /host/repository"),
    ],
)
def test_wrong_solutions(
    lab: Cluster, names: dict[str, Any], do: Callable[[Cluster, dict[str, Any]], None], says: str
) -> None:
    do(lab, names)
    result = clean_state(lab)
    lab.host.run(["mv", "/host/secrets/away", "/host/secrets/restic"])
    assert not result.passed
    assert says in result.sentence


# ---------------------------------------------------------------- the lesson's scripts


def test_a_backup_comes_back_only_whole_and_only_into_an_empty_volume(names: dict[str, Any]) -> None:
    lab: Cluster = names["lab"]
    shell(lab, "docker volume rm -f back; rm -f /host/backups/*")  # of a first try
    shell(lab, LESSON.cell("cat > /host/tools/backup"))
    assert "no such volume" in attempt(lab, "/host/tools/backup app-dta")[1]
    scripts = LESSON.cell("cat > /host/tools/restore").partition("docker volume rm")[0]
    shell(lab, scripts + "docker volume create back")
    assert "back is what was backed up." in shell(lab, "/host/tools/restore app-data back")
    assert names["manifest"](lab.nodes[0], "back") == names["manifest"](lab.nodes[0], "app-data")
    blocks = shell(lab, f"du -k {PLACE.format('back')}/stock.db")
    assert int(blocks.split()[0]) < 100  # its holes are holes again

    code, said = attempt(lab, "/host/tools/restore app-data back")
    assert code == 1
    assert "back is not empty: nothing is done." in said
    shell(lab, "docker volume rm back; docker volume create back")
    shell(lab, "printf damaged | dd of=$(ls /host/backups/app-data-2*.tar.gz) bs=1 seek=200000 conv=notrunc")
    code, said = attempt(lab, "/host/tools/restore app-data back")
    assert code == 1
    assert "FAILED" in said
    assert shell(lab, f"ls -A {PLACE.format('back')}") == ""


def test_a_volume_arrives_whole_or_not_at_all(names: dict[str, Any]) -> None:
    lab: Cluster = names["lab"]
    node1, node2 = lab.nodes
    for left in node2.docker.volumes.list():  # of a first try
        left.remove()
    exec(LESSON.cell("SSHD = "), names)
    exec(LESSON.cell("CLIENT = "), names)
    shell(lab, LESSON.cell("cat > /host/tools/migrate"))
    node2.docker.volumes.create("target-volume")
    exec(LESSON.cell('LINE = r"""').replace("app-data-2", "app-data"), names)
    assert "exit code 0; of its parts: 2 0" in names["line"]  # content with half a volume
    node2.docker.volumes.get("target-volume").remove()

    assert "no such volume" in attempt(lab, "/host/tools/migrate app-data target-host moved")[1].lower()
    node2.docker.volumes.create("moved")
    code, said = attempt(lab, "HARDEN='--cap-drop ALL' /host/tools/migrate app-data target-host moved")
    assert code != 0
    assert "Failed: moved is removed from target-host." in said
    assert [volume.name for volume in node2.docker.volumes.list()] == []

    node2.docker.volumes.create("moved")
    assert "moved on target-host is the same as app-data here." in shell(
        lab, "/host/tools/migrate app-data target-host moved"
    )
    assert names["manifest"](node2, "moved") == names["manifest"](node1, "app-data")
    code, said = attempt(lab, "/host/tools/migrate app-data target-host moved")
    assert code == 1
    assert "moved on target-host is not empty: nothing is done." in said
    assert [volume.name for volume in node2.docker.volumes.list()] == ["moved"]


# ---------------------------------------------------------------- a session on two machines without a swarm


def test_each_machine_is_seen_and_cleaned(names: dict[str, Any]) -> None:
    lab: Cluster = names["lab"]
    lab.clean()
    lab.twin()
    for node, volume in zip(lab.nodes, ("here", "there"), strict=True):
        node.docker.volumes.create(volume)
        node.docker.containers.run(
            "dockernb/toolbox",
            "sleep inf",
            name=f"on-{node.name}",
            mounts=[Mount("/data", volume)],
            detach=True,
        )
    assert [line for line in lab.twin().lines if line.startswith("#")] == ["# on node1", "# on node2"]
    seen = [probe.snapshot(lab), probe.snapshot(lab, host=lab.nodes[1].host)]
    assert [[volume.name for volume in one.volumes] for one in seen] == [["here"], ["there"]]
    assert [[container.name for container in one.containers] for one in seen] == [["on-node1"], ["on-node2"]]
    assert str(lab.clean()) == "Removed containers: on-node1, on-node2; volumes: here, there."
    assert [node.docker.volumes.list() for node in lab.nodes] == [[], []]
