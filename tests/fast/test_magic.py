"""Command lines in a cell: what our docker does before the real one, and the runner, without an engine."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dockernb.errors import LabError
from dockernb.session import _cell, magic
from tests.support.lesson import attempt

LABELS = {"org.dockernb.lab": "06-three-tier-lab", "org.dockernb.session": "abc"}
LABEL = ["--label", "org.dockernb.lab=06-three-tier-lab", "--label", "org.dockernb.session=abc"]


class Engine:
    """What the engine has, by path; and what it was told to do."""

    def __init__(self) -> None:
        self.there: dict[str, Any] = {
            "/images/nginx/json": {"Id": "1"},
            "/images/json": [{"RepoTags": ["dockernb/nginx:1"]}, {"RepoTags": None}],
        }
        self.told: list[tuple[str, str, Any]] = []

    def __call__(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if method != "GET":
            self.told.append((method, path, body))
            return 200, None
        return (200, self.there[path]) if path in self.there else (404, {"message": "no"})


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def prepare(engine: Engine, tmp_path: Path) -> Any:
    preparer = _cell.Preparer(LABELS, engine, tmp_path)
    return lambda line: preparer.prepare(line.split())


@pytest.mark.parametrize(
    ("typed", "runs"),
    [
        ("ps -a", "ps -a"),
        ("run --help", "run --help"),
        ("container ls", "container ls"),
        ("network ls", "network ls"),
        ("run -d --name web nginx --name x", "run LABEL -d --name web nginx --name x"),
        ("create nginx", "create LABEL nginx"),
        ("container run -dp 80:80 nginx", "run LABEL -dp 80:80 nginx"),
        ("--debug run -d nginx", "--debug run LABEL -d nginx"),
        ("run -dit nginx bash", "run LABEL -dit nginx bash"),
        ("network create --internal net", "network create LABEL --internal net"),
        (
            "network create net -d macvlan -o parent=eth0",
            "network create LABEL -d macvlan -o parent=eth0 net",
        ),
        ("volume create data", "volume create LABEL data"),
        ("service create --name web nginx", "service create LABEL --name web nginx"),
        ("exec web ls -t", "exec web ls -t"),
        ("exec -it web ls", "exec -i web ls"),
        ("exec -t web ls", "exec web ls"),
        ("exec -ite A=-t web ls", "exec -ie A=-t web ls"),
        ("exec --tty --interactive -e -t web ls", "exec --interactive -e -t web ls"),
        ("network connect --alias db net web", "network connect --alias db net web"),
    ],
)
def test_what_is_run_in_place_of_what_was_typed(prepare: Any, typed: str, runs: str) -> None:
    order = prepare(typed)
    assert order.code is None
    assert order.words == runs.replace("LABEL", " ".join(LABEL)).split()


def test_a_container_in_the_foreground_leaves_its_id(prepare: Any, tmp_path: Path) -> None:
    words = prepare("run --rm nginx true").words
    at = words.index("--cidfile")
    assert words[at + 1].startswith(str(tmp_path)) and words[-3:] == ["--rm", "nginx", "true"]
    assert "--cidfile" not in prepare("run -d nginx true").words


def test_no_terminal_is_said(prepare: Any) -> None:
    assert prepare("exec -it web bash").note.endswith("give bash its commands by -c '...'.")
    assert prepare("exec -it web ls").note == "A cell has no terminal, so -t was left out."
    assert prepare("exec -i web ls").note == ""


def test_our_container_is_replaced_and_nobody_elses(prepare: Any, engine: Engine) -> None:
    engine.there["/containers/web/json"] = {"Id": "1", "Name": "/web", "Config": {"Labels": {}}}
    prepare("run -d --name=web nginx")
    assert engine.told == []
    engine.there["/containers/web/json"]["Config"]["Labels"] = LABELS
    prepare("run -d --name=web nginx")
    assert engine.told == [("DELETE", "/containers/1?force=true&v=true", None)]


def test_a_missing_image_is_one_sentence_and_nothing_is_removed(prepare: Any, engine: Engine) -> None:
    engine.there["/containers/web/json"] = {"Id": "1", "Name": "/web", "Config": {"Labels": LABELS}}
    order = prepare("run -d --name web redis:7")
    assert order.code == 125 and engine.told == []
    assert order.note == (
        "There is no image redis:7 here, and nothing is pulled. The lab host has dockernb/nginx:1."
    )


def test_volumes_that_a_run_implies_are_labelled(prepare: Any, engine: Engine) -> None:
    engine.there["/volumes/old"] = {"Name": "old"}
    prepare(
        "run -d -v new:/a -v old:/b -v /root/x:/c -v /anonymous --mount source=two,target=/e "
        "--mount type=bind,source=/f,target=/f --mount type=volume,src=three,dst=/g,volume-opt=type=nfs "
        "--mount type=tmpfs,target=/tmp nginx"
    )
    made = [body["Name"] for _, path, body in engine.told if path == "/volumes/create"]
    assert made == ["new", "two"]
    assert all(body["Labels"] == LABELS for *_, body in engine.told)


NETWORK: dict[str, Any] = {
    "Id": "net-id",
    "Name": "net",
    "Driver": "bridge",
    "Internal": False,
    "Attachable": False,
    "EnableIPv6": False,
    "Options": {},
    "IPAM": {"Config": [{"Subnet": "172.20.0.0/16", "Gateway": "172.20.0.1"}]},
    "Labels": LABELS,
    "Containers": {},
}
SAME = "network create --driver bridge --subnet=172.20.0.0/16 net"


def test_the_same_network_is_kept(prepare: Any, engine: Engine) -> None:
    engine.there["/networks/net"] = NETWORK | {"Containers": {"1": {"Name": "web"}}}
    order = prepare(SAME)
    assert (order.code, order.output, engine.told) == (0, "net-id", [])
    assert prepare("network create net").output == "net-id"


@pytest.mark.parametrize(
    "other",
    [
        "--internal",
        "--driver macvlan",
        "--gateway 172.20.0.9",
        "--opt a=b",
        "--attachable",
        "--label a=b",
        "--ipv6",
    ],
)
def test_another_network_takes_the_place_of_an_empty_one(prepare: Any, engine: Engine, other: str) -> None:
    engine.there["/networks/net"] = NETWORK
    assert prepare(f"{SAME} {other}").code is None
    assert engine.told == [("DELETE", "/networks/net-id", None)]


def test_another_network_does_not_take_the_place_of_one_in_use(prepare: Any, engine: Engine) -> None:
    engine.there["/networks/net"] = NETWORK | {"Containers": {"1": {"Name": "web"}}}
    order = prepare(f"{SAME} --internal")
    assert order.code == 1 and "web still on it: remove these first, or run lab.clean()." in order.note
    engine.there["/networks/net"] = NETWORK | {"Labels": {}, "Containers": {"1": {"Name": "web"}}}
    assert prepare(f"{SAME} --internal").code is None, "somebody else's: the engine says what it thinks"


def test_a_connected_container_leaves_first(prepare: Any, engine: Engine) -> None:
    engine.there["/networks/net"] = NETWORK
    container = {"Id": "1", "Config": {"Labels": LABELS}, "NetworkSettings": {"Networks": {}}}
    engine.there["/containers/web/json"] = container
    prepare("network connect net web")
    assert engine.told == []
    container["NetworkSettings"] = {"Networks": {"net": {}}}
    prepare("network connect --ip 172.20.0.7 net web")
    assert engine.told == [("POST", "/networks/net-id/disconnect", {"Container": "1"})]


# -- the runner, with a docker that only says what it was given ------------------------------------------------


class Host:
    """Calls as the agent of a lab host does, each in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        docker = directory / "real-docker"
        docker.write_text('#!/bin/sh\necho "docker got: $*"\nexit 3\n')
        docker.chmod(0o755)

    def call(self, source: str, argument: Any, *, timeout: float = 30.0) -> Any:
        for old, new in (
            ("/var/lib/dockernb-cells", f"{self.directory}/cells"),
            ("/usr/bin/docker", f"{self.directory}/real-docker"),
            ("/run/docker.sock", f"{self.directory}/none.sock"),
        ):
            assert old in source
            source = source.replace(old, new)
        program = "import json, sys\nmain_argument = json.load(sys.stdin)\n"
        done = subprocess.run(
            [sys.executable, "-c", f"{source}\n{program}print(json.dumps(main(main_argument)))"],
            input=json.dumps(argument).encode(),
            capture_output=True,
            timeout=timeout,
            check=True,
        )
        return json.loads(done.stdout)


class Lab:
    labels = LABELS

    def __init__(self, directory: Path) -> None:
        self.host = Host(directory)


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    return Lab(tmp_path)


def run(lab: Any, script: str, **options: Any) -> tuple[int, str]:
    code, shown = attempt(lab, script, **options)
    assert not list((lab.host.directory / "cells").iterdir()), "nothing is left on the host"
    return code, shown


def test_a_script_as_it_stands(lab: Any) -> None:
    script = """# a comment
cat > @/file << 'EOF'
  $not expanded
EOF
WORD=one
echo $WORD \\
  two | tr a-z A-Z   # and a pipe
cat @/file; echo "über" >&2; printf end
"""
    assert run(lab, script.replace("@", str(lab.host.directory))) == (
        0,
        "ONE TWO\n  $not expanded\nüber\nend\n",
    )


def test_commands_that_fail_are_told_and_the_rest_runs(lab: Any) -> None:
    code, shown = run(lab, "sh -c 'exit 7'\nif false; then :; fi\ndocker ps \\\n  -a\necho after")
    assert code == 0
    assert shown == "docker got: ps -a\nafter\nExit code 7: sh -c 'exit 7'\nExit code 3: docker ps -a\n"
    assert run(lab, "exit 4") == (4, "Exit code 4.\n")
    code, shown = run(lab, "if then")
    assert code == 2 and "line 1: syntax error" in shown


def test_our_docker_asks_before_it_creates(lab: Any) -> None:
    script = 'docker run --name "a b" nginx'
    _, shown = run(lab, script)
    assert "docker got: run --name a b nginx" in shown, "without an engine the command is run as typed"
    assert "without the lesson's labels: FileNotFoundError" in shown


def test_output_comes_while_the_cell_runs(lab: Any, tmp_path: Path) -> None:
    seen: list[str] = []

    def show(text: str) -> None:
        seen.append(text)
        (tmp_path / "seen").touch()  # for which the script waits

    script = f"echo early; until [ -e {tmp_path}/seen ]; do sleep 0.05; done; echo late"
    magic.run_cell(lab, script, show=show, limit=20)
    assert seen == ["early\n", "late\n"]


def gone(path: Path) -> bool:
    """Whether the process whose id is in the file has ended, within two seconds."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        try:
            os.kill(int(path.read_text()), 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_the_time_limit_ends_the_cell(lab: Any, tmp_path: Path) -> None:
    script = f"trap '' INT; echo $$ > {tmp_path}/pid; sleep 100"
    with pytest.raises(LabError, match=r"not done after 1.5 s and was stopped \(%%docker --limit SECONDS"):
        run(lab, script, limit=1.5)
    assert gone(tmp_path / "pid")


def test_an_interrupt_ends_the_cell(lab: Any, tmp_path: Path) -> None:
    def interrupt() -> None:
        while not (tmp_path / "pid").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(LabError, match="Interrupted"):
        run(lab, f"echo $$ > {tmp_path}/pid; sleep 100")
    assert gone(tmp_path / "pid") and not list((tmp_path / "cells").iterdir())


@pytest.mark.parametrize("script", ["yes", "trap '' INT; yes", "head -c 2M /dev/zero | tr '\\0' y"])
def test_too_much_output_ends_the_cell(lab: Any, script: str) -> None:
    shown: list[str] = []
    with pytest.raises(LabError, match="wrote more than a mebibyte"):
        magic.run_cell(lab, script, show=shown.append)
    assert len("".join(shown).rstrip("\n")) in {1 << 20, (1 << 20) - 1}, "more would stand in the notebook"
    assert not list((lab.host.directory / "cells").iterdir())


def test_as_much_output_as_may_be_is_shown(lab: Any) -> None:
    assert run(lab, "head -c 1M /dev/zero | tr '\\0' y") == (0, "y" * (1 << 20) + "\n")


def test_the_limit_on_the_magics_line() -> None:
    assert magic.limit_of("") == magic.LIMIT and magic.limit_of("--limit 5.5") == 5.5
    for line in ("ps", "--limit", "--limit x", "--limit 0"):
        with pytest.raises(LabError, match="put the commands on the lines below"):
            magic.limit_of(line)


def test_the_magics_are_the_lessons(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    from dockernb import front

    shell = InteractiveShell()
    monkeypatch.setattr(front, "get_ipython", lambda: shell)
    asked: list[tuple[str, float]] = []
    monkeypatch.setattr(
        magic, "run_cell", lambda lab, script, limit=magic.LIMIT: asked.append((script, limit))
    )
    front._register_magics(lab)
    shell.user_ns["HOME"] = "wrong"
    shell.run_cell("%docker ps --format {{.Names}} $HOME").raise_error()
    shell.run_cell("%%docker --limit 9\necho {{x}} $HOME \\\n  y").raise_error()
    assert asked == [("docker ps --format {{.Names}} $HOME", 120.0), ("echo {{x}} $HOME \\\n  y\n", 9.0)]
