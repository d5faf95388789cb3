"""What learners do, through JupyterHub as their browsers would: run by test_hub.py inside of the stage.

python learner.py NAME...     does it for all of them at once and prints what they saw, as JSON
"""

import json
import re
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import requests
import websocket

HUB = "http://127.0.0.1:8000"
LIMIT = 400.0  # seconds for one step; three lab hosts at once under emulation on two processors
LESSON = """
import dockernb as dn
lab = dn.lab("02-bridge")
web = lab.docker.containers.run("dockernb/nginx", name="web", ports={"80/tcp": 8080}, detach=True)
web.exec_run(["sh", "-c", "echo this is the page of NAME > /usr/share/nginx/html/index.html"])
print("AT", lab.host.browser_url(8080))
"""


class Learner:
    """One browser."""

    def __init__(self, name: str) -> None:
        self.name, self.session = name, requests.Session()

    def log_in(self, password: str) -> int:
        """The status of the page that the log-in leads to."""
        page = self.get("/hub/login")
        assert page.ok, page.text
        form = {"username": self.name, "password": password, "_xsrf": self.xsrf("/hub/")}
        return self.session.post(f"{HUB}/hub/login?next=/hub/home", data=form, timeout=60).status_code

    def get(self, path: str) -> requests.Response:
        return self.session.get(HUB + path, timeout=60)

    def xsrf(self, path: str) -> str:
        """The token against forged requests; JupyterHub and each server have their own."""
        return next(
            cookie.value or ""
            for cookie in self.session.cookies
            if (cookie.name, cookie.path) == ("_xsrf", path)
        )

    def call(self, method: str, path: str, token_path: str, **body: Any) -> requests.Response:
        """A request of the REST API."""
        answer = self.session.request(
            method,
            HUB + path,
            json=body or None,
            headers={"X-XSRFToken": self.xsrf(token_path), "Referer": HUB + "/hub/home"},
            timeout=60,
        )
        assert answer.ok, answer.text
        return answer

    def start_server(self) -> None:
        self.call("POST", f"/hub/api/users/{self.name}/server", "/hub/")
        deadline = time.monotonic() + LIMIT
        while self.get(f"/hub/api/users/{self.name}").json()["servers"].get("", {}).get("ready") is not True:
            assert time.monotonic() < deadline, f"the server of {self.name} did not start"
            time.sleep(0.5)  # JupyterHub itself polls

    def run(self, code: str) -> str:
        """Run a cell in a new kernel; returns what it printed."""
        home = f"/user/{self.name}/"
        assert self.get(f"{home}lab").ok  # and with it this server's cookies
        kernel = self.call("POST", f"{home}api/kernels", home, name="python3").json()["id"]
        cookies = {
            cookie.name: cookie.value for cookie in self.session.cookies if home.startswith(cookie.path)
        }
        line = websocket.create_connection(
            f"{HUB.replace('http', 'ws')}{home}api/kernels/{kernel}/channels",
            cookie="; ".join(f"{name}={value}" for name, value in cookies.items()),
            origin=HUB,
            timeout=LIMIT,
        )
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "username": "",
            "session": uuid.uuid4().hex,
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        line.send(
            json.dumps(
                {
                    "channel": "shell",
                    "header": header,
                    "parent_header": {},
                    "metadata": {},
                    "content": content,
                }
            )
        )
        said = ""
        while True:
            message = json.loads(line.recv())
            if message["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            match message["msg_type"]:
                case "stream":
                    said += message["content"]["text"]
                case "error":
                    raise AssertionError("\n".join(message["content"]["traceback"]))
                # Idle comes after all that was printed, which the cell's reply does not.
                case "status" if message["content"]["execution_state"] == "idle":
                    line.close()
                    return said

    def learn(self) -> dict[str, Any]:
        """Log in, start a server and in it a lab host, publish a port there and open it."""
        began = time.monotonic()
        assert self.log_in(f"{self.name}'s secret") == 200
        self.start_server()
        server = time.monotonic()
        said = self.run(LESSON.replace("NAME", self.name))
        found = re.search(r"^AT (\S+)$", said, re.MULTILINE)
        assert found, said
        deadline = time.monotonic() + 60
        while not (page := self.get(found[1])).ok and time.monotonic() < deadline:
            time.sleep(0.2)  # until nginx has started
        return {
            "server_seconds": round(server - began, 1),
            "lesson_seconds": round(time.monotonic() - server, 1),
            "url": found[1],
            "status": page.status_code,
            "page": page.text.strip()[:200],
        }


def pss(process: psutil.Process) -> int:
    """A process's proportional set size in MiB."""
    return int(process.memory_full_info().pss) >> 20


def qemus() -> list[psutil.Process]:
    """Every lab host's QEMU, whosever."""
    running = psutil.process_iter(["name", "username"])
    return [process for process in running if process.info["name"].startswith("qemu-system")]


def machine(learners: list[str]) -> dict[str, Any]:
    """What the machine looks like from inside: who runs what there, and the addresses that are listened on."""
    machines, jupyter = [], dict.fromkeys(learners, 0)
    for process in qemus():
        maps = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
        [memory] = {line.split(maxsplit=5)[5] for line in maps if re.search(r"/ram( \(deleted\))?$", line)}
        machines.append(
            {
                "user": process.username(),
                "memory": memory,
                "pss_mib": pss(process),
                "disk": re.findall(r"file=([^,]+)", " ".join(process.cmdline()))[0],
            }
        )
    for process in psutil.process_iter(["name", "username"]):
        if process.info["username"] in jupyter and process.info["name"].startswith(("python", "jupyter")):
            jupyter[process.info["username"]] += pss(process)
    listening = {
        entry.laddr.ip for entry in psutil.net_connections("tcp") if entry.status == psutil.CONN_LISTEN
    }
    return {
        "machines": sorted(machines, key=lambda one: one["user"]),
        "jupyter_pss_mib": jupyter,
        "listening": sorted(listening),
    }


def main() -> None:
    names = sys.argv[1:]
    learners = [Learner(name) for name in names]
    barrier = threading.Barrier(len(learners))

    def work(learner: Learner) -> dict[str, Any]:
        barrier.wait(60)  # a class begins at once
        return learner.learn()

    with ThreadPoolExecutor(len(learners)) as pool:
        saw = dict(zip(names, pool.map(work, learners), strict=True))
    stranger = Learner("stranger")
    refused = {
        "another learner's page": learners[1].get(saw[learners[0].name]["url"]).status_code,
        "who is in no group of learners": stranger.log_in("stranger's secret"),
        "a wrong password": Learner(learners[0].name).log_in("guessed"),
    }
    meanwhile = machine(names)
    for learner in learners:
        learner.call("DELETE", f"/hub/api/users/{learner.name}/server", "/hub/")
    deadline = time.monotonic() + 60
    while qemus() and time.monotonic() < deadline:
        time.sleep(0.2)  # a keeper looks for its owner twice a second
    print(
        json.dumps(
            {
                "saw": saw,
                "refused": refused,
                "meanwhile": meanwhile,
                "left": [process.username() for process in qemus()],
            }
        )
    )


if __name__ == "__main__":
    main()
