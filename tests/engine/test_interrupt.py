"""A learner interrupts a cell: it stops soon, nothing of it goes on, and the next cell works. In a real kernel."""

import os
import time
from collections.abc import Callable, Iterator

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from dockernb.labhost import LabHost
from tests.support.shared import Shared
from tests.support.waiting import wait_for

BUSY = 30.0  # seconds, for what happens on the lab host
SOON = 15.0  # seconds; an interrupt waits for no limit of ours, and on a busy machine a kernel takes a while to say so


class Kernel:
    """A kernel whose cells can be interrupted."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager, self.client = manager, client

    def run(self, code: str) -> str:
        """Run a cell to its end; return what it printed.

        Raises:
            AssertionError: The cell failed.
        """
        printed: list[str] = []

        def hear(message: dict[str, object]) -> None:
            content = message["content"]
            assert isinstance(content, dict)
            printed.append(str(content.get("text", "")))

        reply = self.client.execute_interactive(code, timeout=90, output_hook=hear)
        assert reply["content"]["status"] == "ok", (reply["content"], printed)
        return "".join(printed)

    def interrupt(self, code: str, begun: Callable[[], bool]) -> None:
        """Run a cell until the condition holds, interrupt it, and see it end as interrupted."""
        request = self.client.execute(code)
        assert wait_for(begun, BUSY)
        self.manager.interrupt_kernel()
        deadline = time.monotonic() + SOON
        while True:
            reply = self.client.get_shell_msg(timeout=max(deadline - time.monotonic(), 0.1))
            if reply["parent_header"].get("msg_id") == request:
                break
        assert reply["content"]["status"] == "error", reply["content"]
        [sentence] = reply["content"]["traceback"]
        assert sentence.startswith("Interrupted")


@pytest.fixture(scope="module")
def kernel(shared_vm: Shared) -> Iterator[Kernel]:
    host = shared_vm.pristine()
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**os.environ, "DOCKERNB_HOST": host.name, "DOCKERNB_PROVIDER": "vm"})
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        ready = Kernel(manager, client)
        ready.run("import dockernb as dn; lab = dn.lab('00-start-here')")
        ready.run(
            "for name in ('one', 'two'):\n"
            "    lab.docker.containers.run('dockernb/toolbox', 'sleep infinity', name=name, detach=True)"
        )
        yield ready
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def running(host: LabHost, pattern: str) -> bool:
    """Whether a process on the lab host, containers included, has such a command line."""
    return host.run(["pgrep", "-f", pattern]).returncode == 0


def test_a_measurement(kernel: Kernel, running_host: LabHost) -> None:
    measure = "dn.compare(lab, {'bridge': dn.Iperf3('one', 'two')}, runs=5, seconds=20)"
    kernel.interrupt(measure, lambda: running(running_host, "iperf3.*-c"))
    assert wait_for(lambda: not running(running_host, "iperf3"), BUSY)
    assert "reachable" in kernel.run(
        "print(dn.reach(lab, ['one'], ['two'], protocols=['icmp']).outcome('one', 'two', 'address').value)"
    )


def test_a_command_line(kernel: Kernel, running_host: LabHost) -> None:
    kernel.interrupt("%%docker\nsleep 4321", lambda: running(running_host, "sleep 4321"))
    assert wait_for(lambda: not running(running_host, "sleep 4321"), BUSY)
    assert "one" in kernel.run("%docker ps --format {{.Names}}")


def test_a_call_of_the_sdk_and_the_cell_again(kernel: Kernel, running_host: LabHost) -> None:
    wait = "lab.docker.containers.run('dockernb/toolbox', 'sleep 6', name='three')"
    kernel.interrupt(wait, lambda: running(running_host, "^sleep 6$"))
    kernel.run(wait.replace("sleep 6", "true"))
    assert "three" in kernel.run("print(lab.clean())")
