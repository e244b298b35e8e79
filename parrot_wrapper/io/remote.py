"""Files of a storage that fsspec knows, such as s3://bucket/data, where paths are only read."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from parrot_wrapper.checks import as_path
from parrot_wrapper.errors import DataFileError


class RemotePath:
    """What reading asks of a `Path`, for a URL of fsspec.

    Args:
        url: Such as "s3://bucket/data"; what a `Path` makes of it ("s3:/bucket/data") will do.
        kept: What `fetch` has read, by URL.
    """

    def __init__(self, url: str, kept: dict[str, bytes] | None = None) -> None:
        whole = re.sub(r"^(file|local):/(?!/)", r"\1:///", url.rstrip("/"))
        self._url = re.sub(r":/(?!/)", "://", whole)
        self._kept: dict[str, bytes] = {} if kept is None else kept

    def __str__(self) -> str:
        return self._url

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self._url}/{name}", self._kept)

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self._url).name

    @property
    def parent(self) -> RemotePath:
        """The folder."""
        return RemotePath(self._url.rpartition("/")[0], self._kept)

    def with_suffix(self, suffix: str) -> RemotePath:
        """Beside it, with another ending."""
        return self.parent / PurePosixPath(self.name).with_suffix(suffix).name

    @cached_property
    def _place(self) -> tuple[Any, str]:
        from fsspec import core  # local folders do not wait for it

        with self._reached():
            found: tuple[Any, str] = core.url_to_fs(self._url)
            return found

    def exists(self) -> bool:
        """Whether there is something."""
        storage, path = self._place
        with self._reached():
            try:
                return self._url in self._kept or bool(storage.info(path))
            except FileNotFoundError:
                return False

    def read_bytes(self) -> bytes:
        """The content of the file."""
        storage, path = self._place
        with self._reached():
            kept = self._kept.get(self._url)
            content: bytes = storage.cat_file(path) if kept is None else kept
            return content

    def fetch(self, pattern: str) -> None:
        """Read small files of this folder at once, so that each is not asked for by itself."""
        storage, path = self._place
        with self._reached():
            found = storage.glob(f"{path}/{pattern}")
            contents = storage.cat(found) if found else {}
        for name, content in contents.items():
            self._kept[f"{self._url}/{PurePosixPath(name).name}"] = content

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (DataFileError, FileNotFoundError):
            raise
        except Exception as error:  # each storage has its own
            raise DataFileError(
                f"{self._url}: expected a storage that this machine ({platform.node()}) can "
                f"read, got {type(error).__name__}: {error}. Check the URL, the rights and "
                "credentials there, and that the package that fsspec needs for it is installed."
            ) from error


Place: TypeAlias = Path | RemotePath
"""A folder or file that is only read."""


def as_place(name: str, value: object) -> Place:
    """As `as_path`; text or a path that is a URL of fsspec is taken for one."""
    if isinstance(value, RemotePath):
        return value
    if re.match(r"[\w+.-]{2,}:[:/]", str(value)):
        return RemotePath(str(value))
    return as_path(name, value)
