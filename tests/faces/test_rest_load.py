"""The short form of `make load`."""

from __future__ import annotations

from pathlib import Path

from tests.bench.rest_load import load


def test_many_clients_at_once(tmp_path: Path) -> None:
    work = load(tmp_path, clients=40, seconds=5, domains=50)
    print(work.report())
    assert work.complaints() == []
