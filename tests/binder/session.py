"""The learner's side of `make binder`: runs inside the session, beside JupyterLab, and prints one JSON line a fact."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.blocking import BlockingKernelClient

from dockernb.labhost import LabHost, join
from tests.notebooks.lessons import nbval

SERVER = "http://127.0.0.1:8888"
PREFIX = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
TOKEN = os.environ["JUPYTER_TOKEN"]
FIRST = """
import time
began = time.monotonic()
import dockernb as dn
lab = dn.lab("00-start-here")
print("SECONDS", round(time.monotonic() - began, 1))
"""
PUBLISH = """
lab.docker.containers.run("dockernb/nginx", name="shop", ports={"80/tcp": 8081}, detach=True)
print("URL", lab.host.browser_url(8081))
"""


def say(what: str, value: Any) -> None:
    print(json.dumps({"what": what, "value": value}), flush=True)


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: one to the login page is an answer here."""

    def redirect_request(self, *_arguments: Any, **_more: Any) -> None:
        return None


def fetch(path: str, token: str = "", method: str = "GET") -> tuple[int, str]:
    """Status and body of a page of the server, as a browser gets it."""
    request = urllib.request.Request(SERVER + path, method=method, data=b"{}" if method == "POST" else None)
    if token:
        request.add_header("Authorization", f"token {token}")
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=30) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode(errors="replace")
    except OSError as problem:
        return 0, str(problem)


def wait_for(path: str, limit: float) -> str:
    """The body of a page, as soon as it is there."""
    deadline = time.monotonic() + limit
    while True:
        status, body = fetch(path, TOKEN)
        if status == 200:
            return body
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path}: {status} {body[-500:]}")
        time.sleep(0.2)


class Kernel:
    """A kernel that the session's own JupyterLab has started, as for a notebook."""

    def __init__(self) -> None:
        status, body = fetch(f"{PREFIX}api/kernels", TOKEN, "POST")
        if status != 201:
            raise RuntimeError(f"JupyterLab starts no kernel: {status} {body}")
        from jupyter_core.paths import jupyter_runtime_dir

        file = Path(jupyter_runtime_dir()) / f"kernel-{json.loads(body)['id']}.json"
        self.client = BlockingKernelClient(connection_file=str(file))
        self.client.load_connection_file()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str, limit: float) -> str:
        """What a cell prints."""
        said: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                said.append(content["text"])
            elif message["msg_type"] == "error":
                said.append("\n".join(content["traceback"]))

        reply = self.client.execute_interactive(code, timeout=limit, output_hook=hear)
        if reply["content"]["status"] != "ok":
            raise RuntimeError("".join(said)[-2000:])
        return "".join(said)


def word(said: str, name: str) -> str:
    """What stands behind a word that a cell printed."""
    return next(line.split()[1] for line in said.splitlines() if line.startswith(name))


def main(lessons: list[str]) -> int:
    wait_for(f"{PREFIX}api/status", 60)
    notebook = json.loads(wait_for(f"{PREFIX}api/contents/notebooks/{lessons[-1]}.ipynb", 30))["content"]
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    say("saved pictures are trusted", all(cell["metadata"]["trusted"] for cell in code))

    kernel = Kernel()
    began = time.monotonic()
    said = kernel.run(FIRST, 300)
    say("first dn.lab, seconds", float(word(said, "SECONDS")))
    say("first cell with its import, seconds", round(time.monotonic() - began, 1))

    url = word(kernel.run(PUBLISH, 120), "URL")
    say("published port", url)
    page = wait_for(url, 60)
    say("page through the proxy", "nginx" in page.lower())
    say("page without the token, status", fetch(url)[0])
    kernel.run("lab.clean()", 120)

    host = join()
    assert host, "the lab host of the notebook is gone"
    for lesson in lessons:
        host.reset()
        began = time.monotonic()
        code, told = nbval(lesson, host)
        say(f"lesson {lesson}, seconds", round(time.monotonic() - began, 1))
        say(f"lesson {lesson}", code == 0)
        if code:
            print(told[-6000:], file=sys.stderr, flush=True)
    host.reset()
    say("idle lab host, share of the processor", idle(host))
    return 0


def idle(host: LabHost, window: float = 30.0) -> float:
    """The share of one processor that the keeper and QEMU take when nobody asks anything of the lab host."""
    keeper = psutil.Process(host.status()["keeper"])
    time.sleep(10)  # what the reset began in it comes to an end

    def used() -> float:
        return sum(sum(one.cpu_times()[:2]) for one in (keeper, *keeper.children(recursive=True)))

    began = used()
    time.sleep(window)
    return round((used() - began) / window, 3)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
