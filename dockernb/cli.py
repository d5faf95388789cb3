"""The command `dockernb`."""

import argparse
import contextlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

try:
    from dockernb.errors import DockernbError, HostError
    from dockernb.labhost import DEFAULT_NAME, LabHost, debian, join, store
    from dockernb.labhost import start as start_host
    from dockernb.labhost import stop as stop_host
except KeyboardInterrupt:  # this takes 0.2 s, and nothing has been begun
    sys.exit(128 + signal.SIGINT)

EPILOG = """
examples:
  dockernb start                         a Docker host in about a second
  eval "$(dockernb env)"                 your own docker CLI now talks to it
  dockernb run -- docker ps              or use the one inside
  dockernb reset                         pristine again
  dockernb stop
  dockernb lessons my-course             the notebooks, to learn with

A lab host ends with the shell (or JupyterLab) that started it. Nothing in it reaches your network.

exit codes: 0 all is well; 1 it did not work, and one sentence on standard error says what to do;
2 the command line is wrong; 3 no lab host is running. `run` ends with the exit code of its command.

environment: DOCKERNB_PROVIDER (vm, container or auto), DOCKERNB_ENGINE (testing or stable),
DOCKERNB_MIRROR (a Debian mirror to build from), XDG_CACHE_HOME and XDG_STATE_HOME (where templates and running
hosts are kept).
"""

NOT_RUNNING = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code = int(options.command(options))
        sys.stdout.flush()  # what cannot be written is known now, not when the interpreter ends
    except DockernbError as problem:
        print(f"dockernb: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dockernb: interrupted; nothing is left half-made", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        _drop_output()  # whoever read it has gone
        return 0
    except OSError as problem:
        if problem.filename is None:
            _drop_output()
        where = problem.filename or "the output"
        print(f"dockernb: {where} cannot be used: {problem.strerror or problem}", file=sys.stderr)
        return 1
    return code


def _drop_output() -> None:
    """What is still to be written goes nowhere: the interpreter would try it again at its end, and complain."""
    with contextlib.suppress(OSError):  # it may be no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dockernb",
        description="A real, disposable Docker host for the course's lessons, or for anything else.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(
        name: str, function: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.set_defaults(command=function)
        return sub

    def named(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--name", default=DEFAULT_NAME, help="which lab host (default: %(default)s)")

    def made_of(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--provider", choices=("auto", "vm", "container"), help="default: auto")
        sub.add_argument(
            "--engine",
            choices=tuple(debian.ENGINES),
            help=f"the Debian suite that the Docker Engine comes from (default: {debian.DEFAULT_ENGINE})",
        )

    sub = command("doctor", doctor, "say what works on this machine, what is missing, and how to get it")
    sub.add_argument("--json", action="store_true", help="for programs")

    sub = command("build", build, "build the lab host, unless that is done (about two minutes)")
    sub.add_argument("--force", action="store_true", help="build again even if it is there")
    made_of(sub)

    sub = command("start", start, "start a lab host, or say that it runs")
    named(sub)
    made_of(sub)

    sub = command("status", status, "show the lab hosts that run, their ports, and the disk space used")
    sub.add_argument("--json", action="store_true", help="for programs")

    sub = command("reset", reset, "make a lab host pristine again; everything in it is gone")
    named(sub)

    sub = command("stop", stop, "end a lab host and everything in it")
    named(sub)
    sub.add_argument("--all", action="store_true", help="every lab host of yours")

    sub = command("env", env, 'print what the plain docker CLI needs: eval "$(dockernb env)"')
    named(sub)

    sub = command("run", run, "run a command on the lab host itself, as its root")
    named(sub)
    sub.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS", help="default: %(default)g")
    sub.add_argument(
        "argv", nargs=argparse.REMAINDER, metavar="-- COMMAND ...", help="for example: docker ps"
    )

    sub = command("lessons", lessons, "copy the lessons into a directory, never over your own changes")
    sub.add_argument("directory", type=Path, metavar="DIR")

    sub = command("clean", clean, "stop all lab hosts and remove all that was built")
    return parser


# --- commands ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One line of doctor's report: a fact, and the fix when it is not as it should be."""

    what: str
    ok: bool
    says: str
    fix: str = ""


def findings() -> list[Finding]:
    """What doctor looks at. Nothing is started or changed."""
    from dockernb.labhost import container, providers, qemu, template, vm  # noqa: PLC0415  (quick commands need none)

    found = [Finding("python", True, platform.python_version())]
    engine = providers.choose_engine()
    lacks = vm.missing(engine)
    if shutil.which(qemu.PROGRAM):
        found.append(Finding("qemu", True, f"{qemu.version()}, {qemu.accelerator().name.upper()}"))
    elif sys.platform == "linux":
        lacks += template.missing()  # all of it at once, so that one command gets it
    built = template.find(engine) if not lacks else None
    found.append(Finding("vm provider", not lacks, lacks[0] if lacks else "works", _command(lacks)))
    if lacks and (conda := os.environ.get("CONDA_PREFIX")):
        says = f"{conda} has no QEMU, because conda-forge has none that runs a whole machine"
        found.append(Finding("conda", False, says, "it comes from the system, or Docker takes its place"))
    if built:
        made = built.manifest
        try:
            built.check()
            says = f"Docker {made['docker']} of Debian {made['engine']}, built {made['built']}, "
            says += f"{store.size(built.directory) / 1e6:.0f} MB, {built.directory}"
            misfit = built.misfit()
            faults = [f"{misfit}, so it boots cold"] * bool(misfit) + [made["note"].rstrip(".")] * bool(
                made["note"]
            )
            fix = "dockernb build --force" if faults else ""
            found.append(Finding("template", not faults, "; ".join([says, *faults]), fix))
        except DockernbError as problem:
            found.append(Finding("template", False, str(problem), "dockernb build --force"))
    elif not lacks:
        found.append(
            Finding("template", True, "not built yet: the first start builds it, or `dockernb build`")
        )
    outer, problem_text = container.find_engine()
    found.append(Finding("container provider", outer is not None, outer or problem_text))
    place = _existing(store.cache())
    free = shutil.disk_usage(place).free
    enough = built is not None or free > template.SPACE_NEEDED
    if built is None and not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        says = f"{place} cannot be used: it is no directory that you can write to"
        found.append(Finding("disk", False, says, "mend it, or set XDG_CACHE_HOME to another"))
    else:
        says = f"{free / 1e9:.1f} GB free at {store.cache()}"
        found.append(Finding("disk", enough, says, "" if enough else "free some disk space"))
    return found


def doctor(options: argparse.Namespace) -> int:
    """Say what works, what is missing, and how to get it."""
    found = findings()
    works = [finding for finding in found if finding.what.endswith("provider") and finding.ok]
    if options.json:
        print(
            json.dumps({"works": bool(works), "findings": [asdict(finding) for finding in found]}, indent=2)
        )
        return 0 if works else 1
    for finding in found:
        print(f"{'ok ' if finding.ok else '-- '} {finding.what:20} {finding.says}")
        if finding.fix not in finding.says:  # nor where there is none
            print(f"{'':24} {finding.fix}")
    if works:
        print(f"\nLessons run here, with the provider {works[-1].what.split()[0]}.")
        return 0
    print("\nNo provider works here yet: mend one of the lines marked -- above.")
    return 1


def build(options: argparse.Namespace) -> int:
    """Build what the chosen provider needs."""
    from dockernb.labhost import providers  # noqa: PLC0415

    with _progress("Building the lab host", 150) as report:
        providers.choose(options.provider, options.engine).prepare(report, force=options.force)
    return 0


def start(options: argparse.Namespace) -> int:
    """Start a lab host."""
    running = join(options.name)
    if running is None or options.engine not in (None, running.engine):
        with _progress("Starting the lab host", 1.5) as report:
            running = start_host(
                options.name, provider=options.provider, engine=options.engine, report=report
            )
    for note in running.notes:
        print(note)
    flag = "" if options.name == DEFAULT_NAME else f" --name {shlex.quote(options.name)}"
    print(
        f'The lab host {running.name!r} ({running.provider}) is up. For the docker CLI: eval "$(dockernb env{flag})"'
    )
    return 0


def status(options: argparse.Namespace) -> int:
    """Show the running lab hosts and what is on the disk."""
    found = {name: join(name) for name in store.host_names()}
    hosts = [host.status() for host in found.values() if host]
    silent = [name for name, host in found.items() if not host and store.holder(store.host_directory(name))]
    used = store.size(store.cache())
    if options.json:
        told = {"hosts": hosts, "silent": silent, "cache": str(store.cache()), "cache_bytes": used}
        print(json.dumps(told, indent=2))
        return 0 if hosts else NOT_RUNNING
    for state in hosts:
        age = time.time() - state["started"]
        kind = f"{state['provider']}, {state['emulation']}" + (", resting" if state["rests"] else "")
        if state["paused"]:
            print(f"{state['name']}: {state['paused']}")
        print(f"{state['name']}: {kind}, up {age / 60:.0f} min, owner {state['owner']}")
        for published, here in state["ports"].items():
            print(f"    port {published} of the lab host is 127.0.0.1:{here} here")
    for name in silent:
        print(f"{name}: does not answer; `dockernb stop --name {shlex.quote(name)}` ends it")
    if not hosts and not silent:
        print("No lab host is running.")
    print(f"Built templates: {used / 1e6:.0f} MB in {store.cache()}")
    return 0 if hosts else NOT_RUNNING


def reset(options: argparse.Namespace) -> int:
    """Make a lab host pristine again."""
    with _progress("Resetting the lab host", 1.5):
        _running(options.name).reset()
    return 0


def stop(options: argparse.Namespace) -> int:
    """End lab hosts; harmless when none runs."""
    for name in store.host_names() if options.all else [options.name]:
        if stop_host(name):
            print(f"The lab host {name!r} has stopped.")
    return 0


def env(options: argparse.Namespace) -> int:
    """Print the environment for a docker client."""
    for name, value in _running(options.name).environment.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run a command on the lab host."""
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        raise HostError("There is no command to run: dockernb run -- docker ps")
    host = _running(options.name)
    given = b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()
    done = host.run(argv, input=given, timeout=options.timeout)
    sys.stdout.buffer.write(done.stdout)
    sys.stderr.buffer.write(done.stderr)
    return done.returncode


def lessons(options: argparse.Namespace) -> int:
    """Copy the notebooks, and let JupyterLab show their pictures."""
    from nbformat import NO_CONVERT, read  # noqa: PLC0415
    from nbformat.sign import NotebookNotary  # noqa: PLC0415

    from dockernb.lessons import copy  # noqa: PLC0415

    directory = options.directory
    copied = copy(directory)
    notary = NotebookNotary()  # type: ignore[no-untyped-call]
    for name in (*copied.new, *copied.renewed):  # what `jupyter trust` does
        notary.sign(read(directory / name, NO_CONVERT))  # type: ignore[no-untyped-call]
    for what, names in asdict(copied).items():
        if names and what != "kept":
            print(f"{what}: {len(names)}")
    for name in copied.kept:
        print(f"kept as you left it: {directory / name} (move it away to get the course's own)")
    print(f"jupyter lab {shlex.quote(str(directory / '00-start-here.ipynb'))}")
    return 0


def clean(_options: argparse.Namespace) -> int:
    """Stop everything and remove what was built."""
    from dockernb.labhost import container  # noqa: PLC0415

    for name in store.host_names():
        stop_host(name)
    freed = store.size(store.cache())
    shutil.rmtree(store.cache(), ignore_errors=True)
    engine, _ = container.find_engine()
    if engine:
        container.clean(engine)
    print(
        f"Removed {freed / 1e6:.0f} MB from {store.cache()}"
        + (" and the lab host from your engine." if engine else ".")
    )
    return 0


# --- helpers -----------------------------------------------------------------------------------------------------


def _running(name: str) -> LabHost:
    """The running lab host of that name."""
    host = join(name)
    if host is None:
        flag = "" if name == DEFAULT_NAME else f" --name {shlex.quote(name)}"
        raise HostError(f"No lab host {name!r} is running: dockernb start{flag}")
    return host


def _command(lacks: Sequence[str]) -> str:
    """What gets all that these sentences complain of, in one line."""
    packages = re.findall(r"apt-get install ([^`]+)`", " ".join(lacks))
    if not packages:
        return " ".join(lacks)
    command = f"sudo apt-get install {' '.join(packages)}"
    if shutil.which("apt-get"):
        return command
    return f"on Debian or Ubuntu: {command}; elsewhere start Docker, and the container provider works"


def _existing(path: Any) -> Any:
    """The path, or the nearest directory above it that exists and can be looked at."""
    return path if os.access(path, os.F_OK) else _existing(path.parent)


class _progress:  # noqa: N801  (used like a function)
    """dockernb.view's progress bar, as a report function; a log file gets a line for each step instead."""

    def __init__(self, title: str, expected: float) -> None:
        from dockernb.view.progress import progress  # noqa: PLC0415

        self._bar = progress(title, expected)
        self._said = ""

    def __enter__(self) -> Callable[[str, float], None]:
        report = self._bar.__enter__().report
        return report if sys.stderr.isatty() else self._say

    def _say(self, text: str, _fraction: float) -> None:
        step = text.split(" (about", maxsplit=1)[0]
        if step != self._said:
            print(step, file=sys.stderr, flush=True)
            self._said = step

    def __exit__(self, *what: Any) -> None:
        self._bar.__exit__(*what)
