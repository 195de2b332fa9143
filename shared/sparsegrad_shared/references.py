"""References to bases: what people write to say which basis they mean.

=========================  ==========================================
``team/minilm-cola``       the latest version of that name
``team/minilm-cola@3``     version 3, which never changes
``team/minilm-cola:prod``  the version that the alias names at present
``sha256:9f86d0…``         the basis of that digest, under any name
=========================  ==========================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import StringConstraints

from .errors import InvalidReference

# One path segment: it starts with a letter or digit, so `..` and hidden files cannot be named.
SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
DIGEST = r"sha256:[0-9a-f]{64}"
MAX_VERSION = 999_999_999  # nine digits

Segment = Annotated[str, StringConstraints(pattern=rf"^{SEGMENT}$")]
QualifiedName = Annotated[str, StringConstraints(pattern=rf"^{SEGMENT}/{SEGMENT}$")]
Digest = Annotated[str, StringConstraints(pattern=rf"^{DIGEST}$")]

_REFERENCE = re.compile(
    rf"(?P<digest>{DIGEST})"
    rf"|(?P<namespace>{SEGMENT})/(?P<name>{SEGMENT})(?:@(?P<version>[1-9][0-9]{{0,8}})|:(?P<alias>{SEGMENT}))?"
)
_EXPECTED = "team/name, team/name@3, team/name:alias or sha256:<64 hexadecimal digits>"


@dataclass(frozen=True)
class BasisReference:
    """A parsed reference: a digest, or a name with a version, an alias or neither (the latest).

    Raises:
        InvalidReference: when made with parts that contradict one another.
    """

    namespace: str | None = None
    name: str | None = None
    version: int | None = None
    alias: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        named = self.namespace is not None and self.name is not None
        if named == (self.digest is not None):
            raise InvalidReference(f"a reference is either a name or a digest: {_EXPECTED}")
        if self.version is not None and self.alias is not None:
            raise InvalidReference(
                f"a reference takes a version or an alias, not both: "
                f"@{self.version} and :{self.alias}"
            )

    @classmethod
    def parse(cls, text: str) -> BasisReference:
        """Read a reference.

        Raises:
            InvalidReference: when `text` is none of the four forms.
        """
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise InvalidReference(f"expected {_EXPECTED}; got {text!r}")
        parts = match.groupdict()
        version = parts.pop("version")
        return cls(version=None if version is None else int(version), **parts)

    def __str__(self) -> str:
        if self.digest is not None:
            return self.digest
        suffix = f"@{self.version}" if self.version else f":{self.alias}" if self.alias else ""
        return f"{self.namespace}/{self.name}{suffix}"


def parse_segment(text: str) -> str:
    """A namespace, an alias or a tag, as it was.

    Raises:
        InvalidReference: when `text` cannot be one.
    """
    if re.fullmatch(SEGMENT, text) is None:
        raise InvalidReference(
            "expected at most 100 letters, digits, '.', '_' and '-', beginning with a letter or "
            f"digit; got {text!r}"
        )
    return text


def parse_name(text: str) -> tuple[str, str]:
    """Split ``team/minilm-cola`` into namespace and name.

    Raises:
        InvalidReference: when `text` is not a bare name.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None or match["digest"]:
        raise InvalidReference(f"expected a name such as team/minilm-cola; got {text!r}")
    if match["version"] or match["alias"]:
        raise InvalidReference(f"expected a name without version or alias; got {text!r}")
    return match["namespace"], match["name"]
