"""Rules of ours in the lab host's firewall: put there all at once, found again, taken away exactly.

Docker asks the chain DOCKER-USER before its own rules, and leaves it to the administrator. Where its backend is
nftables there is no such chain, and FORWARD takes its place: what is dropped there is dropped, whatever the engine's
own tables say. From there one jump leads to a chain of ours; that and the chains behind it have names that begin
with `CHAINS`. So one transaction of iptables-restore puts a whole ruleset in the place of another, and what others
have put into DOCKER-USER stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dockernb.labhost import LabHost

CHAINS = "DNB-"
FIRST = f"{CHAINS}POLICY"
LONGEST = 28  # characters of a chain's name (man 8 iptables)


@dataclass(frozen=True)
class Known:
    """What the lab host knows.

    Attributes:
        memo: What was given with the rules that are in force; None where there are none.
        bridged: Whether packets between two containers of one bridge pass iptables (br_netfilter).
        text: The text of the file that was asked for; None where there is no such file.
    """

    memo: Any
    bridged: bool
    text: str | None


def read(host: LabHost, file: str = "") -> Known:
    """Look at the rules that are in force.

    Args:
        host: The lab host.
        file: A text file of the lab host to read, too; a relative path begins in /root, as in a `%%docker` cell.

    Raises:
        HostError: The lab host is gone, or has no iptables.
    """
    return Known(**_call(host, {"do": "read", "file": file}))


def swap(host: LabHost, lines: Sequence[str], memo: Any) -> None:
    """Put these rules in the place of those that are there, in one step.

    Args:
        host: The lab host.
        lines: Rules as iptables-save prints them ("-A DNB-POLICY ..."); the first chain is `FIRST`. None at all
            takes everything of ours away.
        memo: Something that JSON can carry, to be found by `read` for as long as the rules are in force.

    Raises:
        HostError: iptables refused, and nothing has changed.
    """
    _call(host, {"do": "swap", "lines": list(lines), "memo": memo, "first": FIRST})


def withdraw(host: LabHost) -> int:
    """Take away every rule that a lesson put into the firewall: those of policies, and those of `networks.deny`.

    Returns:
        How many there were.

    Raises:
        HostError: iptables refused, and nothing has changed.
    """
    return int(_call(host, {"do": "withdraw"})["rules"])


def _call(host: LabHost, order: dict[str, Any]) -> Any:
    source = resources.files("dockernb.session.ruleset").joinpath("_inside.py").read_text(encoding="utf-8")
    return host.call(source, order)
