"""The demo: two clients' subscription files become running, firewalled machines, before your eyes.

``python -m lab.demo up`` starts a lab, applies ``examples/`` and proves the firewall with packets;
``python -m lab.demo down`` removes every trace. It uses the orchestrator as any user would: by its command.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "demo"
STATE = Path("/var/lib/orchestrator-lab") / NAME
EXAMPLES = "examples"
_CLIENT_HOST, _STRANGER_HOST = ".2", ".3"


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


@dataclass(frozen=True)
class Probe:
    """A connection that is tried: from where, to what, and whether it must succeed."""

    machine: str
    port: int
    stranger: bool
    open: bool


PROBES = (
    Probe("dupont/web-1", 80, stranger=False, open=True),
    Probe("dupont/web-1", 80, stranger=True, open=True),
    Probe("dupont/web-1", 22, stranger=False, open=True),
    Probe("dupont/web-1", 22, stranger=True, open=False),
    Probe("dupont/db-1", 5432, stranger=False, open=True),
    Probe("dupont/db-1", 5432, stranger=True, open=False),
    Probe("martin/shop-1", 22, stranger=True, open=False),
    Probe("martin/shop-1", 443, stranger=False, open=False),
)
LISTENERS = {"dupont/web-1": 80, "dupont/db-1": 5432}
"""Nothing serves these ports in a fresh machine: the demo starts a listener, to tell open from closed."""


def say(text: str) -> None:
    """Announce a step."""
    print(f"\n\033[1m==> {text}\033[0m" if sys.stdout.isatty() else f"\n==> {text}", flush=True)  # noqa: T201


def environment() -> dict[str, str]:
    """The demo's own history and inventory: it leaves the user's alone."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "ORCHESTRATOR_INVENTORY": str(STATE / "inventory"),
        "XDG_STATE_HOME": str(STATE / "state"),
    }


def run(*command: str, expect: tuple[int, ...] = (0,)) -> int:
    """Show a command and run it."""
    print(f"$ {shlex.join(command)}", flush=True)  # noqa: T201
    code = subprocess.run(command, env=environment(), check=False).returncode
    if code not in expect:
        raise DemoFailed(f"`{shlex.join(command)}` ended with exit code {code}")
    return code


def read_json(*command: str) -> Any:
    """Run a command that prints JSON."""
    answer = subprocess.run(command, env=environment(), check=False, capture_output=True, text=True)
    if answer.returncode:
        raise DemoFailed(f"`{shlex.join(command)}` ended with exit code {answer.returncode}: {answer.stderr}")
    return json.loads(answer.stdout)


def up() -> None:
    """Everything, from the image to the proof."""
    started = time.monotonic()
    say("The guest image: Debian 12 from Debian packages (kept for the next time)")
    from lab.image import ensure_image

    image = ensure_image(report=lambda line: print(f"    {line}", flush=True))  # noqa: T201
    say("A lab: two data centres, paris and lyon, with one Proxmox-compatible node each")
    python = sys.executable
    run(python, "-m", "lab", "start", "--name", NAME, "--state-dir", str(STATE), "--image", str(image))
    say("What would be done? (orchestrator plan)")
    run("orchestrator", "plan", EXAMPLES)
    say("Do it (orchestrator apply). Machines boot without hardware help here: some minutes")
    run("orchestrator", "apply", "--yes", EXAMPLES)
    say("What is there now (orchestrator show)")
    for client in ("dupont", "martin"):
        run("orchestrator", "show", client)
    say("The firewall, proved with packets from two addresses")
    prove()
    say("Again: what would be done? (orchestrator plan --detailed-exitcode)")
    run("orchestrator", "plan", "--detailed-exitcode", EXAMPLES)
    print(_next_steps(time.monotonic() - started), flush=True)  # noqa: T201


def down() -> None:
    """Remove machines, network and state. The guest image stays in its cache."""
    run(sys.executable, "-m", "lab", "stop", "--name", NAME, "--state-dir", str(STATE))
    print("every trace of the demo is gone, but for the cached guest image in /var/cache/orchestrator-lab")  # noqa: T201


def prove() -> None:
    """Connect from an allowed and from another address; every answer must be the expected one."""
    plan = read_json("orchestrator", "plan", "--format", "json", EXAMPLES)
    addresses = {f"{m['client']}/{m['machine']}": m["address"] for m in plan["machines"]}
    inventory = read_json("orchestrator", "inventory", "--list")
    for machine, port in LISTENERS.items():
        _listen(_plain(inventory["_meta"]["hostvars"]), addresses[machine], port)
    wrong = 0
    for probe in PROBES:
        address = addresses[probe.machine]
        source = address.rpartition(".")[0] + (_STRANGER_HOST if probe.stranger else _CLIENT_HOST)
        found = _connects(source, address, probe.port)
        wrong += found is not probe.open
        who = "another address" if probe.stranger else "the client's address"
        verdict = ("open" if found else "closed") + ("" if found is probe.open else "   NOT AS IT SHOULD BE")
        print(f"    {probe.machine:<14} port {probe.port:<5} from {source} ({who}): {verdict}", flush=True)  # noqa: T201
    if wrong:
        raise DemoFailed(f"{wrong} of {len(PROBES)} connections did not behave as the files say")


def _connects(source: str, address: str, port: int) -> bool:
    command = [
        "ip",
        "netns",
        "exec",
        f"orchlab-{NAME}",
        "nc",
        "-z",
        "-w",
        "5",
        "-s",
        source,
        address,
        str(port),
    ]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _plain(hostvars: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The variables with plain texts: Ansible's JSON writes one that is not a template as an object of its own."""
    return {
        host: {
            name: value.get("__ansible_unsafe", value) if isinstance(value, dict) else value
            for name, value in variables.items()
        }
        for host, variables in hostvars.items()
    }


def _listen(hostvars: dict[str, dict[str, Any]], address: str, port: int) -> None:
    host = next(values for values in hostvars.values() if values["ansible_host"] == address)
    unit = f"demo-listener-{port}"
    remote = f"systemctl is-active --quiet {unit} || sudo systemd-run --quiet --unit {unit} nc -lk {port}"
    serves = f"until ss -Hltn 'sport = :{port}' | grep -q .; do sleep 0.2; done"
    remote = f'({remote}) && timeout 60 sh -c "{serves}"'
    command = [
        "ssh",
        "-i",
        host["ansible_ssh_private_key_file"],
        *shlex.split(host["ansible_ssh_common_args"]),
    ]
    command += [f"{host['ansible_user']}@{address}", remote]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise DemoFailed(f"no listener could be started on {address}: {done.stderr.strip()}")


def _next_steps(seconds: float) -> str:
    exports = f"export ORCHESTRATOR_INVENTORY={STATE}/inventory XDG_STATE_HOME={STATE}/state"
    return f"""
Done in {seconds / 60:.1f} minutes. Try next:

  {exports}
  .venv/bin/orchestrator history                 what was done, by whom, with which task
  .venv/bin/orchestrator history verify          and that nobody altered it
  edit examples/dupont.yaml: give db-1 `memory: 1GiB`, close port 80, or ask for a smaller disk; then
  .venv/bin/orchestrator plan examples           what would change, what restarts when, what is refused
  make demo-down                                 remove every trace
"""


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="python -m lab.demo", description=__doc__)
    parser.add_argument("what", choices=("up", "down"))
    what = parser.parse_args().what
    try:
        up() if what == "up" else down()
    except DemoFailed as error:
        print(f"\nthe demo stopped: {error}\nRun it again: it goes on from here.", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
