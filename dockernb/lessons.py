"""The notebooks as files: where they lie, and how a learner gets copies of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from dockernb.errors import LabError

HERE = Path(__file__).parent
RECORD = ".dockernb-lessons.json"  # beside the copies: what each was when it was copied


@dataclass(frozen=True)
class Copied:
    """What became of the notebooks: their names by what was done."""

    new: tuple[str, ...] = ()
    renewed: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()  # the learner's own work, which a newer notebook does not replace


def notebooks() -> list[Path]:
    """The course's notebooks: in the installed package, or in the checkout that it was installed from.

    Raises:
        LabError: The installation has none.
    """
    for place in (HERE / "notebooks", HERE.parent / "notebooks"):
        if found := sorted(place.glob("*.ipynb")):
            return found
    raise LabError("This installation of dockernb has no notebooks: pip install --force-reinstall dockernb")


def copy(target: Path) -> Copied:
    """Copy the notebooks into a directory, never over a learner's changes.

    A copy that is still as it was made is renewed; one that was changed, or was there before, stays.

    Args:
        target: The directory; made when missing.

    Raises:
        LabError: It cannot be written to.
    """
    done: dict[str, list[str]] = {"new": [], "renewed": [], "same": [], "kept": []}
    record = target / RECORD
    try:
        target.mkdir(parents=True, exist_ok=True)
        known = json.loads(record.read_text()) if record.exists() else {}
        for notebook in notebooks():
            content, copy = notebook.read_bytes(), target / notebook.name
            there = copy.read_bytes() if copy.exists() else None
            if there == content:
                done["same"].append(copy.name)
            elif there is None or _digest(there) == known.get(copy.name):
                _write(copy, content)
                done["new" if there is None else "renewed"].append(copy.name)
            else:
                done["kept"].append(copy.name)
                continue
            known[copy.name] = _digest(content)
        _write(record, json.dumps(known, indent=1).encode())
    except (OSError, ValueError) as problem:
        raise LabError(f"The lessons cannot be copied to {target}: {problem}.") from problem
    return Copied(**{what: tuple(names) for what, names in done.items()})


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing."""
    half = path.with_name(f".{path.name}.half")
    half.write_bytes(content)
    half.replace(path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
