"""The lab's parts that can be looked at without booting anything."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from labkit import accel, cli, hosttools, kernels, libxls, native, pydeps, roots
from labkit.cache import Cache, digest, digest_files
from labkit.errors import LabError
from labkit.guests import GuestFiles, prospero_tree
from labkit.image import Image
from labkit.lab import Lab, Running, State, Wish, network_options
from labkit.machine import Host, Shape, qemu_command, started_at
from labkit.measures import Measures
from labkit.progress import Progress
from labkit.releases import DEFAULT_XEN, RELEASES, release_of
from labkit.remote import Remote, remote_command
from labkit.sync import Item, Sent, checkout_files
from labkit.transfer import packing
from labkit.tree import Tree

QUIET = Progress(quiet=True)
SHAPE = Shape("tcg", accel.PLAIN_CPU, 4096, 1024, 2, networked=False)


class TestReleases:
    def test_the_default_is_one_of_them(self) -> None:
        assert release_of(DEFAULT_XEN).suite == "bookworm"

    def test_an_unknown_one_is_refused_with_those_there_are(self) -> None:
        with pytest.raises(LabError) as caught:
            release_of("3.1")
        assert "3.1" in caught.value.cause
        assert DEFAULT_XEN in caught.value.fix

    def test_each_brings_its_hypervisor_and_tools(self) -> None:
        for xen, release in RELEASES.items():
            assert f"xen-hypervisor-{xen}-amd64" in release.packages
            assert f"xen-utils-{xen}" in release.packages

    def test_modules_are_filtered_where_the_kernels_package_has_them(self, tmp_path: Path) -> None:
        for release in RELEASES.values():
            words = roots.mmdebstrap_command(release, tmp_path)
            assert f"--dpkgopt=path-exclude={release.modules}/*/kernel/drivers/*" in words
            assert not any("MODULES" in word for word in words)
        assert release_of("4.17").modules != release_of("4.20").modules

    def test_distutils_where_python_still_has_it(self) -> None:
        assert "python3-distutils" in release_of("4.17").build_packages
        assert "python3-distutils" not in release_of("4.20").build_packages


class TestKeys:
    def test_equal_inputs_have_equal_keys(self) -> None:
        assert digest("a", ["b"], {"c": 1}) == digest("a", ["b"], {"c": 1})
        assert digest("a", ["b"]) != digest("a", ["c"])

    def test_files_count_with_name_mode_and_content(self, tmp_path: Path) -> None:
        one = tmp_path / "one"
        one.write_text("text")
        before = digest_files([tmp_path], tmp_path)
        assert digest_files([tmp_path], tmp_path) == before
        one.chmod(0o755)
        executable = digest_files([tmp_path], tmp_path)
        assert executable != before
        one.write_text("other")
        assert digest_files([tmp_path], tmp_path) != executable

    def test_caches_of_python_do_not_count(self, tmp_path: Path) -> None:
        (tmp_path / "a.py").write_text("1")
        before = digest_files([tmp_path], tmp_path)
        (tmp_path / "__pycache__").mkdir()
        (tmp_path / "__pycache__/a.pyc").write_text("2")
        assert digest_files([tmp_path], tmp_path) == before

    def test_another_mirror_is_another_root(self, monkeypatch: pytest.MonkeyPatch) -> None:
        release = release_of(DEFAULT_XEN)
        before = roots.root_key(release)
        monkeypatch.setenv("XEND_LAB_MIRROR", "http://mirror.example/debian")
        assert roots.root_key(release) != before

    def test_packages_go_into_the_new_root_and_never_into_this_machine(
        self, tmp_path: Path
    ) -> None:
        command = roots.mmdebstrap_command(release_of(DEFAULT_XEN), tmp_path / "root")
        installing = [word for word in command if "apt-get" in word]
        assert installing
        assert all('chroot "$1" apt-get' in word for word in installing)


class TestCache:
    def test_a_long_cache_path_still_has_short_socket_paths(self, tmp_path: Path) -> None:
        cache = Cache(tmp_path / ("x" * 120))
        assert len(str(cache.socket_dir("default"))) < 80

    def test_its_place_can_be_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from labkit.cache import default_cache_dir

        monkeypatch.setenv("XEND_LAB_CACHE", str(tmp_path / "lab"))
        assert default_cache_dir() == tmp_path / "lab"
        monkeypatch.delenv("XEND_LAB_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert default_cache_dir() == tmp_path / "xend-lab"

    def test_measures_are_kept(self, tmp_path: Path) -> None:
        measures = Measures(Cache(tmp_path))
        measures.boot("4.17", "cold", 1, 11.5)
        measures.build("4.17", "nothing", 90.0)
        kept = Measures(Cache(tmp_path)).all()
        assert kept["boot 4.17 cold"]["seconds"] == 11.5
        assert kept["build 4.17 from nothing"]["seconds"] == 90.0


class TestState:
    def test_it_survives_writing_and_reading(self) -> None:
        state = State("4.17", "/i", "tcg", "why", "cold", 1.5, (Running(1, "2", 3),))
        assert State.from_json(state.to_json()) == state

    def test_a_process_that_is_gone_is_down(self, tmp_path: Path) -> None:
        lab = Lab(Cache(tmp_path), "default", QUIET)
        assert lab.state() is None
        gone = State("4.17", "/i", "tcg", "w", "cold", 1.0, (Running(2**22 + 1, "5", 3),))
        lab.state_file.write_text(gone.to_json())
        (lab.folder / "started.json").write_text('[{"pid": 4194305, "started": "5", "port": 3}]')
        assert lab.state() is None
        assert lab.down() is False
        assert not lab.state_file.exists()

    def test_a_number_that_another_process_has_now_is_down(self, tmp_path: Path) -> None:
        lab = Lab(Cache(tmp_path), "default", QUIET)
        ours = started_at(os.getpid())
        reused = State("4.17", "/i", "t", "w", "c", 1.0, (Running(os.getpid(), "1", 3),))
        lab.state_file.write_text(reused.to_json())
        assert lab.state() is None
        same = State("4.17", "/i", "t", "w", "c", 1.0, (Running(os.getpid(), ours, 3),))
        lab.state_file.write_text(same.to_json())
        assert lab.state() == same

    def test_a_damaged_file_is_down(self, tmp_path: Path) -> None:
        lab = Lab(Cache(tmp_path), "default", QUIET)
        for text in ("", "{", "[]", json.dumps({"xen": "4.17"})):
            lab.state_file.write_text(text)
            assert lab.state() is None

    def test_a_host_that_is_not_there(self, tmp_path: Path) -> None:
        lab = Lab(Cache(tmp_path), "default", QUIET)
        with pytest.raises(LabError, match="not running"):
            lab.remote(0)
        running = Running(os.getpid(), started_at(os.getpid()), 3)
        lab.state_file.write_text(State("4.17", "/i", "t", "w", "c", 1.0, (running,)).to_json())
        assert lab.remote(0).port == 3
        with pytest.raises(LabError, match="no host 1"):
            lab.remote(1)


class TestMachine:
    def command(self, tmp_path: Path, **more: object) -> list[str]:
        host = Host(0, tmp_path, tmp_path)
        return qemu_command(SHAPE, Image(tmp_path), host, 2222, **more)  # type: ignore[arg-type]

    def test_xen_is_the_kernel_and_linux_its_module(self, tmp_path: Path) -> None:
        words = self.command(tmp_path)
        assert words[words.index("-kernel") + 1].endswith("/xen")
        assert "/vmlinux " in words[words.index("-initrd") + 1]
        assert "dom0_mem=1024M,max:1024M" in words[words.index("-append") + 1]

    def test_a_snapshot_differs_in_nothing_that_a_guest_sees(self, tmp_path: Path) -> None:
        cold = self.command(tmp_path)
        woken = self.command(tmp_path, incoming=tmp_path / "state")
        assert woken[: len(cold)] == cold
        assert woken[len(cold)] == "-incoming"

    def test_one_host_has_no_network_with_others(self, tmp_path: Path) -> None:
        assert not any("id=lan" in word for word in self.command(tmp_path))

    def test_host_0_is_the_switch(self) -> None:
        ports = [7001, 7002]
        switch = network_options(0, ports)
        assert "socket,id=peer1,listen=127.0.0.1:7001" in switch
        assert "socket,id=peer2,listen=127.0.0.1:7002" in switch
        assert network_options(2, ports) == ["-netdev", "socket,id=lan,connect=127.0.0.1:7002"]

    def test_hosts_that_share_a_machine_get_one_cpu_each(self) -> None:
        release = release_of(DEFAULT_XEN)
        assert Wish(release).shape().cpus == 2
        assert Wish(release, hosts=2).shape().cpus == 1
        assert Wish(release, hosts=2, cpus=4).shape().cpus == 4


class TestAcceleration:
    def test_it_can_be_forced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XEND_LAB_ACCEL", "tcg")
        found = accel.choose(Cache(tmp_path), Image(tmp_path), SHAPE, QUIET)
        assert found.kind == "tcg"
        monkeypatch.setenv("XEND_LAB_ACCEL", "magic")
        with pytest.raises(LabError, match="magic"):
            accel.choose(Cache(tmp_path), Image(tmp_path), SHAPE, QUIET)

    def test_without_kvm_it_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(accel, "KVM", tmp_path / "none")
        monkeypatch.delenv("XEND_LAB_ACCEL", raising=False)
        found = accel.choose(Cache(tmp_path), Image(tmp_path), SHAPE, QUIET)
        assert (found.kind, "no /dev/kvm" in found.why) == ("tcg", True)
        monkeypatch.setenv("XEND_LAB_ACCEL", "kvm")
        with pytest.raises(LabError, match="no /dev/kvm"):
            accel.choose(Cache(tmp_path), Image(tmp_path), SHAPE, QUIET)


class TestCommandLine:
    def test_every_verb_of_the_parser_is_there(self) -> None:
        words = {"build", "up", "sync", "exec", "push", "pull", "shell", "logs", "down", "status"}
        assert words | {"reboot", "clean"} == set(cli.VERBS)

    def test_exec_leaves_the_command_alone(self) -> None:
        words = cli.parser().parse_args(["exec", "--host", "1", "--", "xl", "-v", "--host", "2"])
        assert words.host == 1
        assert words.command[-4:] == ["xl", "-v", "--host", "2"]

    def test_exec_without_a_command(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("XEND_LAB_CACHE", str(tmp_path))
        assert cli.main(["exec", "--"]) == cli.USAGE
        assert "needs a command" in capsys.readouterr().err

    def test_a_verb_that_needs_the_lab_says_how_to_start_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("XEND_LAB_CACHE", str(tmp_path))
        for verb, status in (
            (["exec", "--", "true"], cli.NO_WAY_IN),
            (["shell"], cli.NO_WAY_IN),
            (["push", "a", "b"], cli.FAILED),
            (["pull", "a", "b"], cli.FAILED),
        ):
            assert cli.main(verb) == status
            said = capsys.readouterr().err
            assert "not running" in said
            assert "scripts/lab up" in said

    def test_status_and_down_of_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("XEND_LAB_CACHE", str(tmp_path))
        assert cli.main(["status"]) == 0
        assert capsys.readouterr().out.splitlines()[0] == "down"
        assert cli.main(["down"]) == 0
        assert cli.main(["down"]) == 0

    def test_clean_removes_the_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        place = tmp_path / "cache"
        monkeypatch.setenv("XEND_LAB_CACHE", str(place))
        monkeypatch.setattr(cli, "as_root", list)
        assert cli.main(["clean"]) == 0
        assert not place.exists()

    def test_too_many_hosts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("XEND_LAB_CACHE", str(tmp_path))
        assert cli.main(["up", "--hosts", "99"]) == cli.FAILED
        assert "--hosts 99" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--name", "../x", "status"], "../x"),
            (["--name", "", "down"], "cannot be a lab's name"),
            (["up", "--memory", "512", "--dom0-mem", "512"], "--dom0-mem 512"),
            (["up", "--dom0-mem", "4"], "--dom0-mem 4"),
            (["up", "--xen", "3.1"], "3.1"),
        ],
    )
    def test_what_cannot_be_is_said_before_anything_is_made(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        words: list[str],
        told: str,
    ) -> None:
        monkeypatch.setenv("XEND_LAB_CACHE", str(tmp_path / "cache"))
        assert cli.main(words) == cli.FAILED
        assert told in capsys.readouterr().err
        assert not list(tmp_path.glob("cache/images/*"))

    def test_a_timeout_that_is_no_number(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("XEND_LAB_CACHE", str(tmp_path))
        monkeypatch.setenv("XEND_LAB_TIMEOUT", "soon")
        assert cli.main(["up"]) == cli.FAILED
        assert "XEND_LAB_TIMEOUT is 'soon'" in capsys.readouterr().err


class TestRemoteCommands:
    def test_several_words_reach_the_program_unchanged(self) -> None:
        line = remote_command(["echo", "a b", "$HOME", "it's"], terminal=False)
        assert line == "exec /usr/lib/xend-lab/labrun echo 'a b' '$HOME' 'it'\"'\"'s'"

    def test_one_word_is_for_the_shell_if_it_needs_one(self) -> None:
        assert remote_command(["xl list | wc -l"], terminal=False).endswith(
            "/bin/sh -c 'xl list | wc -l'"
        )
        assert remote_command(["/bin/true"], terminal=False).endswith("labrun /bin/true")

    def test_a_terminal_hangs_up_by_itself(self) -> None:
        assert remote_command(["xl", "console", "a"], terminal=True) == "exec xl console a"

    def test_the_users_own_ssh_is_left_alone(self, tmp_path: Path) -> None:
        words = Remote(0, 2222, tmp_path, tmp_path / "control").ssh()
        assert words[words.index("-F") + 1] == "/dev/null"
        assert f"UserKnownHostsFile={tmp_path / 'known_hosts'}" in words
        assert "LogLevel=ERROR" in words

    def test_archives_belong_to_what_tar_reads(self) -> None:
        sink = io.BytesIO()
        with packing(sink) as archive:
            info = tarfile.TarInfo("file")
            info.size = 4
            archive.addfile(info, io.BytesIO(b"data"))
        sink.seek(0)
        with tarfile.open(fileobj=sink, mode="r:gz") as archive:
            assert archive.getnames() == ["file"]


class TestHostTools:
    def test_a_user_is_told_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hosttools, "is_root", lambda: False)
        with pytest.raises(LabError) as caught:
            hosttools.ensure({"no-such-program": "its-package"}, QUIET)
        assert "its-package" in caught.value.cause
        assert "sudo apt-get install" in caught.value.fix

    def test_nothing_is_missing_where_all_is_there(self) -> None:
        assert "coreutils" not in hosttools.missing_packages({"true": "coreutils"})

    def test_pip_is_taken_from_the_checkout_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So that a machine that scripts/bootstrap has been run on needs no other."""
        pip = tmp_path / ".venv/bin/python"
        pip.parent.mkdir(parents=True)
        pip.write_text("#!/bin/sh\nexit 0\n")
        pip.chmod(0o755)
        monkeypatch.setattr(hosttools, "CHECKOUT", tmp_path)
        assert hosttools.pip_command() == [str(pip), "-m", "pip"]

    def test_an_archive_that_is_out_of_order_does_not_stop_an_installation(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said = tmp_path / "said"
        (tmp_path / "apt-get").write_text(
            f'#!/bin/sh\necho "$@" >>{said}\ncase "$*" in *update*) exit 100 ;; esac\n'
        )
        (tmp_path / "apt-get").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setattr(hosttools, "is_root", lambda: True)
        hosttools.ensure({"no-such-program": "its-package"}, QUIET)
        update, install = said.read_text().splitlines()
        assert update.endswith("update")
        assert "Acquire::Retries=3" in install
        assert install.endswith("install -y --no-install-recommends its-package")


class TestPythonDependencies:
    def test_they_come_from_pyproject(self, tmp_path: Path) -> None:
        pyproject = tmp_path / "pyproject.toml"
        pyproject.write_text(
            '[project]\ndependencies = ["b", "a>=1"]\n'
            '[project.optional-dependencies]\ntest = ["t"]\ncheck = ["ruff"]\n'
        )
        assert pydeps.requirements(pyproject) == ["a>=1", "b", "t"]

    def test_no_checkout(self, tmp_path: Path) -> None:
        with pytest.raises(LabError, match=r"pyproject\.toml"):
            pydeps.requirements(tmp_path / "pyproject.toml")

    def test_byte_code_is_kept_by_content(self, tmp_path: Path) -> None:
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        release, cache = replace(release_of(DEFAULT_XEN), python=here), Cache(tmp_path)
        assert pydeps.matching_python(release) is not None
        compiled = f"xend/__pycache__/a.cpython-{here.replace('.', '')}.pyc"
        sources = {"xend/a.py": b"answer = 42\n", "xend/broken.py": b"def\n"}
        made = pydeps.byte_compile_files(release, cache, sources, "/usr/lib/xend/lib")
        assert list(made) == [compiled]
        code = made[compiled]
        assert struct.unpack("<I", code[4:8])[0] == 1, "hash-based and not checked"
        assert b"/usr/lib/xend/lib/xend/a.py" in code
        assert pydeps.byte_compile_files(release, cache, sources, "/usr/lib/xend/lib") == made


class TestSync:
    def test_neither_caches_nor_foreign_binaries_are_sent(self, tmp_path: Path) -> None:
        for name in (
            "pyproject.toml",
            "xend/a.py",
            "xend/__pycache__/a.pyc",
            "xend/libxl/_xl.so",
            "tests/.hypothesis/x",
            ".git/config",
            "other/file",
        ):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        names = [str(path.relative_to(tmp_path)) for path in checkout_files(tmp_path)]
        assert names == ["pyproject.toml", "xend/a.py"]

    def test_mode_link_and_content_decide_what_is_sent(self) -> None:
        plain = Item(b"x")
        assert plain.digest() == Item(b"x").digest()
        others = {Item(b"y").digest(), Item(b"x", 0o755).digest(), Item(b"x", link="/a").digest()}
        assert len(others | {plain.digest()}) == 4

    def test_a_reboot_forgets_what_was_sent(self, tmp_path: Path) -> None:
        Sent(tmp_path, Running(1, "10", 3)).save({"a": "b"})
        assert Sent(tmp_path, Running(1, "10", 3)).load() == {"a": "b"}
        assert Sent(tmp_path, Running(1, "11", 3)).load() == {}


def elf(segments: list[tuple[int, int, int, bytes, int]]) -> bytes:
    """A 64 bit ELF file of (type, offset, virtual address, data, size in memory)."""
    header = bytearray(64)
    header[:4] = kernels.ELF_MAGIC
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<Q", header, 40, 99999)
    struct.pack_into("<HHHHH", header, 54, 56, len(segments), 64, 30, 29)
    table = b"".join(
        struct.pack("<IIQQQQQQ", kind, 7, offset, address, address, len(data), size, 1 << 21)
        for kind, offset, address, data, size in segments
    )
    image = bytearray(max(offset + len(data) for _, offset, _, data, _ in segments))
    image[: 64 + len(table)] = bytes(header) + table
    for _, offset, _, data, _ in segments:
        image[offset : offset + len(data)] = data
    return bytes(image)


class TestKernels:
    def test_slimming_keeps_what_is_loaded(self) -> None:
        text = b"code" + b"\0" * 10000 + b"note" + b"\0" * 50000
        whole = elf([(1, 0x10000, 0x1000, text, 70000), (4, 0x10000 + 10004, 0x370B, b"note", 4)])
        slim = kernels.slim_elf(whole)
        assert len(slim) < len(whole) / 3
        load = struct.unpack_from("<IIQQQQQQ", slim, 64)
        assert (load[3], load[6]) == (0x1000, 70000), "same address, same size in memory"
        assert slim[load[2] : load[2] + load[5]] == text.rstrip(b"\0")
        note = struct.unpack_from("<IIQQQQQQ", slim, 64 + 56)
        assert slim[note[2] : note[2] + note[5]] == b"note"
        assert struct.unpack_from("<Q", slim, 40)[0] == 0, "no section table"

    def test_a_bzimage_is_opened(self) -> None:
        import gzip

        payload = gzip.compress(elf([(1, 0x1000, 0, b"x", 1)]))
        payload += struct.pack("<I", 0)
        image = bytearray(0x400 + 0x200)
        image[kernels.SETUP_SECTS] = 1
        image[kernels.HEADER_MAGIC : kernels.HEADER_MAGIC + 4] = b"HdrS"
        struct.pack_into("<II", image, kernels.PAYLOAD, 0x100, len(payload))
        image[0x400 + 0x100 :] = payload
        assert kernels.vmlinux_of(bytes(image)).startswith(kernels.ELF_MAGIC)

    def test_something_else_is_refused(self) -> None:
        with pytest.raises(LabError, match="vmlinuz-x is not a bzImage"):
            kernels.vmlinux_of(b"\0" * 4096, "vmlinuz-x")

    def test_modules_come_after_what_they_need(self, tmp_path: Path) -> None:
        (tmp_path / "modules.dep").write_text(
            "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko\n"
            "kernel/fs/jbd2/jbd2.ko:\nkernel/lib/crc16.ko:\n"
            "kernel/drivers/net/xen-netfront.ko:\n"
        )
        order = [path.name for path in kernels.module_order(tmp_path, ["xen_netfront", "ext4"])]
        assert order == ["xen-netfront.ko", "crc16.ko", "jbd2.ko", "ext4.ko"]
        with pytest.raises(LabError, match="btrfs"):
            kernels.module_order(tmp_path, ["btrfs"])

    def test_what_is_built_in_needs_no_loading_and_what_is_compressed_is_opened(
        self, tmp_path: Path
    ) -> None:
        import lzma

        (tmp_path / "kernel").mkdir()
        (tmp_path / "kernel/ext4.ko.xz").write_bytes(lzma.compress(b"ext4's code"))
        (tmp_path / "kernel/xen-blkfront.ko").write_bytes(b"blkfront's code")
        (tmp_path / "modules.dep").write_text("kernel/ext4.ko.xz:\nkernel/xen-blkfront.ko:\n")
        (tmp_path / "modules.builtin").write_text("kernel/drivers/virtio/virtio_pci.ko\n")
        found = kernels.loadable(tmp_path, ["virtio_pci", "ext4", "xen_blkfront"])
        assert list(found.items()) == [
            ("ext4.ko", b"ext4's code"),
            ("xen-blkfront.ko", b"blkfront's code"),
        ]
        with pytest.raises(LabError, match="virtio_net"):
            kernels.loadable(tmp_path, ["virtio_net"])

    def test_the_archive_is_what_linux_reads(self) -> None:
        archive = kernels.cpio([kernels.directory("dev"), kernels.file("init", b"#!", True)])
        assert archive.startswith(b"070701")
        assert archive.count(b"070701") == 3
        assert b"TRAILER!!!" in archive
        assert len(archive) % 4 == 0
        assert b"000081ED" in archive, "an executable file"

    def test_the_shipped_guest_looks_like_one_of_its_time(self, tmp_path: Path) -> None:
        modules = tmp_path / "modules"
        for name in ("xen-netfront", "xen-blkfront", "crc32c_generic", "ext4"):
            (modules / "kernel").mkdir(parents=True, exist_ok=True)
            (modules / f"kernel/{name}.ko").write_bytes(b"module")
        (modules / "modules.dep").write_text(
            "".join(f"kernel/{path.name}:\n" for path in (modules / "kernel").iterdir())
        )
        tree = prospero_tree(GuestFiles(b"kernel", "6.1-test", modules, b"busybox")).nodes
        assert tree["boot/grub/menu.lst"].target == "./grub.conf"
        assert b"root (hd0,0)" in tree["boot/grub/grub.conf"].data
        assert tree["boot/vmlinuz-6.1-test"].data == b"kernel"
        for program in ("sbin/poweroff", "sbin/reboot", "sbin/ifconfig", "bin/ping", "bin/dmesg"):
            assert tree[program].target.endswith("busybox")
        assert tree["etc/shadow"].mode == 0o600

    def test_a_tree_travels_with_its_modes_and_belongs_to_root(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub/program").write_text("x")
        (tmp_path / "sub/program").chmod(0o755)
        tree = Tree()
        tree.copy(tmp_path, "at")
        tree.folder("empty", 0o1777)
        tree.symlink("link", "at/sub")
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode="w") as archive:
            tree.write(archive, "tree")
        sink.seek(0)
        with tarfile.open(fileobj=sink) as archive:
            members = {info.name: info for info in archive}
        assert members["tree/at/sub/program"].mode == 0o755
        assert members["tree/empty"].mode == 0o1777
        assert members["tree/link"].linkname == "at/sub"
        assert {(info.uid, info.gid) for info in members.values()} == {(0, 0)}


class TestNative:
    def test_a_result_is_kept_by_its_inputs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = tmp_path / "root"
        (root / "tmp").mkdir(parents=True)
        fake = tmp_path / "bin"
        fake.mkdir()
        # A chroot that stays where it is, so that no root has to be unpacked.
        (fake / "chroot").write_text(
            '#!/bin/sh\nroot=$1; shift 3\ncd "$root"\n'
            'exec /bin/sh -ec "$(echo "$1" | sed "s#cd \'/#cd \'#")"\n'
        )
        (fake / "chroot").chmod(0o755)
        monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
        monkeypatch.setattr(native, "as_root", list)
        cache = Cache(tmp_path / "cache")

        def build(command: str) -> dict[str, bytes]:
            return native.compile_in_root(cache, root, "thing", {"a": b"1"}, command, QUIET)

        assert build("cp a ../out/b; date >>../out/when")["b"] == b"1"
        first = build("cp a ../out/b; date >>../out/when")
        assert build("cp a ../out/b; date >>../out/when") == first
        assert list((root / "tmp").iterdir()) == []
        with pytest.raises(LabError, match="no such luck"):
            build("echo no such luck >&2; exit 3")


class TestOneSourceForSeveralLibxls:
    """scripts/check-libxl does it with the real ones; here, that it would notice."""

    @pytest.fixture
    def release(self, tmp_path: Path) -> Path:
        """A libxl of one function."""
        folder = tmp_path / "release"
        for name in ("include", "lib"):
            (folder / name).mkdir(parents=True)
        (folder / "include/libxl.h").write_text("int libxl_old(int domid);\n")
        for name in ("xenlight", "xentoollog", "xenstore"):
            self._compile(folder / f"lib/lib{name}.so.4.99.0", "int libxl_old(int d) { return d; }")
            (folder / f"lib/lib{name}.so").symlink_to(f"lib{name}.so.4.99.0")
        return folder

    @staticmethod
    def _compile(library: Path, text: str) -> None:
        command = ["gcc", "-shared", "-fPIC", "-o", str(library), "-x", "c", "-"]
        subprocess.run(command, input=text.encode(), check=True)

    @staticmethod
    def _source(folder: Path, body: str) -> Path:
        path = folder / "binding.c"
        path.write_text(f"#include <Python.h>\n#include <libxl.h>\nint f(int d) {{ {body} }}\n")
        return path

    def test_what_fits(self, tmp_path: Path, release: Path) -> None:
        source = self._source(tmp_path, "return libxl_old(d) + (int)Py_IsInitialized();")
        assert libxls.compile_against(release, source) == "libxenlight.so.4.99.0"

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ("return libxl_new(d);", "libxl_new"),
            ("return libxl_old(d, 1);", "too many arguments"),
            ("int libxl_gone(int); return libxl_gone(d);", "undefined reference to `libxl_gone'"),
        ],
    )
    def test_what_does_not(self, tmp_path: Path, release: Path, body: str, told: str) -> None:
        with pytest.raises(LabError) as caught:
            libxls.compile_against(release, self._source(tmp_path, body))
        assert "does not fit libxenlight.so.4.99.0" in caught.value.cause
        assert told in caught.value.cause
