"""The demo: two clients' subscription files become running, firewalled machines, before your eyes.

``python -m lab.demo up`` starts a lab, applies ``examples/`` and proves the firewall with packets;
``python -m lab.demo down`` removes every trace. It uses the orchestrator as any user would: by its command.
With a name and ports of their own (``--name two --ports 18016,18017``) several demos run side by side.
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

from lab import interface
from lab.daemon import running_server
from lab.interface import Interface
from lab.network import namespace_of
from lab.patience import patience, run_patiently
from lab.ports import PortTaken, free_ports, refuse_taken_port, refuse_taken_ports
from lab.settings import DEFAULT_STATE

NAME, PORTS = "demo", "18006,18007"
EXAMPLES = "examples"
_LAST_PORT = 65535
_CLIENT_HOST, _STRANGER_HOST = ".2", ".3"


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


@dataclass(frozen=True)
class Demo:
    """One demo: its name, and the ports of its two sites, separated by a comma."""

    name: str = NAME
    ports: str = PORTS

    @property
    def state(self) -> Path:
        """Everything that it keeps."""
        return DEFAULT_STATE / self.name

    @property
    def web_port(self) -> int:
        """Where its Interface listens: the port after the larger of the two."""
        return max(int(port) for port in self.ports.split(",")) + 1

    @property
    def web_folder(self) -> Path:
        """What its Interface keeps."""
        return self.state / "interface"

    @property
    def down_command(self) -> str:
        """What removes it."""
        return "make demo-down" + ("" if self.name == NAME else f" NAME={self.name}")


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


def environment(demo: Demo) -> dict[str, str]:
    """The demo's own history and inventory: it leaves the user's alone."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "ORCHESTRATOR_INVENTORY": str(demo.state / "inventory"),
        "XDG_STATE_HOME": str(demo.state / "state"),
    }


def run(
    demo: Demo,
    *command: str,
    waiting: str = "the command is still at it",
    usually: str = "some seconds",
) -> None:
    """Show a command and run it; say what is waited for, and how long usually, where it is silent for long."""
    print(f"$ {shlex.join(command)}", flush=True)  # noqa: T201
    code = run_patiently(command, waiting, usually, environment=environment(demo))
    if code:
        raise DemoFailed(
            f"`{shlex.join(command)}` ended with exit code {code}. Run it again: it goes on from here; or remove it: "
            f"{demo.down_command}"
        )


def read_json(demo: Demo, *command: str) -> Any:
    """Run a command that prints JSON."""
    answer = subprocess.run(command, env=environment(demo), check=False, capture_output=True, text=True)
    if answer.returncode:
        raise DemoFailed(f"`{shlex.join(command)}` ended with exit code {answer.returncode}: {answer.stderr}")
    return json.loads(answer.stdout)


def up(demo: Demo) -> None:
    """Everything, from the image to the proof."""
    started = time.monotonic()
    if running_server(demo.state) is None:
        _find_ports(demo)
    say("The guest image: Debian 12 from Debian packages (kept for the next time)")
    from lab.image import USUAL_TIME, ensure_image

    with patience(None, USUAL_TIME) as tell:
        image = ensure_image(report=lambda line: tell(f"    {line}"))
    say("A lab: two data centres, paris and lyon, with one Proxmox-compatible node each")
    start = [sys.executable, "-m", "lab", "start", "--name", demo.name, "--ports", demo.ports]
    run(demo, *start, "--image", str(image), waiting="both APIs are starting")
    say("What would be done? (orchestrator plan)")
    run(demo, "orchestrator", "plan", EXAMPLES)
    say("Do it (orchestrator apply). Machines boot without hardware help here: two to five minutes")
    run(
        demo,
        *("orchestrator", "apply", "--yes", EXAMPLES),
        waiting="three machines boot, which is work for the processor",
        usually="two to five minutes in all, more on a busy computer",
    )
    say("What is there now (orchestrator show)")
    for client in ("dupont", "martin"):
        run(demo, "orchestrator", "show", client)
    say("The firewall, proved with packets from two addresses")
    prove(demo)
    say("Again: what would be done? (orchestrator plan --detailed-exitcode)")
    run(demo, "orchestrator", "plan", "--detailed-exitcode", EXAMPLES)
    say("The Interface: the provider's pages and the client's (orchestrator serve)")
    try:
        shown = interface.start(demo.web_folder, demo.web_port, environment(demo), EXAMPLES)
    except interface.InterfaceFailed as error:
        raise DemoFailed(f"the Interface did not start: {error}") from error
    print(_next_steps(demo, shown, time.monotonic() - started), flush=True)  # noqa: T201


def _find_ports(demo: Demo) -> None:
    """Refuse ports that are taken before minutes are spent, and say which to take."""
    try:
        refuse_taken_ports([int(port) for port in demo.ports.split(",")])
        if demo.web_port > _LAST_PORT:
            raise ValueError(demo.web_port)
        refuse_taken_port(demo.web_port)
    except ValueError:
        raise DemoFailed(f"ports {demo.ports!r}: give two different numbers, as {PORTS}") from None
    except PortTaken as error:
        others = ",".join(map(str, free_ports()))
        name = f"NAME={demo.name}" if demo.name != NAME else "NAME=two" if error.lab == NAME else ""
        again = " ".join(filter(None, ("make demo", name, f"PORTS={others}")))
        raise DemoFailed(f"{error}. Take others: {again}") from error


def down(demo: Demo) -> None:
    """Remove the Interface, machines, network and state. The guest image stays in its cache."""
    interface.stop(demo.web_folder)
    run(demo, sys.executable, "-m", "lab", "stop", "--name", demo.name, waiting="machines are ended")
    print("every trace of the demo is gone, but for the cached guest image in /var/cache/orchestrator-lab")  # noqa: T201


def prove(demo: Demo) -> None:
    """Connect from an allowed and from another address; every answer must be the expected one."""
    plan = read_json(demo, "orchestrator", "plan", "--format", "json", EXAMPLES)
    addresses = {f"{m['client']}/{m['machine']}": m["address"] for m in plan["machines"]}
    inventory = read_json(demo, "orchestrator", "inventory", "--list")
    for machine, port in LISTENERS.items():
        with patience(f"{machine} starts to listen on port {port}", "10 s"):
            _listen(_plain(inventory["_meta"]["hostvars"]), addresses[machine], port)
    wrong = 0
    for probe in PROBES:
        address = addresses[probe.machine]
        source = address.rpartition(".")[0] + (_STRANGER_HOST if probe.stranger else _CLIENT_HOST)
        found = _connects(demo, source, address, probe.port)
        wrong += found is not probe.open
        who = "another address" if probe.stranger else "the client's address"
        verdict = ("open" if found else "closed") + ("" if found is probe.open else "   NOT AS IT SHOULD BE")
        print(f"    {probe.machine:<14} port {probe.port:<5} from {source} ({who}): {verdict}", flush=True)  # noqa: T201
    if wrong:
        raise DemoFailed(f"{wrong} of {len(PROBES)} connections did not behave as the files say")


def _connects(demo: Demo, source: str, address: str, port: int) -> bool:
    command = [
        "ip",
        "netns",
        "exec",
        namespace_of(demo.name),
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


def _next_steps(demo: Demo, shown: Interface, seconds: float) -> str:
    exports = f"export ORCHESTRATOR_INVENTORY={demo.state}/inventory XDG_STATE_HOME={demo.state}/state"
    accounts = "\n".join(f"  {name:<10} {password}" for name, password in shown.passwords.items())
    return f"""
Done in {seconds / 60:.1f} minutes. Look at it in a browser of this computer, or of another by
`ssh -L {demo.web_port}:127.0.0.1:{demo.web_port} …` (the certificate is the demo's own, signed by {shown.authority}):

  {shown.url}

{accounts}

`operator` sees the provider's pages, and acts once it has a second factor (Your account); `dupont` is a client and
sees its own machines. Try next:

  {exports}
  .venv/bin/orchestrator history                 what was done, by whom, with which task
  .venv/bin/orchestrator history verify          and that nobody altered it
  .venv/bin/orchestrator doctor                  what is looked at in a cluster before it is trusted
  .venv/bin/orchestrator nightly --in-working-hours examples      a night, now: a backup, a restore, a report
  edit examples/dupont.yaml: give db-1 `memory: 1GiB`, close port 80, or ask for a smaller disk; then
  .venv/bin/orchestrator plan examples           what would change, what restarts when, what is refused
  {demo.down_command:<45}  remove every trace
"""


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="python -m lab.demo", description=__doc__)
    parser.add_argument("what", choices=("up", "down"))
    parser.add_argument("--name", default=NAME, help="of the demo (%(default)s)")
    parser.add_argument("--ports", default=PORTS, help="of its two APIs (%(default)s)")
    chosen = parser.parse_args()
    demo = Demo(chosen.name, chosen.ports)
    try:
        namespace_of(demo.name)
        up(demo) if chosen.what == "up" else down(demo)
    except (DemoFailed, ValueError) as error:
        print(f"\nthe demo stopped: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print(f"\ninterrupted: run it again to go on, or {demo.down_command}", file=sys.stderr)  # noqa: T201
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
