"""Read and swap our rules in iptables. Standard library only: this source is sent to the lab host.

The orders and what they answer::

    {"do": "read", "file": "policy.yaml" | ""}  -> {"memo": ..., "bridged": true, "text": "..." | null}
    {"do": "swap", "lines": ["-A DNB-POLICY ..."], "memo": ..., "first": "DNB-POLICY"}
    {"do": "withdraw"}                          -> {"rules": 3}
"""

import fcntl
import json
import pathlib
import subprocess
from typing import Any

HOOK = "DOCKER-USER"
PLAIN = "FORWARD"  # the hook where there is no such chain: the engine's backend is nftables, or it filters nothing
CHAINS = "DNB-"
DENIES = '--comment "dockernb denies '  # of networks.deny
LOCK = pathlib.Path("/run/dockernb-rules.lock")
MEMO = pathlib.Path("/run/dockernb-rules.json")
BRIDGED = pathlib.Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
LEGACY = pathlib.Path("/proc/net/ip_tables_names")
HOME = pathlib.Path("/root")
LIMIT = 20  # seconds for one command


def main(order: dict[str, Any]) -> dict[str, Any] | None:
    """Carry out one order, alone; see the top of the file."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tool, saved = look()
        if order["do"] == "read":
            return read(saved, order["file"])
        if order["do"] == "swap":
            swap(tool, saved, order["lines"], order["memo"], order["first"])
        else:
            swap(tool, saved, [], None, "", denies=True)
            ours = [line for line in saved if line.startswith(f"-A {CHAINS}") or DENIES in line]
            return {"rules": len(ours)}
    return None


def look() -> tuple[str, list[str]]:
    """The iptables that sees the engine's rules, or any, and what is in its filter table, line by line."""
    found = []
    legacy = ("iptables-legacy",) if LEGACY.exists() and LEGACY.read_text() else ()  # to ask makes tables
    for variant in ("iptables", "iptables-nft", *legacy):
        try:
            done = subprocess.run(
                [f"{variant}-save", "-t", "filter"],
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=False,
            )
        except FileNotFoundError:
            continue
        found.append((variant, done.stdout.splitlines()))
        if f":{HOOK} " in done.stdout:
            return found[-1]
    if not found:
        raise RuntimeError("there is no iptables")
    return found[0]


def jumps(saved: list[str]) -> list[str]:
    """The rules that lead to ours, by which they are in force."""
    return [line for line in hooked(saved) if f" -j {CHAINS}" in line]


def hooked(saved: list[str]) -> list[str]:
    """The rules of the chains from which ours are asked."""
    return [line for line in saved if line.startswith((f"-A {HOOK} ", f"-A {PLAIN} "))]


def read(saved: list[str], file: str) -> dict[str, Any]:
    """What is in force, and a file."""
    path = HOME / file
    return {
        "memo": json.loads(MEMO.read_text()) if jumps(saved) and MEMO.exists() else None,
        "bridged": BRIDGED.exists() and BRIDGED.read_text().strip() == "1",
        "text": path.read_text(errors="replace") if file and path.is_file() else None,
    }


def swap(
    tool: str, saved: list[str], lines: list[str], memo: Any, first: str, *, denies: bool = False
) -> None:
    """One transaction: whatever fails in it leaves everything as it was."""
    old = [line[1:].split()[0] for line in saved if line.startswith(f":{CHAINS}")]
    new = list(dict.fromkeys(line.split()[1] for line in lines))
    there = jumps(saved)
    script = [f":{chain} - [0:0]" for chain in [*new, *(chain for chain in old if chain not in new)]]
    script += lines
    if new and not there:
        hook = HOOK if any(line.startswith(f":{HOOK} ") for line in saved) else PLAIN
        script.append(f'-I {hook} 1 -m comment --comment "policies of dockernb" -j {first}')
    gone = [] if new else there
    if denies:
        gone += [line for line in hooked(saved) if DENIES in line]
    script += [line.replace("-A", "-D", 1) for line in gone]
    script += [f"-X {chain}" for chain in old if chain not in new]
    if script:
        done = subprocess.run(
            [f"{tool}-restore", "--noflush", "--wait", "5"],
            input="\n".join(["*filter", *script, "COMMIT", ""]),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise RuntimeError(f"iptables-restore: {said[0] if said else done.returncode}")
    if not new:
        MEMO.unlink(missing_ok=True)
        return
    fresh = MEMO.with_suffix(".new")
    fresh.write_text(json.dumps(memo))
    fresh.replace(MEMO)
