"""ETags: an edit goes through only if nobody changed the thing since it was read."""

from __future__ import annotations

from shared.problems import Problem


def etag(version: int) -> str:
    """The ETag of a row's version."""
    return f'"{version}"'


def check_match(if_match: str | None, version: int) -> None:
    """Raise 412 unless `if_match` is absent or names the version."""
    check_tag(if_match, etag(version))


def check_tag(if_match: str | None, present: str) -> None:
    """The same for any ETag."""
    if if_match is None or if_match.strip() == "*" or present in {tag.strip() for tag in if_match.split(",")}:
        return
    detail = "Somebody changed this meanwhile. Read it again and repeat the edit."
    raise Problem(412, "Precondition Failed", detail, headers={"ETag": present})
