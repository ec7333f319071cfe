"""What people are shown, in colours: texts are never markup, and every character of them is visible."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO, Any, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from orchestrator.cli.outlet import Coloured, Outlet
from orchestrator.shown import visible

_WIDTH = 80


class Screen(Console):
    """A console that prints each text as it is, in one line.

    Args:
        stderr: whether it is standard error.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        stream = sys.stderr if stderr else sys.stdout
        file = Coloured(stream) if isinstance(stream, Outlet) else stream
        super().__init__(file=cast(IO[str], file), highlight=False, soft_wrap=True, emoji=False)
        if self.width < 1:  # COLUMNS=0, as of a terminal without a size: rich shows nothing in it
            self.width = _WIDTH

    def print(self, *objects: Any, **how: Any) -> None:
        """Print texts (``str`` or ``Text``) in one line; what else rich can show, too."""
        super().print(*(self._in_one_line(item) for item in objects), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Whatever is shown goes through here, a table's cells and moving lines too."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else visible(segment.text, lines=True, longest=None)
            yield segment if text == segment.text else Segment(text, segment.style)

    def _in_one_line(self, item: Any) -> Any:
        if isinstance(item, str):
            return Text(visible(item))
        if isinstance(item, Text) and visible(item.plain) != item.plain:
            pieces = [(visible(part.text), part.style or "") for part in item.render(self)]
            return Text.assemble(*pieces, style=item.style)
        return item
