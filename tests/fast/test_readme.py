"""What the README tells strangers is true: its badges, its links, its commands."""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from dockernb import cli

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_badges_say_what_pyproject_says() -> None:
    badges = {unquote(name) for name in re.findall(r"img\.shields\.io/badge/([^)]+)", README)}
    python = PROJECT["requires-python"].removeprefix(">=")
    licence = PROJECT["license"].replace("-", "--")  # a hyphen, as shields.io writes it
    assert badges == {f"python-≥ {python}-blue", f"licence-{licence}-blue"}


def test_what_it_links_to_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", README) if "://" not in link and link != "…"]
    assert "notebooks/images/panel.png" in links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_picture_has_words() -> None:
    pictures = re.findall(r"!\[([^\]]*)\]\(", README)
    assert pictures
    assert all(pictures)


def test_binder_opens_the_first_lesson() -> None:
    (address,) = re.findall(r"https://mybinder\.org/v2/\S+(?=`)", README)
    (opened,) = parse_qs(urlsplit(address).query)["urlpath"]
    assert (ROOT / opened.removeprefix("lab/tree/")).exists()


def test_make_has_the_targets_that_it_names() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE)) <= targets


def test_dockernb_has_the_commands_that_it_names() -> None:
    (commands,) = (
        action.choices for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    named = set(re.findall(r"(?:^|(?<!import)[`(; ])dockernb ([a-z]+)(?=[\s`;)])", README, re.MULTILINE))
    assert {"doctor", "start", "stop", "lessons"} <= named
    assert named <= set(commands)


@pytest.mark.parametrize(
    "sentence", re.findall(r"^\| (`[^|]+`)[^|]* \|", README.split("## When something")[1], re.MULTILINE)
)
def test_what_it_says_one_sees_is_said(sentence: str) -> None:
    words = [part.strip() for part in sentence.strip("`").split("…") if part.strip()]
    code = "\n".join(path.read_text() for path in (ROOT / "dockernb").rglob("*.py"))
    code = code.replace("{qemu.PROGRAM}", "qemu-system-x86_64")
    assert all(part in code for part in words), sentence
