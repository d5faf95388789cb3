"""A lab host that nobody uses rests, and who uses it again notices nothing."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from dockernb.labhost import LabHost, store
from dockernb.labhost.idle import Idle, traffic
from dockernb.labhost.machine import Plan
from dockernb.labhost.ports import Ports
from dockernb.labhost.vm import VmMachine
from tests.support.waiting import wait_for

TOOLBOX = "dockernb/toolbox"
PATIENCE = 60.0  # seconds
SOON = 1.0  # seconds without use, in place of the ten minutes


class Impatient:
    """A lab host whose keeper lives in a thread of the test, and has little patience."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.directory = store.host_directory(name)
        self.machine = self._do(self._make(name))
        self._do(self.machine.start())
        state = {"provider": "vm", "engine": "testing", "started": time.time(), "notes": [], "emulation": ""}
        self.host = LabHost(name, state | {"api_port": self.machine.api_port})
        self.ports = Ports(self.machine, self.directory, self._loop)
        self.ports.start()
        self.starts = False  # a container takes longer to start than this host is patient
        self.idle = Idle(self.machine, self._ways_in, self._runs_something, SOON)
        self._watch = asyncio.run_coroutine_threadsafe(self.idle.watch(), self._loop)

    async def _make(self, name: str) -> VmMachine:
        return VmMachine(Plan(name, "vm", os.getpid(), self.directory, "testing"))

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def _runs_something(self) -> bool:
        return self.starts or bool(self.ports.containers())

    def _ways_in(self) -> set[int]:
        return {self.machine.api_port, *self.ports.table().values()}

    def processor_time(self) -> float:
        used = psutil.Process(self.machine._running().process.pid).cpu_times()
        return used.user + used.system

    def end(self) -> None:
        self._watch.cancel()
        self.ports.stop()
        self._do(self.machine.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def impatient(built: Path) -> Iterator[Impatient]:
    one = Impatient("tests-idle")
    yield one
    one.end()


def test_it_rests_without_a_tick_and_answers_the_next_call(impatient: Impatient) -> None:
    client = impatient.host.client()
    client.ping()
    assert wait_for(lambda: impatient.idle.resting, PATIENCE)
    before = impatient.processor_time()
    time.sleep(2)  # what is measured is time
    assert impatient.processor_time() - before <= 0.02
    assert client.ping(), "over the connection that it had"
    assert wait_for(lambda: impatient.idle.resting, PATIENCE)
    assert impatient.host.client().ping(), "over a new one"
    client.close()


def test_its_clock_is_right_after_the_rest(impatient: Impatient) -> None:
    assert wait_for(lambda: impatient.idle.resting, PATIENCE)
    time.sleep(3)  # so much it would be late
    there = impatient.host.run(["date", "+%s.%N"])
    assert there.returncode == 0
    again = impatient.host.run(["date", "+%s.%N"])  # the first may have been quicker than the clock
    assert abs(float(again.stdout) - time.time()) < 1.5


def test_what_was_in_it_is_still_there(impatient: Impatient) -> None:
    client = impatient.host.client()
    client.volumes.create("kept")
    assert wait_for(lambda: impatient.idle.resting, PATIENCE)
    assert [volume.name for volume in client.volumes.list()] == ["kept"]
    client.volumes.get("kept").remove()
    client.close()


def test_it_does_not_rest_while_a_container_runs(impatient: Impatient) -> None:
    client = impatient.host.client()
    impatient.starts = True
    sleeper = client.containers.run(TOOLBOX, "sleep 1000", detach=True)
    impatient.starts = False
    assert not wait_for(lambda: impatient.idle.resting, 4 * SOON)
    impatient.starts = True
    sleeper.remove(force=True)
    impatient.starts = False
    assert wait_for(lambda: impatient.idle.resting, PATIENCE)
    client.close()


def test_the_bytes_of_a_connection_are_seen() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        with closing(socket.create_connection(("127.0.0.1", port))) as near:
            far, _ = server.accept()
            with closing(far):
                peer = near.getsockname()[1]
                before = traffic({port})[port, peer]
                near.sendall(b"x" * 1000)
                far.recv(2000)
                far.sendall(b"y" * 100)
                near.recv(200)
                assert before == (0, 0)
                assert wait_for(lambda: traffic({port})[port, peer] == (100, 1000), PATIENCE)
        assert (port, peer) not in traffic({port + 1 if port < 65535 else port - 1})


def test_a_host_that_is_used_says_that_it_does_not_rest(running_host: LabHost) -> None:
    assert running_host.status()["rests"] is False
