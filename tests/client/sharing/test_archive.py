"""A basis as one file: the same bytes every time, and no archive that does harm."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bases import MadeBasis, Shape, made

from sparsegrad_client.sharing.archive import read_archive, write_archive
from sparsegrad_client.sharing.files import BasisFiles, open_files, open_folder
from sparsegrad_shared.bases import MANIFEST_FILE
from sparsegrad_shared.errors import CorruptFile, InvalidInput, SparseGradError

Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def archive(files: BasisFiles, tmp_path: Path) -> Path:
    path = tmp_path / "basis.tar"
    write_archive(files, path)
    return path


def contents(files: BasisFiles) -> dict[str, bytes]:
    return {name: b"".join(part) for name, part in files.parts.items()}


def test_what_was_written_is_read_again(archive: Path, basis: MadeBasis) -> None:
    read = open_files(archive)
    assert read.manifest == basis.manifest
    assert contents(read) == basis.files


def test_the_same_basis_gives_the_same_bytes(
    archive: Path, files: BasisFiles, tmp_path: Path
) -> None:
    again = tmp_path / "again" / "other name.tar"
    write_archive(open_files(archive), again)
    assert again.read_bytes() == archive.read_bytes()


def test_any_tar_program_unpacks_it(archive: Path, basis: MadeBasis, tmp_path: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    unpacked = open_folder(tmp_path / "unpacked")
    assert (unpacked.manifest, contents(unpacked)) == (basis.manifest, basis.files)


def test_what_is_there_is_not_overwritten(archive: Path, files: BasisFiles) -> None:
    before = archive.read_bytes()
    with pytest.raises(InvalidInput, match="is there already"):
        write_archive(files, archive)
    assert archive.read_bytes() == before


def test_a_damaged_file_is_not_written(basis: MadeBasis, tmp_path: Path) -> None:
    folder = basis.write(tmp_path / "damaged")
    content = bytearray(basis.files["up.safetensors"])
    content[-1] ^= 1
    (folder / "up.safetensors").write_bytes(content)
    with pytest.raises(CorruptFile, match=r"up\.safetensors: expected sha256:"):
        write_archive(open_folder(folder), tmp_path / "out" / "basis.tar")
    assert list((tmp_path / "out").iterdir()) == []


def members_of(archive: Path) -> Members:
    with tarfile.open(archive) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]


def rewrite(archive: Path, members: Members) -> None:
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))


def _renamed(name: str) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        members[1][0].name = name
        members[1][0].pax_headers = {}

    return change


def _typed(kind: bytes) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        member = members[1][0]
        member.type, member.linkname, member.size = kind, "/etc/passwd", 0
        members[1] = (member, b"")

    return change


def _added(name: str) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        extra = tarfile.TarInfo(name)
        extra.size = 4
        members.append((extra, b"evil"))

    return change


def _resized(members: Members) -> None:
    member, content = members[1]
    member.size += 1
    members[1] = (member, content + b"!")


HOSTILE: dict[str, Callable[[Members], None]] = {
    "a path that climbs": _renamed("../../up.safetensors"),
    "an absolute path": _renamed("/etc/up.safetensors"),
    "a symbolic link": _typed(tarfile.SYMTYPE),
    "a hard link": _typed(tarfile.LNKTYPE),
    "a device": _typed(tarfile.CHRTYPE),
    "a pipe": _typed(tarfile.FIFOTYPE),
    "a folder": _typed(tarfile.DIRTYPE),
    "one file more": _added("extra.safetensors"),
    "one path more": _added("../../../evil"),
    "a file twice": lambda members: members.append(members[-1]),
    "another order": lambda members: members.insert(1, members.pop()),
    "no manifest": lambda members: members.__delitem__(0),
    "a file less": lambda members: members.__delitem__(-1),
    "another size": _resized,
    "nothing": lambda members: members.clear(),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_and_touches_nothing(
    archive: Path, tmp_path: Path, change: Callable[[Members], None]
) -> None:
    members = members_of(archive)
    change(members)
    rewrite(archive, members)
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises((InvalidInput, CorruptFile)):
        read_archive(archive)
    assert sorted(tmp_path.parent.rglob("*")) == before


@pytest.mark.parametrize("name", ["../up.safetensors", "/etc/passwd", "manifest.json", "a/b"])
def test_a_manifest_that_names_a_path_or_itself_is_refused(
    archive: Path, basis: MadeBasis, name: str
) -> None:
    members = members_of(archive)
    content = members[0][1].replace(b'"up.safetensors"', f'"{name}"'.encode())
    members[0][0].size = len(content)
    members[0] = (members[0][0], content)
    rewrite(archive, members)
    with pytest.raises(CorruptFile, match=r"manifest|twice"):
        read_archive(archive)


def test_a_manifest_that_was_only_spaced_otherwise_is_refused(
    basis: MadeBasis, tmp_path: Path
) -> None:
    folder = basis.write(tmp_path / "spaced")
    path = folder / MANIFEST_FILE
    path.write_bytes(path.read_bytes().replace(b",", b", "))
    with pytest.raises(CorruptFile, match="changed since it was written"):
        open_folder(folder)


def test_a_header_that_says_it_is_huge_is_not_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 1 << 32
    path = tmp_path / "huge.tar"
    with path.open("wb") as file:
        file.write(header.tobuf())
        file.truncate(1 << 32)  # a hole, which takes no room
    tracemalloc.start()
    with pytest.raises(InvalidInput, match="not an export of a basis"):
        read_archive(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    path.unlink()
    assert peak < 16 << 20


def test_headers_within_headers_are_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 5
    path = tmp_path / "nested.tar"
    path.write_bytes((header.tobuf() + b"name\0".ljust(512, b"\0")) * 5000)
    with pytest.raises(InvalidInput, match="not an export of a basis"):
        read_archive(path)


SMALL = made(2, [Shape(d_out=4, d_in=3, rank_out=2, rank_in=2)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small archive."""
    folder = tmp_path_factory.mktemp("small")
    write_archive(open_folder(SMALL.write(folder / "basis")), folder / "basis.tar")
    return (folder / "basis.tar").read_bytes()


@given(position=st.integers(0, 20_000), value=st.binary(min_size=1, max_size=40), cut=st.booleans())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_goes_unseen(
    whole: bytes, tmp_path: Path, position: int, value: bytes, cut: bool
) -> None:
    position %= len(whole)
    rest = b"" if cut else value + whole[position + len(value) :]
    path = tmp_path / "fuzzed.tar"
    path.write_bytes((whole[:position] + rest)[: len(whole)])
    try:
        read = read_archive(path)
        found = {entry.name: b"".join(read.verified(entry)) for entry in read.manifest.files()}
    except SparseGradError:
        return
    # Accepted: then it is the basis, to the bit, and only times and owners were changed.
    assert (read.manifest, found) == (SMALL.manifest, SMALL.files)


def test_what_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file or folder"):
        open_files(tmp_path / "nothing")
    with pytest.raises(InvalidInput, match=r"has no manifest\.json"):
        open_files(tmp_path)
    (tmp_path / "text.txt").write_text("not an archive")
    with pytest.raises(InvalidInput, match="not an export of a basis"):
        open_files(tmp_path / "text.txt")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(InvalidInput, match="not an export of a basis"):
        open_files(tmp_path / "empty")


def test_a_folder_with_a_file_missing_or_short_is_refused(basis: MadeBasis, tmp_path: Path) -> None:
    folder = basis.write(tmp_path / "short")
    (folder / "up.safetensors").write_bytes(b"short")
    with pytest.raises(CorruptFile, match=r"up\.safetensors: expected \d+ bytes, found 5"):
        open_folder(folder)
    (folder / "up.safetensors").unlink()
    with pytest.raises(CorruptFile, match=r"up\.safetensors: the file is missing"):
        open_folder(folder)
