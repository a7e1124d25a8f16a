"""`ports.Records` on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from xend.store.records import RecordsError, SqliteRecords


class Now:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


async def test_records_outlive_their_writer(tmp_path: Path) -> None:
    first = SqliteRecords(tmp_path / "xend.db")
    assert await first.add("token", "a", {"role": "viewer"})
    assert not await first.add("token", "a", {"role": "admin"})
    await first.put("token", "b", {"n": 1})
    await first.close()
    second = SqliteRecords(tmp_path / "xend.db")
    assert await second.all("token") == [("a", {"role": "viewer"}), ("b", {"n": 1})]
    assert await second.get("key", "a") is None
    assert await second.drop("token", "a") and not await second.drop("token", "a")
    assert await second.get("token", "a") is None
    await second.close()


async def test_what_has_expired_is_not_there(tmp_path: Path) -> None:
    now = Now()
    records = SqliteRecords(tmp_path / "xend.db", now=now)
    await records.add("key", "x", {"n": 1}, expires=1010.0)
    assert await records.get("key", "x") == {"n": 1}
    now.seconds = 1011.0
    assert await records.get("key", "x") is None and await records.all("key") == []
    assert await records.add("key", "x", {"n": 2}, expires=1020.0)
    assert await records.get("key", "x") == {"n": 2}
    await records.close()


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "xend.db").write_text("no database at all" * 100)
    records = SqliteRecords(tmp_path / "xend.db")
    with pytest.raises(RecordsError, match="not a database"):
        await records.get("key", "x")
    await records.close()
