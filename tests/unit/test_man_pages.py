"""The manuals as man pages: what `scripts/install` puts where `man` looks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from xend.cli.table import BY_NAME
from xend.cli.xltable import BY_NAME as XL_BY_NAME

CHECKOUT = Path(__file__).parents[2]
PAGES = (
    "man1/xl.1xend",
    "man1/xm.1",
    "man5/xend-config.sxp.5",
    "man8/xend.8",
    "man8/xendomains.8",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, CHECKOUT / "scripts/gen-man", folder], check=True)
    return folder


def shown(page: Path) -> str:
    """As a terminal shows it; a complaint of the formatter is a failure."""
    done = subprocess.run(
        ["nroff", "-man", "-ww", "-c", "-Tutf8", page], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return re.sub(r".\x08|\x1b\[[0-9;]*m", "", done.stdout)


def test_there_is_a_page_for_every_manual(folder: Path) -> None:
    """That of xl not under the name of the distribution's."""
    made = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert tuple(made) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_it_is_formatted_without_a_complaint(folder: Path, page: str) -> None:
    text = shown(folder / page)
    assert re.search(r"^NAME\n +\S+ - \w", text, re.MULTILINE)
    markup = re.findall(r"\*\*|^ *\|.*\||^ *#|```", text, re.MULTILINE)
    assert markup == []


def test_every_subcommand_is_in_its_page(folder: Path) -> None:
    for page, names in (("man1/xm.1", BY_NAME), ("man1/xl.1xend", XL_BY_NAME)):
        words = set(re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", shown(folder / page)))
        assert set(names) - words == set()
