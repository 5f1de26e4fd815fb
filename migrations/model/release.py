"""Which version of reembed this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """As it was installed; "0" when run from a checkout that never was."""
    try:
        return version("reembed-milvus")
    except PackageNotFoundError:
        return "0"
