"""The options that say what a backup is to be, of `backup create` and of schedules."""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypedDict

from typer import Option

from backstory.cli.failures import UsageError
from backstory.cli.render import field

__all__ = ["Asked", "Making", "check_lasting", "making"]


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


def check_lasting(place: str | None) -> None:
    """Raise `UsageError` for a place that is gone as soon as this process ends."""
    if place is None:
        return
    scheme, is_url, _ = place.partition("://")
    if is_url and "memory" in scheme.lower().split("::"):
        raise UsageError(
            f"a backup in {field(place)} is gone as soon as this command ends",
            hint="Give a folder, or the URL of a place that lasts.",
        )


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
    """Return what a backup is to be; raises `UsageError`."""
    check_lasting(target)
    return Making(
        Asked(target=target, scopes=scope or None, compression=compression, level=level, importance=importance)
    )
