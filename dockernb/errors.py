"""What can go wrong, as a tree. Each message is one sentence that says what to do.

DockernbError
├── HostError            the lab host: not running, stopped, will not answer
│   ├── BuildError       the lab host could not be built (missing program, mirror, disk space)
│   ├── TemplateError    a stored template is damaged or does not fit this machine
│   └── UnavailableError no provider works here, or the one that was asked for does not
├── LabError             a lesson's session: unknown lesson, a name or subnet that is in use
│   └── CommandError     a command of a `%%docker` cell failed
├── ProbeError           a probe could not be made (unknown container, host gone)
├── MeasureError         an iperf3 or fio run failed
└── CourseError          a check or a prediction was used wrongly
"""


class DockernbError(Exception):
    """The base of everything dockernb raises for a learner to read."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the sentence, as an error output in every front end."""
        return [str(self)]


class HostError(DockernbError):
    """The lab host is not running, was stopped, or does not answer."""


class BuildError(HostError):
    """The lab host could not be built."""


class TemplateError(HostError):
    """A stored template is damaged or does not fit this machine."""


class UnavailableError(HostError):
    """No provider works here, or the one that was asked for does not."""


class LabError(DockernbError):
    """A lesson's session cannot go on: unknown lesson, a name or subnet in use."""


class CommandError(LabError):
    """A command of a `%%docker` cell failed.

    Attributes:
        code: The exit code of the cell.
        failed: The exit code and the words of each command that failed, in order.
    """

    def __init__(self, code: int, failed: list[tuple[int, str]]) -> None:
        self.code, self.failed = code, failed
        lines = [f"Exit code {one}: {' '.join(command.split())}" for one, command in failed]
        super().__init__("\n".join(lines) or f"Exit code {code}.")


class ProbeError(DockernbError):
    """A probe could not be made: unknown container, host gone."""


class MeasureError(DockernbError):
    """A measurement failed; samples taken before it are kept."""


class CourseError(DockernbError):
    """A check or a prediction was used wrongly."""
