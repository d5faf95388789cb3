"""Command lines in a cell: `%%docker` and `%docker` run them on the lesson's lab host.

The script is run by bash on the lab host itself, as its root, in /root, with the lab host's own docker: the
lines of a textbook work as they stand, with continuations, here-documents, variables and pipes. Paths are
those of the lab host, too, not of the learner's machine: `-v $(pwd)/site:/site` binds /root/site of the lab
host. Files stay there until the host is reset; variables last for a cell.
"""

import base64
import codecs
import secrets
from collections.abc import Callable
from importlib import resources
from typing import Any

from dockernb.errors import CommandError, LabError
from dockernb.session.lab import Lab

LIMIT = 120.0  # seconds for a cell


def run_cell(
    lab: Lab,
    script: str,
    *,
    limit: float = LIMIT,
    show: Callable[[str], None] = lambda text: print(text, end=""),
) -> None:
    """Run a script on the lab host, showing its output as it comes.

    What docker creates there gets the lesson's labels and may be created again, as with `lab.docker`.

    Args:
        lab: The session.
        script: Lines for bash.
        limit: Seconds after which it is stopped, with all that it started in the foreground.
        show: Told the output, standard error among it.

    Raises:
        CommandError: One or more commands failed; those after it were run all the same, as in a terminal.
        LabError: It took too long, wrote too much, or was interrupted.
        HostError: The lab host is gone.
    """
    source = resources.files("dockernb.session").joinpath("_cell.py").read_text(encoding="utf-8")
    cell = secrets.token_hex(8)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def ask(do: str, **more: Any) -> Any:
        return lab.host.call(source, {"do": do, "cell": cell, **more})

    text, offset, ended = "", 0, None
    try:
        ask("begin", script=script, limit=limit, labels=lab.labels)
        while ended is None:
            told = ask("follow", offset=offset)
            data, ended = base64.b64decode(told["output"]), told["ended"]
            offset += len(data)
            if news := decoder.decode(data, ended is not None):
                text = news
                show(news)
    except KeyboardInterrupt:
        ask("stop")
        ask("follow", offset=offset)
        raise LabError("Interrupted: what the cell was running on the lab host is stopped.") from None
    if text and not text.endswith("\n"):
        show("\n")
    if ended["why"]:
        raise LabError(
            {
                "limit": f"The cell was not done after {limit:g} s and was stopped "
                "(%%docker --limit SECONDS allows more).",
                "output": "The cell wrote more than a mebibyte, and ends there: send so much to a file (> FILE).",
            }[ended["why"]]
        )
    code, failed = int(ended["code"]), [(int(one), str(command)) for one, command in ended["failed"]]
    if code or failed:
        raise CommandError(code, failed)


def limit_of(line: str) -> float:
    """The time limit on a `%%docker` line.

    Raises:
        LabError: There is something else on the line.
    """
    match line.split():
        case []:
            return LIMIT
        case ["--limit", number] if number.replace(".", "", 1).isdecimal() and float(number) > 0:
            return float(number)
        case _:
            raise LabError(
                "After %%docker there may only be --limit SECONDS: put the commands on the lines below."
            )
