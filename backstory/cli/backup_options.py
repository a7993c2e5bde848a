"""The options that say what a backup is to be, of `backup create` and of schedules."""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypedDict

from typer import Option

__all__ = ["Asked", "Making", "making"]


class Asked(TypedDict):
    """What is asked of a backup, as `store.backups.create` and `schedule` take it."""

    target: str | None
    scopes: list[str] | None
    compression: str
    level: int | None
    importance: int


class Making(NamedTuple):
    """What a backup is to be."""

    asked: Asked


def making(
    *,
    target: Annotated[
        str | None,
        Option(
            "--target",
            metavar="PLACE",
            help="A folder or URL. Without it: `backups` in the settings, or a folder beside the store.",
        ),
    ] = None,
    scope: Annotated[
        list[str] | None, Option("--scope", metavar="SCOPE", help="Only this scope; may be repeated.")
    ] = None,
    compression: Annotated[
        str, Option("--compression", metavar="NAME", help="zstd, gzip, lz4, brotli or none.")
    ] = "zstd",
    level: Annotated[
        int | None, Option("--level", metavar="N", help="How much work to compress; each has a usual one.")
    ] = None,
    importance: Annotated[
        int, Option("--importance", min=0, metavar="N", help="Where not all fit, the more important stay longer.")
    ] = 0,
) -> Making:
    """Return what a backup is to be."""
    return Making(
        Asked(target=target, scopes=scope or None, compression=compression, level=level, importance=importance)
    )
