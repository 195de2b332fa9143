"""Local copies: checked on the way in, bounded, fetched once however many ask."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sparsegrad_server.store.cache import IN_USE_SECONDS, FileCache
from sparsegrad_shared.digests import digest_of
from sparsegrad_shared.errors import CorruptFile


def content_of(number: int, size: int = 10) -> tuple[str, bytes]:
    content = bytes([number]) * size
    return digest_of([content]), content


def never() -> Iterator[bytes]:
    raise AssertionError("fetched again")
    yield b""


def age(path: Path, seconds: float) -> None:
    past = path.stat().st_mtime - seconds
    os.utime(path, (past, past))


def test_a_copy_has_the_bytes_and_is_made_once(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 100)
    digest, content = content_of(1)
    path = cache.get("a file", digest, [content[:3], content[3:]])
    assert path.read_bytes() == content
    assert cache.get("a file", digest, never()) == path
    assert FileCache(tmp_path, 100).get("a file", digest, never()) == path  # after a restart


def test_other_bytes_than_were_promised_never_become_a_copy(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 100)
    digest, content = content_of(1)
    with pytest.raises(CorruptFile, match=r"a file: expected .*found"):
        cache.get("a file", digest, [content, b"?"])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert cache.get("a file", digest, [content]).read_bytes() == content


def test_a_fetch_that_broke_off_leaves_nothing(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 100)
    digest, content = content_of(1)

    def broken() -> Iterator[bytes]:
        yield content[:5]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        cache.get("a file", digest, broken())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert cache.get("a file", digest, [content]).read_bytes() == content


def test_what_was_not_used_for_longest_goes_when_there_is_too_much(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 30)
    digests, paths = [], []
    for number in range(3):
        digest, content = content_of(number)
        digests.append(digest)
        paths.append(cache.get("a file", digest, [content]))
        age(paths[-1], (3 - number) * IN_USE_SECONDS + 1)
    cache.get("a file", digests[0], never())  # used again: now the second is the oldest
    digest, content = content_of(3)
    new = cache.get("a file", digest, [content])
    assert [path.exists() for path in (*paths, new)] == [True, False, True, True]


def test_what_was_just_asked_for_stays_however_small_the_limit(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 0)
    paths = [cache.get("a file", *(d, [c])) for d, c in map(content_of, range(3))]
    assert all(path.exists() for path in paths)
    for path in paths:
        age(path, IN_USE_SECONDS + 1)
    digest, content = content_of(3)
    new = cache.get("a file", digest, [content])
    assert [path.exists() for path in (*paths, new)] == [False, False, False, True]


def test_of_many_that_ask_at_once_one_fetches(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 100)
    digest, content = content_of(1)
    fetched, all_asked = [], threading.Barrier(4)

    def ask(number: int) -> Path:
        def pieces() -> Iterator[bytes]:
            fetched.append(number)
            yield content

        all_asked.wait()
        return cache.get("a file", digest, pieces())

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, range(4)))) == 1
    assert len(fetched) == 1


def test_a_copy_that_is_dropped_is_fetched_anew(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 100)
    digest, content = content_of(1)
    cache.get("a file", digest, [content])
    cache.drop(digest)
    cache.drop(digest)
    assert cache.get("a file", digest, [content]).read_bytes() == content
