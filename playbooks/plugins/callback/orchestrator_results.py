"""Tells the orchestrator what each task said on each machine, over a pipe that no machine can write to.

It stands in the place of the callback that prints: what guests say is printed nowhere. Each result is one line of JSON
on the file descriptor that ``ORCHESTRATOR_RESULTS`` names: the host and the task as Ansible itself knows them, when it
was (the monotonic clock is one for all processes), and of the task's answer the values below and nothing else.
"""

from __future__ import annotations

import json
import os
import time
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: orchestrator_results
    type: stdout
    short_description: one line of JSON per result, on a pipe
    description: Results for the orchestrator, on the file descriptor that C(ORCHESTRATOR_RESULTS) names.
"""

TEXTS = ("stdout", "stderr", "msg")
SWITCHES = ("changed", "rebooted")
TEXT_CHARACTERS = 512 * 1024


class CallbackModule(CallbackBase):
    """Writes results as they come."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "orchestrator_results"

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._pipe = int(os.environ["ORCHESTRATOR_RESULTS"])
        os.set_inheritable(self._pipe, False)

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        """A task begins on a host."""
        self._tell("start", host, task, {})

    def v2_runner_on_ok(self, result: t.Any) -> None:
        """It went well."""
        self._tell("ok", result.host, result.task, result.result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """It failed."""
        self._tell("failed", result.host, result.task, result.result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        """The host could not be reached."""
        self._tell("unreachable", result.host, result.task, result.result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        """There was nothing to do."""
        self._tell("skipped", result.host, result.task, {})

    def _tell(self, kind: str, host: t.Any, task: t.Any, answer: t.Mapping[str, t.Any]) -> None:
        said: dict[str, t.Any] = {
            name: str(answer[name])[:TEXT_CHARACTERS] for name in TEXTS if answer.get(name) is not None
        }
        said |= {name: bool(answer[name]) for name in SWITCHES if name in answer}
        if isinstance(answer.get("rc"), int):
            said["rc"] = int(answer["rc"])
        if "timedout" in answer:  # by Ansible alone: the task took longer than it may
            said["timed_out"] = True
        line = {
            "kind": kind,
            "host": str(host.get_name()),
            "task": str(task.name),
            "at": time.monotonic(),
            "result": said,
        }
        data = json.dumps(line).encode("ascii") + b"\n"
        try:
            while data:
                data = data[os.write(self._pipe, data) :]
        except OSError:
            # Whoever began this run is no more: nobody would learn what it does.
            os._exit(1)
