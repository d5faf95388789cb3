"""Run a cell of command lines on the Docker host. Standard library only: this source is sent to the host.

A `docker` of our own stands first in the script's PATH. Before a command that creates something it asks the
runner (this module, which is there already: under emulation the start of a Python takes a second) what to
do. So what a cell creates carries the lesson's labels and may be created again, as with the lesson's SDK
client (dockernb/session/client.py).

The options are those of the docker CLI 26 (https://docs.docker.com/reference/cli/docker/).
"""

import base64
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
from typing import Any

LAB = "org.dockernb.lab"
CELLS = pathlib.Path("/var/lib/dockernb-cells")
DOCKER = "/usr/bin/docker"
SOCKET = "/run/docker.sock"
TOO_MUCH = 1 << 20  # bytes: more output than anybody reads, and than a notebook should hold
PAUSE = 0.1  # seconds between two looks; each costs an emulated processor a millisecond or two

# Options without a value; every other one has one.
FLAGS = {
    "": "D debug tls tlsverify v version help",
    "run": "d detach disable-content-trust help i init interactive no-healthcheck oom-kill-disable P privileged "
    "publish-all q quiet read-only rm sig-proxy t tty",
    "exec": "d detach help i interactive privileged t tty",
    "network create": "attachable config-only help ingress internal ipv4 ipv6",
    "network connect": "help",
    "volume create": "help",
    "service create": "d detach help init no-healthcheck no-resolve-image q quiet read-only t tty "
    "with-registry-auth",
}
FLAGS["create"] = FLAGS["run"]
OPERANDS_LAST = {
    "",
    "run",
    "create",
    "exec",
    "service create",
}  # after the first operand nothing is an option

SHIM = """#!/bin/bash
# Docker's own command line; what creates something asks first for the lesson's labels.
case "$1" in
    -*|run|create|exec|container|network|volume|service) ;;
    *) exec @docker "$@" ;;
esac
exec 3<>/dev/tcp/127.0.0.1/@port || exit 1
printf '%s\\0' "$#" "$@" >&3
mapfile -d '' -t answer <&3
exec 3>&-
[ -z "${answer[1]}" ] || printf '%s\\n' "${answer[1]}" >&2
[ "${answer[0]}" != run ] || exec @docker "${answer[@]:2}"
[ -z "${answer[2]}" ] || printf '%s\\n' "${answer[2]}"
exit "${answer[0]}"
"""

# What a terminal shows by its prompt: which command failed. Read by the script's own shell and by no other.
STARTUP = """unset BASH_ENV
trap 'printf "%s\\0%s\\0" "$?" "$BASH_COMMAND" >>@failed' ERR
"""


class Words:
    """The words after a subcommand.

    Attributes:
        options: The options by name, with their values.
        operands: The rest.
        typed: The options as they were typed.
        without_terminal: The same, without -t and --tty.
    """

    def __init__(self, words: list[str], command: str) -> None:
        flags = set(FLAGS[command].split())
        self.options: dict[str, list[str]] = {}
        self.operands: list[str] = []
        self.typed: list[str] = []
        self.without_terminal: list[str] = []
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if word == "--":
                self.operands += rest
                break
            if not word.startswith("-") or word == "-":
                self.operands.append(word)
                if command in OPERANDS_LAST:
                    self.operands += rest
                    break
                continue
            if word.startswith("--"):
                name, assigned, value = word[2:].partition("=")
                plain = "" if name == "tty" else word
            else:
                # A cluster such as -dit or -dp80:80: only its last letter can have a value.
                letters = word[1:]
                while len(letters) > 1 and letters[0] in flags and letters[1] != "=":
                    self.options.setdefault(letters[0], []).append("")
                    letters = letters[1:]
                name, value = letters[0], letters[1:].removeprefix("=")
                assigned = letters[1:2]
                before = word[1 : len(word) - len(letters)].replace("t", "")
                plain = f"-{before}{letters if name != 't' or 't' not in flags else ''}".rstrip("-")
            self.without_terminal += [plain] if plain else []
            self.typed.append(word)
            if not assigned and name not in flags and rest:
                value = rest.pop(0)
                self.typed.append(value)
                self.without_terminal.append(value)
            self.options.setdefault(name, []).append(value)

    def has(self, *names: str) -> bool:
        """Whether a flag is on."""
        return any(self.options.get(name, ["false"])[-1] in {"", "true", "1"} for name in names)

    def every(self, *names: str) -> list[str]:
        """All values of an option."""
        return [value for name in names for value in self.options.get(name, ())]

    def last(self, *names: str) -> str:
        """The value that counts, or nothing."""
        return (self.every(*names) or [""])[-1]


class Order:
    """What is to be done in place of the typed command.

    Attributes:
        code: exit code when nothing is to be run, else None.
        words: words of the docker command to run.
        note: a sentence for standard error.
        output: what is printed when nothing is run.
    """

    def __init__(
        self, words: list[str] | None = None, *, code: int | None = None, note: str = "", output: str = ""
    ) -> None:
        self.words, self.code, self.note, self.output = words or [], code, note, output

    def encode(self) -> bytes:
        """As the shim reads it."""
        first = (
            ["run", self.note, *self.words] if self.code is None else [str(self.code), self.note, self.output]
        )
        return b"".join(word.encode(errors="surrogateescape") + b"\0" for word in first)


class Preparer:
    """Looks at each command before it is run.

    Args:
        labels: The lesson's labels.
        ask: Asks the engine: (method, path, body) -> (status, JSON).
        identities: Directory for the ids of containers that run in the foreground.
    """

    def __init__(self, labels: dict[str, str], ask: Any, identities: pathlib.Path) -> None:
        self.labels, self.ask, self.identities = labels, ask, identities

    def prepare(self, words: list[str]) -> Order:
        """What to run in place of these words (those after `docker`)."""
        general = Words(words, "")
        rest = general.operands
        if rest[:1] == ["container"]:
            rest = rest[1:]
        pair = " ".join(rest[:2])
        command = pair if pair in FLAGS else " ".join(rest[:1])
        if command not in FLAGS or not command:
            return Order(words)
        typed = Words(rest[len(command.split()) :], command)
        if typed.has("help"):
            return Order(words)
        act = {
            "run": self._container,
            "create": self._container,
            "network create": self._network,
            "network connect": self._connect,
            "service create": self._service,
        }.get(command)
        order = act(typed) if act else None
        if order is not None and order.code is not None:
            return order
        note, given = "", typed.typed
        if command in {"run", "exec"} and typed.has("t", "tty") and not typed.has("d", "detach"):
            note, given = self._no_terminal(typed), typed.without_terminal
        extra = [] if command in {"exec", "network connect"} else self._labelled()
        if command == "run" and not typed.has("d", "detach") and not typed.every("cidfile"):
            extra += ["--cidfile", str(self.identities / str(time.monotonic_ns()))]
        # Of the operands none is an option: the double dash that was typed may be needed.
        operands = typed.operands
        if operands and operands[0].startswith("-"):
            operands = ["--", *operands]
        return Order([*general.typed, *command.split(), *extra, *given, *operands], note=note)

    def _labelled(self) -> list[str]:
        return [word for key, value in self.labels.items() for word in ("--label", f"{key}={value}")]

    def _no_terminal(self, typed: Words) -> str:
        told = "A cell has no terminal, so -t was left out"
        if (
            typed.has("i", "interactive")
            and len(typed.operands) > 1
            and typed.operands[1:] in (["sh"], ["bash"])
        ):
            return f"{told}: give {typed.operands[1]} its commands by -c '...'."
        return f"{told}."

    def _ours(self, labels: Any) -> bool:
        return bool((labels or {}).get(LAB) == self.labels[LAB])

    def _find(self, path: str) -> Any:
        """What the engine says of a thing, or None."""
        status, told = self.ask("GET", path, None)
        return told if status == 200 else None

    def _container(self, typed: Words) -> Order | None:
        """Replace the one of an earlier run; label volumes; say at once that an image is missing."""
        if (
            typed.operands
            and typed.last("pull") != "always"
            and not self._find(f"/images/{typed.operands[0]}/json")
        ):
            images = self._find("/images/json") or []
            names = sorted(tag for image in images for tag in image.get("RepoTags") or ())
            return Order(
                code=125,
                note=f"There is no image {typed.operands[0]} here, and nothing is pulled. "
                f"The lab host has {', '.join(names)}.",
            )
        name = typed.last("name")
        old = self._find(f"/containers/{name}/json") if name else None
        if old and old["Name"] == f"/{name}" and self._ours(old["Config"]["Labels"]):
            self.ask("DELETE", f"/containers/{old['Id']}?force=true&v=true", None)
        if not typed.every("volume-driver"):
            for volume in self._volumes(typed):
                if not self._find(f"/volumes/{volume}"):
                    self.ask("POST", "/volumes/create", {"Name": volume, "Labels": self.labels})
        return None

    def _volumes(self, typed: Words) -> list[str]:
        """Names of volumes that the engine would create without our labels."""
        bound = (value.split(":") for value in typed.every("v", "volume"))
        names = [parts[0] for parts in bound if len(parts) > 1 and not parts[0].startswith(("/", ".", "~"))]
        for value in typed.every("mount"):
            pairs = dict(pair.partition("=")[::2] for pair in value.split(","))
            plain = not any(key.startswith(("volume-driver", "volume-opt")) for key in pairs)
            if pairs.get("type", "volume") == "volume" and plain:
                names.append(pairs.get("source") or pairs.get("src") or "")
        return [name for name in names if name]

    def _network(self, typed: Words) -> Order | None:
        """Keep the very network that an earlier run made; make room for one with other settings."""
        name = typed.operands[0] if typed.operands else ""
        old = self._find(f"/networks/{name}") if name else None
        if not old or old["Name"] != name or not self._ours(old["Labels"]):
            return None
        if same_network(typed, old):
            return Order(code=0, output=old["Id"])
        if old["Containers"]:
            names = ", ".join(sorted(entry["Name"] for entry in old["Containers"].values()))
            return Order(
                code=1,
                note=f"The network '{name}' is there with other settings, and {names} still on it: "
                "remove these first, or run lab.clean().",
            )
        self.ask("DELETE", f"/networks/{old['Id']}", None)
        return None

    def _connect(self, typed: Words) -> Order | None:
        """A container that an earlier run connected leaves first, to be connected with these settings."""
        if len(typed.operands) != 2:
            return None
        network = self._find(f"/networks/{typed.operands[0]}")
        container = self._find(f"/containers/{typed.operands[1]}/json")
        if (
            network
            and container
            and self._ours(network["Labels"])
            and self._ours(container["Config"]["Labels"])
            and network["Name"] in (container["NetworkSettings"]["Networks"] or {})
        ):
            self.ask("POST", f"/networks/{network['Id']}/disconnect", {"Container": container["Id"]})
        return None

    def _service(self, typed: Words) -> Order | None:
        """Replace the service of an earlier run."""
        name = typed.last("name")
        old = self._find(f"/services/{name}") if name else None
        if old and old["Spec"]["Name"] == name and self._ours(old["Spec"].get("Labels")):
            self.ask("DELETE", f"/services/{old['ID']}", None)
        return None


def same_network(typed: Words, old: Any) -> bool:
    """Whether a network has the settings that were typed."""
    options = dict(value.partition("=")[::2] for value in typed.every("o", "opt"))
    labels = dict(value.partition("=")[::2] for value in typed.every("label"))
    pools = {"Subnet": "subnet", "IPRange": "ip-range", "Gateway": "gateway"}
    said = [
        {key: pool[key] for key in pools if pool.get(key) and typed.every(pools[key])}
        for pool in old["IPAM"]["Config"] or ()
    ]
    wanted = {key: sorted(typed.every(option)) for key, option in pools.items()}
    found = {key: sorted(pool[key] for pool in said if key in pool) for key in pools}
    return bool(
        old["Driver"] == (typed.last("d", "driver") or "bridge")
        and old["Internal"] == typed.has("internal")
        and old["Attachable"] == typed.has("attachable")
        and old["EnableIPv6"] == typed.has("ipv6")
        and wanted == found
        and options.items() <= (old["Options"] or {}).items()
        and not (set(old["Options"] or {}) - set(options) - DRIVERS_OWN)
        and labels.items() <= old["Labels"].items()
    )


# Options that a driver adds to a network by itself.
DRIVERS_OWN = {
    "com.docker.network.driver.overlay.vxlanid_list",
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
}


def ask_engine(method: str, path: str, body: Any) -> tuple[int, Any]:
    """One request to the engine. HTTP/1.0: the answer comes in one piece and ends with the connection."""
    data = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(30)
        line.connect(SOCKET)
        line.sendall(head.encode() + data)
        answer = b""
        while piece := line.recv(1 << 16):
            answer += piece
    first, _, told = answer.partition(b"\r\n\r\n")
    try:
        return int(first.split()[1]), json.loads(told) if told else None
    except ValueError:
        return int(first.split()[1]), None


class Runner:
    """One cell: its script, the door at which the shims ask, and the end of all that it started."""

    def __init__(self, directory: pathlib.Path, order: dict[str, Any]) -> None:
        self.directory, self.order = directory, order
        self.preparer = Preparer(order["labels"], ask_engine, directory / "ids")

    def run(self) -> None:
        """Run the script and write down how it ended."""
        why, code = "", 1
        door = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, args=(door,), daemon=True).start()
        files = {
            "cell": self.order["script"],
            "startup": STARTUP.replace("@failed", str(self.directory / "failed")),
            "docker": SHIM.replace("@docker", DOCKER).replace("@port", str(door.getsockname()[1])),
        }
        for name, text in files.items():
            (self.directory / name).write_text(text, encoding="utf-8", errors="surrogateescape")
        (self.directory / "docker").chmod(0o755)
        with (self.directory / "output").open("wb") as output:
            script = subprocess.Popen(
                ["bash", str(self.directory / "cell")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=os.environ["HOME"],
                env={
                    **os.environ,
                    "DOCKER_HOST": f"unix://{SOCKET}",
                    "PATH": f"{self.directory}:{os.environ['PATH']}",
                    "BASH_ENV": str(self.directory / "startup"),
                },
                start_new_session=True,
            )
            over = threading.Event()
            threading.Thread(target=self._wait, args=(script, over), daemon=True).start()
            deadline = time.monotonic() + self.order["limit"]
            while not why and not over.wait(PAUSE):
                if (self.directory / "stop").exists():
                    why = "stopped"
                elif time.monotonic() > deadline:
                    why = "limit"
                elif self._wrote_too_much():
                    why = "output"
        if why:
            with contextlib.suppress(OSError):  # an engine that does not answer
                self._end(script, over, gently=why != "output")  # which could fill the disk meanwhile
        else:
            code = script.returncode
            why = "output" if self._wrote_too_much() else ""  # faster than we looked
        ended = self.directory / "ended.new"
        ended.write_text(json.dumps({"code": code, "why": why, "failed": self._failed()}))
        ended.rename(self.directory / "ended")

    def _wrote_too_much(self) -> bool:
        return (self.directory / "output").stat().st_size > TOO_MUCH

    @staticmethod
    def _wait(script: "subprocess.Popen[bytes]", over: threading.Event) -> None:
        script.wait()
        over.set()

    def _failed(self) -> list[tuple[int, str]]:
        """The commands that failed, with their exit codes."""
        try:
            parts = (self.directory / "failed").read_text(errors="replace").split("\0")
        except FileNotFoundError:
            return []
        return [(int(code), command) for code, command in zip(parts[::2], parts[1::2], strict=False)]

    def _serve(self, door: socket.socket) -> None:
        while True:
            line, _ = door.accept()
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with line, line.makefile("rb") as stream:
            data, count = b"", -1
            while count < 0 or data.count(b"\0") <= count:
                piece = stream.read1()
                if not piece:
                    return
                data += piece
                count = int(data.partition(b"\0")[0]) if b"\0" in data else -1
            words = [word.decode(errors="surrogateescape") for word in data.split(b"\0")[1 : count + 1]]
            try:
                order = self.preparer.prepare(words)
            except Exception as problem:  # the learner's command is the engine's to judge
                order = Order(words, note=f"(without the lesson's labels: {problem!r})")
            with contextlib.suppress(OSError):
                line.sendall(order.encode())

    def _end(self, script: "subprocess.Popen[bytes]", over: threading.Event, *, gently: bool) -> None:
        """End the script with all that it started, in containers, too: gently as Ctrl-C would, then for good."""
        for number in (signal.SIGINT, signal.SIGKILL) if gently else (signal.SIGKILL,):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(script.pid, number)
            over.wait(0.5)
        for path in self.preparer.identities.iterdir():
            ask_engine("POST", f"/containers/{path.read_text()}/kill", None)
        began = started(os.getpid())
        for row in ask_engine("GET", "/containers/json", None)[1]:
            for identity in (ask_engine("GET", f"/containers/{row['Id']}/json", None)[1] or {}).get(
                "ExecIDs"
            ) or ():
                told = ask_engine("GET", f"/exec/{identity}/json", None)[1] or {}
                # The engine leaves an exec alone whose client has gone.
                with contextlib.suppress(OSError):
                    if told.get("Running") and started(told["Pid"]) >= began:
                        os.kill(told["Pid"], signal.SIGKILL)


def started(pid: int) -> int:
    """When a process began, in ticks since the host did (proc(5): field 22 of stat)."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[19])


def begin(directory: pathlib.Path, order: dict[str, Any]) -> None:
    """Start the runner, which outlives this call."""
    (directory / "ids").mkdir(parents=True)
    if os.fork():
        return
    code = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        os.closerange(3, 4096)  # the agent's doors
        Runner(directory, order).run()
        code = 0
    finally:
        os._exit(code)


def follow(directory: pathlib.Path, offset: int, patience: float = 2.0) -> dict[str, Any]:
    """New output, as far as it is not too much, and how the cell ended if it has; waits for either."""
    output, ended = directory / "output", directory / "ended"
    deadline = time.monotonic() + patience
    while True:
        over = ended.exists()
        size = min(output.stat().st_size, TOO_MUCH) if output.exists() else 0
        if over or size > offset or time.monotonic() > deadline:
            break
        time.sleep(PAUSE)
    data = b""
    if size > offset:
        with output.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(size - offset)
    told = json.loads(ended.read_text()) if over else None
    if over:
        forget(directory)
    return {"output": base64.b64encode(data).decode(), "ended": told}


def forget(directory: pathlib.Path) -> None:
    """Remove the cell's files."""
    for path in sorted(directory.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    directory.rmdir()


def main(order: dict[str, Any]) -> Any:
    """Begin a cell, follow it, or stop it."""
    directory = CELLS / order["cell"]
    if order["do"] == "begin":
        begin(directory, order)
    elif order["do"] == "stop":
        if not directory.exists():
            return None
        (directory / "stop").touch()
        deadline = time.monotonic() + 20
        while directory.exists() and not (directory / "ended").exists() and time.monotonic() < deadline:
            time.sleep(PAUSE)
    else:
        return follow(directory, order["offset"])
    return None
