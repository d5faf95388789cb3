"""The lab host's root file system: what decides what goes in, and the sentences for what goes wrong."""

import errno
import json
import lzma
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dockernb.errors import BuildError
from dockernb.labhost import debian, initrd, qemu, rootfs, template

needs_dpkg = pytest.mark.skipif(
    not shutil.which("dpkg-deb"), reason="dpkg-deb makes the package of this test"
)


def quiet(text, fraction):
    """A report that nobody reads."""


# The recipe


def test_each_engine_has_a_digest_of_its_own():
    assert len({rootfs.recipe_digest(engine) for engine in debian.ENGINES}) == len(debian.ENGINES)


def words(name):
    return debian.read_words((rootfs.RECIPE / name).read_text())


def test_comments_are_no_words():
    assert debian.read_words("# nothing\na b # c\n\nd") == ["a", "b", "d"]


def test_no_package_is_named_twice_or_both_wanted_and_withheld():
    names = words("packages.txt") + words("withheld.txt")
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("path", "left_out"),
    [
        ("usr/share/doc/fio", True),
        ("usr/share/doc/fio/changelog.gz", True),
        ("usr/share/doc/fio/copyright", False),
        ("usr/share/documents", False),
        ("usr/lib/postgresql/17/lib/llvmjit.so", True),
        ("usr/lib/postgresql/17/bin/postgres", False),
        ("usr/lib/modules/6.12/kernel/drivers/net/macvlan.ko.xz", False),
        ("usr/lib/modules/6.12/kernel/fs/nfs/nfs.ko.xz", False),
        ("usr/lib/modules/6.12/kernel/drivers/hid/hid.ko.xz", True),
        ("usr/bin/containerd-shim-runc-v2", False),
        ("etc/nginx/mime.types", False),
    ],
)
def test_what_is_left_out(path, left_out):
    assert (path in debian.LeftOut(words("left-out.txt"))) is left_out


def test_the_last_pattern_that_matches_decides():
    assert "a/b" not in debian.LeftOut(["a", "!a/b"])
    assert "a/b" in debian.LeftOut(["!a/b", "a"])


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    copy = tmp_path / "recipe"
    shutil.copytree(rootfs.RECIPE, copy)
    monkeypatch.setattr(rootfs, "RECIPE", copy)
    return copy


@pytest.mark.parametrize(
    "name", ["packages.txt", "left-out.txt", "host/usr/lib/dockernb/init", "images/api/image.toml"]
)
def test_a_changed_recipe_has_another_digest(recipe, name):
    before = rootfs.recipe_digest()
    with (recipe / name).open("a") as file:
        file.write("# another line\n")
    assert rootfs.recipe_digest() != before


def test_a_new_or_moved_file_changes_the_digest(recipe):
    before = rootfs.recipe_digest()
    (recipe / "host/etc/new").write_text("x")
    added = rootfs.recipe_digest()
    (recipe / "host/etc/new").rename(recipe / "host/etc/moved")
    assert len({before, added, rootfs.recipe_digest()}) == 3


def test_dates_caches_and_the_mirror_leave_the_digest_alone(recipe, monkeypatch):
    before = rootfs.recipe_digest()
    os.utime(recipe / "packages.txt", (0, 0))
    (recipe / "images/api/__pycache__").mkdir()
    (recipe / "images/api/__pycache__/api.pyc").write_bytes(b"x")
    monkeypatch.setenv("DOCKERNB_MIRROR", "http://mirror.example/debian")
    assert rootfs.recipe_digest() == before


# Packages


def test_name_and_version_of_a_package_file():
    package = debian.Package.of(Path("/x/conntrack_1%3a1.4.8-2_amd64.deb"))
    assert (package.name, package.version) == ("conntrack", "1:1.4.8-2")


def test_the_mirror_is_one_variable(monkeypatch):
    monkeypatch.delenv("DOCKERNB_MIRROR", raising=False)
    assert debian.mirror() == "http://deb.debian.org/debian"
    monkeypatch.setenv("DOCKERNB_MIRROR", "http://mirror.example/debian/")
    assert debian.mirror() == "http://mirror.example/debian"


def test_apt_neither_reads_nor_touches_the_learners_configuration(tmp_path):
    config = debian._configure_apt(tmp_path / "apt", ["perl"], debian.SUITE)
    environment = os.environ | {"APT_CONFIG": str(config)}
    shown = subprocess.run(
        [
            "apt-config",
            "shell",
            "LISTS",
            "Dir::State::lists/d",
            "STATUS",
            "Dir::State::status/f",
            "ETC",
            "Dir::Etc/d",
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    places = [line.split("=")[1].strip("'") for line in shown.splitlines()]
    assert len(places) == 3
    assert all(place.startswith(str(tmp_path)) for place in places)
    assert "Package: perl\nStatus: install ok installed\n" in (tmp_path / "apt/status").read_text()


def package(tmp_path, files):
    """A Debian package with the given files: path to content and mode."""
    root = tmp_path / "package"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: sample\nVersion: 1.0\nArchitecture: all\nMaintainer: test\nDescription: test\n"
    )
    for name, (content, mode) in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
        (root / name).chmod(mode)
    (root / "usr/link").symlink_to("bin/tool")
    file = tmp_path / "sample_1.0_all.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", root, file], check=True, capture_output=True, timeout=30
    )
    return debian.Package.of(file)


@needs_dpkg
def test_unpacking_keeps_modes_and_links_and_leaves_out(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "chown", lambda *arguments, **options: None)
    monkeypatch.setattr(os, "lchown", lambda *arguments: None)
    sample = package(
        tmp_path,
        {
            "usr/bin/tool": ("x", 0o4755),
            "usr/share/doc/s/copyright": ("c", 0o644),
            "usr/share/doc/s/x": ("", 0o644),
        },
    )
    fractions = []
    left_out = debian.LeftOut(["usr/share/doc", "!usr/share/doc/*/copyright"])
    debian.unpack([sample], tmp_path / "tree", left_out, progress=fractions.append)
    found = sorted(
        str(path.relative_to(tmp_path / "tree"))
        for path in (tmp_path / "tree").rglob("*")
        if not path.is_dir()
    )
    assert found == ["usr/bin/tool", "usr/link", "usr/share/doc/s/copyright"]
    assert (tmp_path / "tree/usr/bin/tool").stat().st_mode & 0o7777 == 0o4755
    assert str((tmp_path / "tree/usr/link").readlink()) == "bin/tool"
    assert fractions == [1.0]


@needs_dpkg
def test_a_damaged_package_is_named(tmp_path):
    sample = package(tmp_path, {"usr/bin/tool": ("x" * 5000, 0o755)})
    sample.file.write_bytes(sample.file.read_bytes()[:-200])
    with pytest.raises(BuildError, match=r"The package sample_1\.0_all\.deb is damaged"):
        debian.unpack([sample], tmp_path / "tree", debian.LeftOut([]), progress=lambda fraction: None)


# What goes wrong, in one sentence


@pytest.mark.parametrize(
    ("complaint", "sentence"),
    [
        (
            "Failed to fetch http://m/InRelease  Could not resolve 'm'",
            r"The Debian mirror .* cannot be used .*DOCKERNB_MIRROR",
        ),
        ("Unable to connect to m:80:", r"The Debian mirror .* cannot be used"),
        (
            "The repository 'http://m trixie Release' does not have a Release file.",
            r"The Debian mirror .* cannot be used",
        ),
        (
            "The repository 'http://m trixie InRelease' is not signed.",
            r"not signed by Debian's keys .*debian-archive-keyring",
        ),
        ("You don't have enough free space in /x/archives/.", r"The disk became full"),
        ("Unable to correct problems, you have held broken packages.", r"do not fit one another today"),
        ("Unable to locate package foo", r"do not fit one another today \(Unable to locate package foo\)"),
        ("Something else", r"apt-get failed: Something else\."),
    ],
)
def test_apts_complaints_become_one_sentence(complaint, sentence):
    with pytest.raises(BuildError, match=f"^[^\\n]*{sentence}[^\\n]*$"):
        raise debian._apt_error([complaint])


def test_apt_that_says_nothing():
    assert str(debian._apt_error([])) == "apt-get failed: apt-get gave no reason."


def test_no_apt(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(BuildError, match="needs apt-get and dpkg-deb"):
        debian.fetch(tmp_path, ["fio"], [], engine="stable", progress=lambda fraction: None)


def test_no_keyring(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path=None: name)
    monkeypatch.setattr(debian, "KEYRING", tmp_path / "none.gpg")
    with pytest.raises(BuildError, match="install debian-archive-keyring"):
        debian.fetch(tmp_path, ["fio"], [], engine="stable", progress=lambda fraction: None)


def apts_settings(workdir, suite, monkeypatch, theirs=""):
    said = subprocess.CompletedProcess([], 0, theirs, "")
    monkeypatch.setattr(debian.subprocess, "run", lambda *args, **options: said)
    return debian._configure_apt(workdir, [], suite).read_text()


def test_the_engine_comes_from_its_suite_and_all_else_from_stable(tmp_path, monkeypatch):
    apts_settings(tmp_path, debian.ENGINES["testing"], monkeypatch)
    sources = (tmp_path / "etc/sources.list").read_text()
    assert [line.split()[-2] for line in sources.splitlines()] == ["forky", "trixie"]
    everything, engine = (tmp_path / "etc/preferences.d/engine").read_text().split("\n\n")
    assert "Package: *\n" in everything
    assert everything.endswith("Pin-Priority: 100")
    assert "docker.io" in engine
    assert "990" in engine


def test_the_stable_engine_needs_no_other_suite(tmp_path, monkeypatch):
    apts_settings(tmp_path, debian.ENGINES["stable"], monkeypatch)
    assert (tmp_path / "etc/sources.list").read_text().count("\n") == 1
    assert not list((tmp_path / "etc/preferences.d").iterdir())


def test_of_the_machines_own_apt_the_proxy_and_the_validity_count(tmp_path, monkeypatch):
    theirs = 'Acquire::http::Proxy "http://p:1";\nAcquire::Check-Valid-Until "false";\nAPT::Get::Force-Yes "true";\n'
    settings = apts_settings(tmp_path, "trixie", monkeypatch, theirs)
    assert 'Acquire::http::Proxy "http://p:1";' in settings
    assert 'Acquire::Check-Valid-Until "false";' in settings
    assert "Force-Yes" not in settings


def offers(monkeypatch, **suites):
    """A mirror: the sentence with which it refuses each engine, or None."""

    def fetch(workdir, names, withheld, *, engine, progress):
        if suites[engine]:
            raise BuildError(suites[engine])
        return [engine]

    monkeypatch.setattr(debian, "fetch", fetch)


def test_where_testing_cannot_be_had_the_stable_engine_comes_and_says_so(tmp_path, monkeypatch):
    offers(monkeypatch, testing="They do not fit.", stable=None)
    packages, engine, note = rootfs._fetch(tmp_path, [], [], "testing", quiet)
    assert (packages, engine) == (["stable"], "stable")
    assert "engine of Debian stable, because Debian testing's could not be had" in note
    assert "(They do not fit)" in note


def test_the_engine_that_was_asked_for_is_nothing_to_speak_of(tmp_path, monkeypatch):
    offers(monkeypatch, testing=None, stable=None)
    assert rootfs._fetch(tmp_path, [], [], "testing", quiet) == (["testing"], "testing", "")


def test_without_any_engine_the_mirrors_own_fault_is_said(tmp_path, monkeypatch):
    offers(monkeypatch, testing="No network.", stable="No network at all.")
    with pytest.raises(BuildError, match="No network at all"):
        rootfs._fetch(tmp_path, [], [], "testing", quiet)


def test_no_mke2fs(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(BuildError, match="install e2fsprogs"):
        rootfs._write_disk(tmp_path, tmp_path / "disk")


def test_another_kind_of_computer(monkeypatch):
    monkeypatch.setattr(debian.platform, "machine", lambda: "riscv64")
    with pytest.raises(BuildError, match="cannot be built on a riscv64 computer: use one of x86_64"):
        debian.architecture()


def test_too_little_space_is_said_before_anything_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**10, 9 * 10**9, 10**9))
    with pytest.raises(BuildError, match=r"needs 2\.5 GB in .* and 1\.0 GB are free"):
        rootfs.build(tmp_path, "vm", "stable", quiet)


def test_neither_root_nor_fakeroot(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BuildError, match="as root or under fakeroot"):
        rootfs.build(tmp_path, "vm", "stable", quiet)


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (KeyboardInterrupt(), "was interrupted"),
        (OSError(errno.ENOSPC, "No space left on device"), "became full: make 2.5 GB free"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "could not be built: .*Permission denied"),
    ],
)
def test_a_build_that_fails_says_why_and_leaves_nothing(tmp_path, monkeypatch, capsys, problem, sentence):
    def fail(workdir, kind, engine, report):
        (workdir / "tree").mkdir()
        (workdir / "apt").mkdir()
        (workdir / "wheels").mkdir()
        raise problem

    monkeypatch.setattr(rootfs, "_build", fail)
    monkeypatch.setattr(rootfs.signal, "signal", lambda number, handler: None)
    assert rootfs.main(["vm", str(tmp_path), "testing"]) == 1
    [line] = capsys.readouterr().out.splitlines()
    with pytest.raises(BuildError, match=sentence):
        raise BuildError(json.loads(line)["error"])
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_fails_is_named_with_its_last_words(tmp_path):
    program = tmp_path / "depmod"
    program.write_text("#!/bin/sh\necho one >&2\necho 'two words' >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(BuildError, match=r"^depmod failed while the lab host was built: two words\.$"):
        rootfs._run([str(program)])


# Completing the tree


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """The few files of packages that the finish reads."""
    root = tmp_path / "tree"
    for name, text in {
        "usr/share/base-passwd/passwd.master": "root:*:0:0:r:/root:/bin/bash\nwww-data:*:33:33:w:/w:/x\n",
        "usr/share/base-passwd/group.master": "root:*:0:\n",
        "usr/share/base-files/profile": "",
        "usr/share/base-files/dot.bashrc": "",
        "usr/share/base-files/dot.profile": "",
        "usr/bin/bash": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name in ("etc", "root", "usr/sbin", "var/lock"):
        (root / name).mkdir(parents=True)
    owners = {}
    monkeypatch.setattr(
        os, "chown", lambda path, user, group: owners.update({str(path.relative_to(root)): user})
    )
    rootfs.finish(root)
    return root, owners


def test_users(tree):
    root, owners = tree
    users = {line.split(":")[0]: line.split(":") for line in (root / "etc/passwd").read_text().splitlines()}
    assert users["postgres"][2:4] == ["999", "999"]
    assert users["nginx"][2] == "101"
    assert {"root", "www-data", "tcpdump"} <= users.keys()
    assert [len(fields) for fields in users.values()] == [7] * len(users)
    assert owners["var/lib/postgresql"] == 999


def test_nobody_can_log_in_with_a_password(tree):
    root, _ = tree
    lines = (root / "etc/shadow").read_text().splitlines()
    assert len(lines) == len((root / "etc/passwd").read_text().splitlines())
    assert {line.split(":")[1] for line in lines} == {"*"}
    assert (root / "etc/shadow").stat().st_mode & 0o777 == 0o600


def test_links_replace_directories_that_packages_bring(tree):
    root, _ = tree
    assert str((root / "var/lock").readlink()) == "/run/lock"
    assert str((root / "usr/sbin/iptables").readlink()) == "iptables-nft"
    assert str((root / "usr/bin/psql").readlink()) == "../lib/postgresql/17/bin/psql"


def cpio_entries(data):
    """Names to (mode, content) of a newc archive."""
    entries, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        start = at + 110
        name = data[start : start + fields[11] - 1].decode()
        body = (start + fields[11] + 3) & ~3
        if name == "TRAILER!!!":
            return entries
        entries[name] = (fields[1], data[body : body + fields[6]])
        at = (body + fields[6] + 3) & ~3


def test_the_ram_disk_loads_modules_in_the_order_they_need(tmp_path):
    modules = tmp_path / "usr/lib/modules/6.12-test"
    for name in ("virtio_blk", "ext4", "jbd2", "crc16", "unrelated"):
        (modules / "kernel").mkdir(parents=True, exist_ok=True)
        (modules / f"kernel/{name}.ko.xz").write_bytes(lzma.compress(name.encode()))
    (modules / "modules.dep").write_text(
        "kernel/virtio_blk.ko.xz:\nkernel/ext4.ko.xz: kernel/jbd2.ko.xz kernel/crc16.ko.xz\n"
        "kernel/jbd2.ko.xz: kernel/crc16.ko.xz\nkernel/crc16.ko.xz:\nkernel/unrelated.ko.xz:\n"
    )
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/busybox").write_bytes(b"busybox!!")
    initrd.write(tmp_path, tmp_path / "initrd.img")
    entries = cpio_entries((tmp_path / "initrd.img").read_bytes())
    assert [(name, content) for name, (_, content) in entries.items() if name.startswith("modules/")] == [
        ("modules/00-virtio_blk.ko", b"virtio_blk"),
        ("modules/01-crc16.ko", b"crc16"),
        ("modules/02-jbd2.ko", b"jbd2"),
        ("modules/03-ext4.ko", b"ext4"),
    ]
    assert entries["bin/busybox"] == (0o100755, b"busybox!!")
    assert entries["init"][0] == 0o100755
    assert {"dev", "root"} <= entries.keys()
    subprocess.run(["sh", "-n"], input=entries["init"][1], check=True, timeout=10)


def test_a_template_belongs_to_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = template.directory()
    assert template.directory() == before
    monkeypatch.setattr(qemu, "MEMORY_MIB", qemu.MEMORY_MIB * 2)
    assert template.directory() != before
