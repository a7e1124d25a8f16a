"""Managed domains on disk."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.simhost import disk, guest
from xend.model.domain import DomainConfig
from xend.store.repository import FileRepository, RepositoryError


@pytest.fixture
async def repository(tmp_path: Path) -> AsyncIterator[FileRepository]:
    repository = FileRepository(
        tmp_path / "domains", DomainConfig.model_dump_json, DomainConfig.model_validate_json
    )
    yield repository
    await repository.close()


async def test_the_layout_of_the_original(repository: FileRepository, tmp_path: Path) -> None:
    config = guest(disks=(disk(),))
    await repository.save(config)
    directory = tmp_path / "domains" / str(config.uuid)
    assert [entry.name for entry in directory.iterdir()] == ["config.sxp"]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "config.sxp").stat().st_mode) == 0o600
    assert repository.checkpoint_path(config.uuid) == directory / "checkpoint.chk"
    [found], broken = await repository.load()
    assert (found.config, found.checkpoint, broken) == (config, None, [])
    (directory / "checkpoint.chk").touch()
    [found], _ = await repository.load()
    assert found.checkpoint == directory / "checkpoint.chk"


async def test_nothing_there_is_nothing_wrong(repository: FileRepository) -> None:
    assert await repository.load() == ([], [])
    await repository.delete(uuid4())


async def test_delete_takes_the_checkpoint_along(
    repository: FileRepository, tmp_path: Path
) -> None:
    config = guest()
    await repository.save(config)
    repository.checkpoint_path(config.uuid).touch()
    await repository.delete(config.uuid)
    assert [*(tmp_path / "domains").iterdir()] == []


@pytest.mark.parametrize("left", [".config.sxp.new", "checkpoint.chk.partial"])
async def test_what_was_cut_off_while_it_was_new_leaves_nothing(
    repository: FileRepository, tmp_path: Path, left: str
) -> None:
    """A `new`, or an import that was copying memory; somebody's own file is left alone."""
    entry, theirs = (tmp_path / "domains" / str(uuid4()) for _ in range(2))
    for folder in (entry, theirs):
        folder.mkdir(parents=True)
        (folder / left).touch()
    (theirs / "notes").touch()
    managed, broken = await repository.load()
    assert managed == [] and [each.path for each in broken] == [theirs]
    assert not entry.exists() and (theirs / left).exists()


async def test_broken_entries_are_named_and_left_alone(
    repository: FileRepository, tmp_path: Path
) -> None:
    root = tmp_path / "domains"
    good, other = guest("good"), guest("other")
    await repository.save(good)
    (root / "notes.txt").write_text("hello")
    (root / "lost+found").mkdir()
    (root / str(uuid4())).mkdir()
    truncated = root / str(uuid4())
    truncated.mkdir()
    (truncated / "config.sxp").write_text('{"name": "tru')
    swapped = root / str(uuid4())
    swapped.mkdir()
    (swapped / "config.sxp").write_text(other.model_dump_json())
    managed, broken = await repository.load()
    assert [each.config.name for each in managed] == ["good"]
    reasons = {entry.path.name: entry.reason for entry in broken}
    assert len(reasons) == 5
    assert reasons["notes.txt"] == "not a directory of a managed domain"
    assert reasons["lost+found"] == "its name is not a uuid"
    assert f"of another domain, with the uuid {other.uuid}" in reasons[swapped.name]
    assert "there is no config.sxp in it" in reasons.values()
    assert (root / "notes.txt").exists()
    assert (truncated / "config.sxp").exists()


async def test_a_write_that_fails_leaves_the_old_text(
    repository: FileRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = guest("old")
    await repository.save(config)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xend.store.repository.os.fsync", full)
    with pytest.raises(RepositoryError, match="No space left on device"):
        await repository.save(config.model_copy(update={"name": "new"}))
    monkeypatch.undo()
    directory = tmp_path / "domains" / str(config.uuid)
    assert [entry.name for entry in directory.iterdir()] == ["config.sxp"]
    [found], _ = await repository.load()
    assert found.config.name == "old"


async def test_what_a_kill_left_is_cleaned_up(repository: FileRepository, tmp_path: Path) -> None:
    config = guest()
    await repository.save(config)
    directory = tmp_path / "domains" / str(config.uuid)
    (directory / ".config.sxp.new").write_text("half")
    half_deleted = tmp_path / "domains" / f".deleted-{uuid4()}"
    half_deleted.mkdir()
    (half_deleted / "checkpoint.chk").touch()
    [found], broken = await repository.load()
    assert (found.config, broken) == (config, [])
    assert [entry.name for entry in directory.iterdir()] == ["config.sxp"]
    assert not half_deleted.exists()


async def test_what_could_not_be_written_leaves_no_directory(
    repository: FileRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    kept, new = guest("kept"), guest("new")
    await repository.save(kept)
    monkeypatch.setattr("xend.store.repository._write", full)
    for config in (kept, new):
        with pytest.raises(RepositoryError, match="No space left on device"):
            await repository.save(config)
    managed, broken = await repository.load()
    assert ([each.config for each in managed], broken) == ([kept], [])
