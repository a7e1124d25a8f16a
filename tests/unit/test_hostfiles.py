"""What is read of dom0's file system."""

from __future__ import annotations

import os
import re
from pathlib import Path

from xend.store.hostfiles import LocalFiles, boot_id


async def test_userdata_is_recognised_by_its_name(tmp_path: Path) -> None:
    uuid = "9b3b6a0e-1c2d-4e5f-8a9b-0c1d2e3f4a5b"
    for name in (
        f"userdata-d.12.{uuid}.libxl-json",
        f"userdata-l.3.{uuid}.domain-userdata-lock",
        f"userdata-d.x.{uuid}.xl",
        f"userdata-d.12.{uuid}",
        "userdata-d.12.short.xl",
        "other",
    ):
        (tmp_path / name).touch()
    (tmp_path / f"userdata-d.9.{uuid}.directory").mkdir()
    files = LocalFiles(libxl=tmp_path)
    found = {(each.domid, each.uuid, each.path.name[:10]) for each in await files.userdata()}
    assert found == {(12, uuid, "userdata-d"), (3, uuid, "userdata-l")}
    await files.close()
    nothing = LocalFiles(libxl=tmp_path / "nowhere")
    assert await nothing.userdata() == []
    await nothing.close()


def test_the_boot_has_a_name() -> None:
    assert re.fullmatch(r"[0-9a-f-]{36}", boot_id())


async def test_what_would_be_waited_for_is_no_file(tmp_path: Path) -> None:
    """Opening a fifo waits for its other end: for a file that a client names, for ever."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("")
    files = LocalFiles()
    reasons = {
        name: await files.reason_unreadable(tmp_path / name)
        for name in ("fifo", "file", "nothing", ".")
    }
    await files.close()
    assert reasons == {
        "fifo": "Not a regular file or block device",
        "file": "",
        "nothing": "No such file or directory",
        ".": "Is a directory",
    }
