"""Options that nobody named, from the configuration file: read when the first of them is asked for."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from orchestrator.operations.settings import SETTINGS, configured

_KEYS = {setting.parameter: setting.key for setting in SETTINGS}


class Defaults(MutableMapping[str, Any]):
    """The options' values by their names, as a command's context looks them up.

    A command line goes before the environment, and that before this; what help shows is never looked up here.
    """

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a file; the default if no file has any."""
        if name not in _KEYS:
            return default
        found = configured().values.get(_KEYS[name])
        if found is None:
            return default
        return list(found.value) if isinstance(found.value, tuple) else found.value

    def __getitem__(self, name: str) -> Any:
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def __setitem__(self, name: str, value: Any) -> None:
        raise TypeError("a configuration file is not written here")

    def __delitem__(self, name: str) -> None:
        raise TypeError("a configuration file is not written here")

    def __iter__(self) -> Iterator[str]:
        return (name for name in _KEYS if self.get(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)
