"""Firewall and SSH keys of 50 machines that are right already: ours against stock Ansible, in one run.

    python -m bench.guests [MACHINES]

The machines are light ones: an SSH server in network, mount and process namespaces of its own each (its own /etc,
homes and nftables), all at one bridge. One machine is brought to what is wanted by both playbooks; all others are
copies of it, with the rules loaded. Then, from a namespace at the same bridge:

- ours: one `run_playbook("machine.yml", ...)`, the roles firewall and ssh_keys, not in check mode, with its own start
  and its goodbye to every machine;
- stock: one `ansible-playbook` with an empty ansible.cfg (5 forks, facts gathered, no pipelining, connections shared
  as Ansible does by itself) and bench/stock/machine.yml, the same job with copy, file and lineinfile.

Both log in as admin, become root by sudo, and verify host keys. Each must find every machine right and change nothing,
or there is no measurement. Ours runs before and after stock, and the slower one counts: if they differ much, something
else ran meanwhile and the figures are worth nothing. Processes are what the kernel counted meanwhile (`processes` of
/proc/stat: threads are among them). Needs root, like the tests with guests.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.guests import Guest, SshSettings, write_known_hosts
from orchestrator.guests.inventory import host_name, host_variables
from orchestrator.guests.keys import BRING, fingerprint
from orchestrator.guests.playbooks import run_playbook
from orchestrator.guests.rules import SSH_PORT
from tests.lab.namespace_guest import (
    GUEST,
    MANAGEMENT,
    MOUNTS,
    make_key,
    namespace_guest,
    opening,
    policy,
    unique_name,
)

_LOAD = "Load the rules, the way back armed"
_STOCK = Path(__file__).with_name("stock") / "machine.yml"
_NETWORK = MANAGEMENT.rpartition(".")[0]
_FIRST = 100
_BOOT = f"""
{MOUNTS}
nft -f /etc/orchestrator/firewall.nft
exec /usr/sbin/sshd -D -E "$folder/sshd.log"
"""
_UNSHARED = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]


def _target(folder: Path, number: int, address: str) -> Guest:
    """A machine as the orchestrator knows it: the provider and Alice may log in, Bob no longer."""
    host_key = (folder / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
    provider, alice, bob = (
        (folder / f"{name}.pub").read_text().strip() for name in ("user_key", "alice", "bob")
    )
    return Guest(
        client="bench",
        machine=f"m{number}",
        address=address,
        user="admin",
        host_keys=(" ".join(host_key.split()[:2]),),
        policy=policy(opening(443), opening(5432, "198.51.100.0/24"), management=MANAGEMENT),
        keys=(provider, alice),
        former_keys=(fingerprint(bob),),
    )


def _ours(targets: Sequence[Guest], ssh: SshSettings) -> list[str]:
    """Run our playbook; what it says of each machine's firewall and keys."""
    run = run_playbook("machine.yml", targets, ssh)
    said = [
        str(result.result.get("stdout", "")).split("\n")[0].strip()
        for result in run.results
        if result.task in (_LOAD, BRING) and result.kind in ("ok", "failed", "unreachable")
    ]
    if len(said) != 2 * len(targets):
        raise SystemExit(f"ours did not get through: {run.output}")
    return said


def _stock(targets: Sequence[Guest], ssh: SshSettings, folder: Path) -> list[str]:
    """Run the stock playbook; how many changes it made on each machine."""
    work = folder / "stock"
    work.mkdir(exist_ok=True)
    (work / "ansible.cfg").write_text("")
    write_known_hosts(work / "known_hosts", targets)
    bob = (folder / "bob.pub").read_text().strip()
    names = ("ansible_host", "ansible_user", "ansible_ssh_private_key_file", "ansible_ssh_common_args")
    hosts: dict[str, dict[str, Any]] = {}
    for target in targets:
        variables = host_variables(target, ssh, work / "known_hosts")
        hosts[host_name(target)] = {
            **{name: variables[name] for name in (*names, "firewall_rules", "ssh_keys_wanted")},
            "authorized_keys": "/run/homes/admin/.ssh/authorized_keys",
            "former_keys": [bob],
        }
    (work / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    program = Path(sys.executable).with_name("ansible-playbook")
    # A socket's path holds 108 bytes: the folder is short.
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(work),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(work / "ansible.cfg"),
    }
    done = subprocess.run(
        [program, "-i", work / "inventory.json", _STOCK],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"stock Ansible did not get through:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return re.findall(r"changed=(\d+)", done.stdout)


def _golden(folder: Path) -> None:
    """Make one machine and bring it to what is wanted, by both playbooks; its folder remains."""
    with namespace_guest(folder, unique_name()) as guest:
        for name in ("alice", "bob"):
            make_key(folder / name)
        target, ssh = _target(folder, 0, GUEST), guest.ssh()
        _ours([target], ssh)
        _stock([target], ssh, folder)


@contextmanager
def _machines(folder: Path, addresses: Sequence[str]) -> Iterator[str]:
    """Copies of the machine at one bridge; yields the network namespace of the provider, at the same bridge."""
    outside = unique_name()
    networks = [f"{outside}-{number}" for number in range(len(addresses))]
    started: list[subprocess.Popen[bytes]] = []
    try:
        _network(
            outside,
            "link add bridge type bridge",
            f"address add {MANAGEMENT}/24 dev bridge",
            "link set bridge up",
        )
        for network, address in zip(networks, addresses, strict=True):
            copy = folder / "copies" / network
            copy.mkdir(parents=True)
            # Hard links: nothing is changed in place, and thousands of files need not be copied for each.
            parts = [folder / part for part in ("etc", "sbin", "homes")]
            subprocess.run(["cp", "-al", *parts, copy], check=True)
            _network(
                network,
                f"link add eth0 type veth peer name {network} netns {outside}",
                f"address add {address}/24 dev eth0",
                "link set eth0 up",
            )
            subprocess.run(
                ["ip", "-n", outside, "link", "set", network, "master", "bridge", "up"], check=True
            )
            boot = [*_inside(network), *_UNSHARED, "/bin/sh", "-c", _BOOT, "guest", str(copy)]
            started.append(subprocess.Popen(boot))
        yield outside
    finally:
        for process in started:
            process.kill()
            process.wait()
        for namespace in (*networks, outside):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)


def _network(namespace: str, *commands: str) -> None:
    """Make a network namespace and run commands of ip in it."""
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    lines = "\n".join(("link set lo up", *commands))
    subprocess.run(["ip", "-n", namespace, "-batch", "-"], input=lines, text=True, check=True)


def _inside(namespace: str) -> list[str]:
    return ["nsenter", f"--net=/run/netns/{namespace}", "--"]


def _await_ssh(address: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection((address, SSH_PORT), timeout=5) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _processes_started() -> int:
    found = re.search(r"^processes (\d+)$", Path("/proc/stat").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def _counted(run: Callable[[], list[str]]) -> tuple[float, int, list[str]]:
    """Seconds, processes started meanwhile, and what the run said."""
    processes, started = _processes_started(), time.perf_counter()
    said = run()
    return time.perf_counter() - started, _processes_started() - processes, said


def _compare(folder: Path, addresses: Sequence[str]) -> None:
    """Measure and print; the caller is in the provider's network namespace."""
    targets = [_target(folder, number, address) for number, address in enumerate(addresses)]
    ssh = SshSettings(private_key=folder / "user_key")
    for address in addresses:
        _await_ssh(address)
    before = _counted(lambda: _ours(targets, ssh))
    stock, stock_processes, changes = _counted(lambda: _stock(targets, ssh, folder))
    after = _counted(lambda: _ours(targets, ssh))
    ours, our_processes, _ = max(before, after)
    said = before[2] + after[2]
    if said != ["unchanged"] * 4 * len(targets) or changes != ["0"] * len(targets):
        raise SystemExit(f"the machines were not right already: ours says {said}, stock {changes}")
    print(f"firewall and keys of {len(targets)} machines that are right already, {os.cpu_count()} cores")
    print(
        f"  ours   {ours:6.1f} s  {our_processes:6} processes   (before {before[0]:.1f} s, after {after[0]:.1f} s)"
    )
    print(f"  stock  {stock:6.1f} s  {stock_processes:6} processes")
    print(
        f"  ratio  {stock / ours:6.1f}    {stock_processes / our_processes:6.1f}"
        f"   {'3 or better' if stock >= 3 * ours else 'LESS THAN 3'}"
    )


def main() -> None:
    """Measure and print."""
    machines = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    addresses = [f"{_NETWORK}.{_FIRST + number}" for number in range(machines)]
    if os.geteuid():
        print(f"firewall and keys of {machines} machines: not measured, namespaces need root")
        return
    # A socket's path holds 108 bytes: the folder's name is short, whatever TMPDIR says.
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        folder = Path(name)
        _golden(folder)
        with _machines(folder, addresses) as outside:
            again = [sys.executable, "-m", "bench.guests", "inside", str(folder), *addresses]
            subprocess.run([*_inside(outside), *again], check=True, cwd=Path(__file__).parents[1])


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        _compare(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
