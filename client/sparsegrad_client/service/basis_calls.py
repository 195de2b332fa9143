"""The requests that concern bases, versions and aliases, each a value."""

from __future__ import annotations

from pathlib import Path

from sparsegrad_shared.aliases import AliasList, AliasStatus, AliasTarget
from sparsegrad_shared.bases import (
    BasisDifference,
    BasisList,
    BasisManifest,
    BasisVersion,
    FileEntry,
    ImportStatus,
    PublishedVersion,
    VersionMarks,
)
from sparsegrad_shared.digests import content_digest
from sparsegrad_shared.references import parse_name
from sparsegrad_shared.search import BasisQuery

from .answers import done, parse_only_basis, parsed, saved
from .calls import (
    BYTES_MEDIA_TYPE,
    Call,
    OnBytes,
    Pieces,
    Save,
    json_headers,
    nobody,
    params_of,
    path_of,
)


def find_bases(query: BasisQuery) -> Call[BasisList]:
    """`GET /v1/bases`: one page."""
    return Call("GET", path_of("bases"), parsed(BasisList), params=params_of(query))


def resolve(reference: str) -> Call[BasisVersion]:
    """`GET /v1/bases?ref=…`: the one basis that a reference means."""
    return Call("GET", path_of("bases"), parse_only_basis, params={"ref": reference})


def version(name: str, number: int) -> Call[BasisVersion]:
    """`GET /v1/bases/{namespace}/{name}/versions/{n}`."""
    return Call("GET", _version(name, number), parsed(BasisVersion))


def download_file(
    published: PublishedVersion, file: FileEntry, path: Path, on_bytes: OnBytes = nobody
) -> Call[None]:
    """`GET …/versions/{n}/files/{file}`, written to `path` and held to the file's digest."""
    where = _version(published.name, published.version, "files", file.name)
    return Call("GET", where, saved(file), save=Save(path, file.bytes, on_bytes))


def delete_version(name: str, number: int) -> Call[None]:
    """`DELETE …/versions/{n}`; the second one is told that it is gone."""
    return Call("DELETE", _version(name, number), done, idempotent=False)


def tag(name: str, number: int, word: str, *, present: bool) -> Call[VersionMarks]:
    """`PUT` or `DELETE …/versions/{n}/tags/{tag}`."""
    method = "PUT" if present else "DELETE"
    return Call(method, _version(name, number, "tags", word), parsed(VersionMarks))


def pin(name: str, number: int, *, pinned: bool) -> Call[VersionMarks]:
    """`PUT` or `DELETE …/versions/{n}/pin`."""
    method = "PUT" if pinned else "DELETE"
    return Call(method, _version(name, number, "pin"), parsed(VersionMarks))


def aliases(name: str) -> Call[AliasList]:
    """`GET …/aliases`."""
    return Call("GET", path_of("bases", *parse_name(name), "aliases"), parsed(AliasList))


def alias(name: str, alias_name: str) -> Call[AliasStatus]:
    """`GET …/aliases/{alias}`."""
    return Call("GET", _alias(name, alias_name), parsed(AliasStatus))


def set_alias(
    name: str, alias_name: str, number: int, *, expected: int | None
) -> Call[AliasStatus]:
    """`PUT …/aliases/{alias}`: a compare-and-set, so a lost answer must not be sent again."""
    body = AliasTarget(version=number).model_dump_json().encode()
    condition = {"If-None-Match": "*"} if expected is None else _if_match(expected)
    return Call(
        "PUT",
        _alias(name, alias_name),
        parsed(AliasStatus),
        headers=json_headers(body) | condition,
        body=body,
        idempotent=False,
    )


def delete_alias(name: str, alias_name: str, *, expected: int) -> Call[None]:
    """`DELETE …/aliases/{alias}`: a compare-and-set too."""
    return Call(
        "DELETE", _alias(name, alias_name), done, headers=_if_match(expected), idempotent=False
    )


def protect_alias(name: str, alias_name: str, *, protected: bool) -> Call[AliasStatus]:
    """`PUT` or `DELETE …/aliases/{alias}/protection`."""
    method = "PUT" if protected else "DELETE"
    return Call(method, f"{_alias(name, alias_name)}/protection", parsed(AliasStatus))


def diff(a: str, b: str) -> Call[BasisDifference]:
    """`GET /v1/bases/{a}/diff/{b}`, by digests."""
    return Call("GET", path_of("bases", a, "diff", b), parsed(BasisDifference))


def import_basis(name: str, manifest: BasisManifest) -> Call[ImportStatus]:
    """`PUT …/imports/{digest}`: begin, go on, or, with every file there, publish."""
    body = manifest.canonical_bytes()
    return Call(
        "PUT",
        _import(name, manifest.digest()),
        parsed(ImportStatus),
        headers=json_headers(body),
        body=body,
    )


def import_file(name: str, digest: str, file: FileEntry, content: Pieces) -> Call[None]:
    """`PUT …/imports/{digest}/files/{file}`."""
    return Call(
        "PUT",
        _import(name, digest, "files", file.name),
        done,
        headers={
            "Content-Type": BYTES_MEDIA_TYPE,
            "Content-Length": str(file.bytes),
            "Content-Digest": content_digest(file.digest),
        },
        body=content,
    )


def give_up_import(name: str, digest: str) -> Call[None]:
    """`DELETE …/imports/{digest}`."""
    return Call("DELETE", _import(name, digest), done)


def _version(name: str, number: int, *rest: str) -> str:
    return path_of("bases", *parse_name(name), "versions", number, *rest)


def _alias(name: str, alias_name: str) -> str:
    return path_of("bases", *parse_name(name), "aliases", alias_name)


def _import(name: str, digest: str, *rest: str) -> str:
    return path_of("bases", *parse_name(name), "imports", digest, *rest)


def _if_match(number: int) -> dict[str, str]:
    return {"If-Match": f'"{number}"'}
