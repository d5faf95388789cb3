"""Places on the disk that are odd, full, or not one's own, and what `dockernb` says of them. Nothing is started."""

import asyncio
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dockernb import cli
from dockernb.errors import BuildError, HostError, TemplateError
from dockernb.labhost import (
    LabHost,
    api,
    container,
    control,
    join,
    qemu,
    store,
    template,
    vm,
)
from dockernb.labhost.credentials import Credentials
from dockernb.labhost.machine import Plan

COMMANDS = (["start"], ["status"], ["run", "--", "true"], ["env"], ["stop"], ["reset"])
CLI = "import sys; from dockernb.cli import main; sys.exit(main(sys.argv[1:]))"


def command(*arguments: str, options: tuple[str, ...] = (), **more: Any) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, *options, "-c", CLI, *arguments],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=60,
        check=False,
        **{"stdout": subprocess.PIPE, **more},
    )


# --- paths -------------------------------------------------------------------------------------------------------


def test_a_comma_in_a_path_is_no_separator_of_qemus_options() -> None:
    odd, plain = Path("/a,b"), Path("/ab")
    for option in qemu.Boot(odd, odd / "disk", False, odd / "ram", False, True, None, qemu.TCG).command(odd):
        # Whole values are no lists of options: kernel, initrd and the console's file.
        if option.startswith(("-", str(odd), "file:")):
            continue
        assert "/a,b" not in option
    boot = qemu.Boot(plain, plain, False, plain, False, True, None, qemu.TCG)
    assert not any(",," in option for option in boot.command(plain))


def test_the_saved_state_is_read_through_a_shell_that_takes_any_path() -> None:
    said: list[tuple[str, Any]] = []

    class Machine:
        async def monitor(self, name: str, **arguments: Any) -> None:
            said.append((name, arguments.get("uri")))

        async def migrated(self, timeout: float) -> None:
            pass

    odd = Path("/O'Brien, and $HOME")
    asyncio.run(template.resume(Machine(), template.Template(odd, {})))  # type: ignore[arg-type]
    [uri] = [uri for _, uri in said if uri]
    assert shlex.split(uri.removeprefix("exec:")) == ["cat", str(odd / "state")]


# --- directories that cannot be used ------------------------------------------------------------------------------


@pytest.fixture(params=["a file", "no place for directories"])
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What cannot be a directory to write to, not even for root."""
    if request.param == "a file":
        (tmp_path / "file").touch()
        return tmp_path / "file"
    return Path("/proc/self/fdinfo")


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_a_state_directory_that_cannot_be_used_is_named(
    unusable: Path,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(unusable))
    code = cli.main(arguments)
    said = capsys.readouterr().err
    if arguments == ["status"] and unusable.is_dir():  # it only looks
        assert code == cli.NOT_RUNNING
        return
    assert code == 1
    assert said.count("\n") == 1
    assert str(unusable) in said
    assert "XDG_STATE_HOME" in said


def test_a_cache_directory_that_cannot_be_used_is_named(
    unusable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(unusable))
    with pytest.raises(BuildError, match=f"{unusable}.*XDG_CACHE_HOME"):
        template.build(lambda text, fraction: None)


def test_doctor_names_a_cache_directory_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(container, "find_engine", lambda: (None, "No Docker Engine listens."))
    cli.main(["doctor"])
    assert "cannot be used" in capsys.readouterr().out


def test_without_a_home_directory_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as it is for a user that has no entry
    with pytest.raises(HostError, match="no home directory: set XDG_STATE_HOME"):
        join("lab")
    with pytest.raises(BuildError, match="no home directory: set XDG_CACHE_HOME"):
        store.cache()


# --- templates ----------------------------------------------------------------------------------------------------

MANIFEST = dict.fromkeys(("recipe", "engine", "docker", "note", "qemu", "built", "state_sha256"), "x")


@pytest.mark.parametrize(
    "manifest", [{}, [], None, 5, "text", {**MANIFEST, "files": []}, {"files": {}}, {**MANIFEST, "qemu": 7}]
)
def test_json_that_is_no_manifest_is_a_damaged_template(
    manifest: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(container, "find_engine", lambda: (None, "No Docker Engine listens."))
    place = template.directory()
    place.mkdir(parents=True)
    (place / "template.json").write_text(json.dumps(manifest))
    found = template.find()
    assert found
    with pytest.raises(TemplateError, match=r"template is damaged .*no manifest.*build --force"):
        found.check()
    cli.main(["doctor"])
    assert "The template is damaged" in capsys.readouterr().out


def test_a_template_that_cannot_be_read_is_not_one_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    template.directory().mkdir(parents=True)
    assert template.find() is None
    monkeypatch.setattr("os.access", lambda path, mode: mode == os.F_OK)  # root may read anything
    with pytest.raises(TemplateError, match="cannot be read: run `chmod"):
        template.find()


# --- interrupts, warnings, output ---------------------------------------------------------------------------------


def test_a_build_that_is_interrupted_leaves_no_process_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    child = tmp_path / "child.py"
    child.write_text(
        "import signal, sys, time\n"
        "def stop(*_): raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        'try:\n    print(\'{"report": "Downloading", "fraction": 0.1}\', flush=True)\n    time.sleep(30)\n'
        f"finally:\n    time.sleep(0.3); open({str(tmp_path / 'ended')!r}, 'w').close(); print('late', flush=True)\n"
    )
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(template.subprocess, "Popen", _instead(child))

    def interrupt(text: str, fraction: float) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        template.build_rootfs(tmp_path, "vm", "testing", interrupt)
    assert (tmp_path / "ended").exists()  # it was waited for
    assert time.monotonic() - begun < 20
    assert "Traceback" not in capfd.readouterr().err


def _instead(program: Path) -> Callable[..., subprocess.Popen[str]]:
    """Popen, with that program in the place of whatever it is asked for."""
    plain = subprocess.Popen
    return lambda _, **more: plain([sys.executable, str(program)], **more)


def test_a_builder_that_dies_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("raise SystemExit('no such luck')\n")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(template.subprocess, "Popen", _instead(child))
    with pytest.raises(BuildError, match=r"failed with exit code 1\. no such luck"):
        template.build_rootfs(tmp_path, "vm", "testing", lambda text, fraction: None)


INTERRUPTED_IMPORT = """
import sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "dockernb.labhost.host":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from dockernb.cli import main
"""


def test_an_interrupt_while_the_command_loads_is_silent() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "")


def test_output_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = command(
            "status", options=("-X", "dev"), stdout=full, env={**os.environ, "XDG_STATE_HOME": str(tmp_path)}
        )
    assert done.returncode == 1
    assert done.stderr == "dockernb: the output cannot be used: No space left on device\n"


def test_a_keeper_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "from dockernb.labhost import host; import subprocess, sys, time, gc\n"
        "plain = subprocess.Popen\n"
        "child = '''import time; print('{\"ready\": {}}', flush=True); time.sleep(1)'''\n"
        "host.subprocess.Popen = lambda _, **more: plain([sys.executable, '-c', child], **more)\n"
        "from types import SimpleNamespace; from pathlib import Path\n"
        "plan = SimpleNamespace(directory=Path(sys.argv[1]), to_line=lambda: '')\n"
        "assert host._launch(plan) == {}; gc.collect()\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


# --- answers that have no end, and none at all -----------------------------------------------------------------------


@pytest.fixture
def pair() -> Any:
    """Two ends of a line."""
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_the_limit_of_time_holds_for_all_of_an_answer(pair: tuple[socket.socket, socket.socket]) -> None:
    mine, theirs = pair
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.05):
            theirs.send(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    begun = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            control.read_line(mine, begun + 0.5, 1000)
    finally:
        over.set()
        thread.join()
    assert time.monotonic() - begun < 5


def test_an_answer_has_a_greatest_length(pair: tuple[socket.socket, socket.socket]) -> None:
    mine, theirs = pair
    theirs.sendall(b"x" * 2000)
    with pytest.raises(HostError, match="longer than"):
        control.read_line(mine, time.monotonic() + 10, 1000)


@pytest.mark.parametrize("answer", [b'{"half', b"[]\n", b"\xff\n"])
def test_an_answer_that_is_none_is_a_sentence(answer: bytes) -> None:
    with pytest.raises(HostError, match="broke off, or is no answer"):
        control.parsed(answer)


def lab(directory: Path, port: int) -> LabHost:
    """A lab host that is said to be there."""
    state = {
        "provider": "vm",
        "engine": "testing",
        "started": 0.0,
        "notes": [],
        "emulation": "TCG",
        "api_port": port,
    }
    made = LabHost("lab", state)
    made.directory = directory
    return made


def test_an_engine_that_says_nothing_is_a_sentence_within_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(api, "CONNECT_LIMIT", 1)
    directory = tmp_path / "lab"
    directory.mkdir()
    Credentials.make().write(directory)
    with socket.create_server(
        ("127.0.0.1", 0)
    ) as server:  # the kernel takes the connection, and nobody reads
        silent = lab(directory, server.getsockname()[1])
        begun = time.monotonic()
        with (
            store.claim(directory),
            pytest.raises(HostError, match=r"its engine does not answer.*comes back by itself"),
        ):
            silent.client()
        assert time.monotonic() - begun < 20
        with pytest.raises(HostError, match=r"does not answer any more.*for a fresh one"):
            silent.client()  # its keeper has ended


# --- a disk that is full ----------------------------------------------------------------------------------------------


def test_a_start_needs_some_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    machine = vm.VmMachine(Plan("lab", "vm", os.getpid(), tmp_path, "testing"))
    with pytest.raises(BuildError, match=r"needs 0\.05 GB .* has 0\.001 GB left: .*XDG_STATE_HOME"):
        asyncio.run(machine.start())


def test_a_machine_without_room_says_so_and_goes_on_when_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 0
    monkeypatch.setattr(vm.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    monkeypatch.setattr(vm, "SPACE_POLL", 0.01)

    class Paused:
        """A QEMU whose writes do not fit, once."""

        def __init__(self) -> None:
            self.full, self.done = [None], asyncio.Event()

        async def out_of_space(self) -> None:
            if not self.full:
                await asyncio.sleep(60)
            self.full.pop()

        async def monitor(self, name: str) -> None:
            assert (name, free) == ("cont", vm.ROOM)
            self.done.set()

        async def quit(self) -> None:
            pass

    async def fill() -> tuple[str, str]:
        nonlocal free
        machine, process = vm.VmMachine(Plan("lab", "vm", os.getpid(), tmp_path, "testing")), Paused()
        machine._watch_space(process)  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
        assert not process.done.is_set()
        full = machine.facts.paused
        free = vm.ROOM
        await asyncio.wait_for(process.done.wait(), 5)
        await asyncio.sleep(0)
        after = machine.facts.paused
        await machine.stop()
        return full, after

    full, after = asyncio.run(fill())
    assert full == f"paused: the disk of {tmp_path} is full; free some space"
    assert not after


def test_a_call_that_is_late_says_that_the_machine_is_paused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        control, "ask", lambda *_: {"paused": "paused: the disk of /x is full; free some space"}
    )
    assert control.late(tmp_path, "other") == (
        f"The lab host {tmp_path.name!r} is paused: the disk of /x is full; free some space, and it goes on by itself."
    )
    monkeypatch.setattr(control, "ask", lambda *_: {"paused": ""})
    assert control.late(tmp_path, "other") == "other"
