"""What every benchmark is given: how large to be, and a site to measure."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.scale import Engine, Scale
from benchmarks.site import Site


class Lab:
    """One site at a time, so that nothing else works beside what is measured."""

    def __init__(self, folder: Path, scale: Scale) -> None:
        self.scale = scale
        self._folder = folder
        self._open = ExitStack()
        self._site: Site | None = None

    def site(self, engine: Engine | None = None) -> Site:
        """The site of an engine, by default the main one; the other one is taken down."""
        wanted = engine or self.scale.main_engine
        if self._site is None or self._site.engine is not wanted:
            self._open.close()
            self._site = Site(self._folder, wanted, self.scale)
            # Another site of this engine begins with nothing, not with these collections.
            self._open.callback(shutil.rmtree, self._site.folder, ignore_errors=True)
            self._open.enter_context(self._site)
        return self._site

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()
