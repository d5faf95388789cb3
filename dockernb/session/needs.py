"""Cells for what not every kernel can do: `%%needs nfs` on the first line.

Where the kernel of the lab host has the feature the cell is run as if the line were not there; where it has not, one
sentence stands in the cell's place, and the lesson goes on. The features are those of `dockernb.labhost.features`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from dockernb.errors import LabError
from dockernb.labhost.features import features

if TYPE_CHECKING:
    from dockernb.labhost import LabHost

_WORD = "%%needs"


class Needs:
    """An input transformer for IPython: takes the line away, or puts a sentence in the place of the cell.

    Args:
        host: The lab host that is asked, once, when a cell needs something.
    """

    def __init__(self, host: LabHost) -> None:
        self._host = host

    @functools.cached_property
    def _there(self) -> dict[str, bool]:
        return features(self._host)

    def __call__(self, lines: list[str]) -> list[str]:
        """The lines of a cell as they are to be run.

        Raises:
            LabError: The line names no feature, or one that nobody knows.
            HostError: The lab host is gone.
        """
        if not lines or lines[0].split()[:1] != [_WORD]:
            return lines
        wanted = lines[0].split()[1:]
        unknown = [name for name in wanted if name not in self._there]
        if unknown or not wanted:
            raise LabError(f"After {_WORD} there are features of the kernel: {', '.join(self._there)}.")
        lacking = [name for name in wanted if not self._there[name]]
        if not lacking:
            return lines[1:]
        said = f"Left out: the kernel of this lab host has no {' and no '.join(lacking)}."
        return [f"print({said!r})\n"]
