"""The machine: what a figure was measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def machine(folder: Path) -> dict[str, object]:
    """Return the processor, cores, memory, kernel, and the file system that holds a folder."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": _memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "file_system": _file_system(folder),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": _load(),
    }


def versions(*names: str) -> dict[str, str]:
    """Return the installed distributions' versions; what is not installed is left out."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _load() -> float | None:
    """Return how many processes ran on average in the last minute: more than this one means noise."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _file_system(folder: Path) -> str | None:
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    place = folder.resolve()
    found, longest = None, -1
    for mount in mounts:
        _, at, kind, *_ = mount.split(" ")
        if len(at) > longest and place.is_relative_to(at.replace("\\040", " ")):
            found, longest = kind, len(at)
    return found
