"""A guest without a virtual machine: real sshd, real nft, real packets, in namespaces of its own; up in a second.

The guest has its own network (a veth pair leads to a second namespace, the provider's side, and from there
nowhere), its own mounts (/etc, /run, /usr/local/sbin are private) and its own processes: when the first of
them ends, all do. It has two users: root, and admin, who becomes root by sudo. It runs no systemd unless asked for, and
then nothing but systemd itself: what depends on a whole boot is tested with virtual machines.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from orchestrator.guests import FirewallPolicy, Guest, PartOutcome, SshSettings, configure_machines
from orchestrator.subscriptions.openings import Opening

_HERE = Path(__file__).parent
_PORTS = ("443", "5432", "9999")

MANAGEMENT = "192.0.2.1"
CLIENT = "192.0.2.66"
STRANGER = "192.0.2.77"
"""Addresses on the provider's side of the cable."""

SIX = {MANAGEMENT: "2001:db8::1", CLIENT: "2001:db8::66", STRANGER: "2001:db8::77"}
"""The same parties' IPv6 addresses."""

GUEST = "192.0.2.10"
GUEST_SIX = "2001:db8::10"

ADMIN_ID = 1000
"""The guest's user admin and its group."""


def apply_firewalls(
    targets: Sequence[Guest],
    ssh: SshSettings,
    *,
    on_event: Callable[[tuple[str, str], str], None] | None = None,
) -> dict[tuple[str, str], PartOutcome]:
    """Bring machines to their targets, and return how their firewalls fared."""
    outcomes = configure_machines(targets, ssh, on_event=on_event)
    return {key: parts["firewall"] for key, parts in outcomes.items()}


def policy(*openings: Opening, management: str = MANAGEMENT) -> FirewallPolicy:
    """A policy that the provider of these tests could have: it and the client may use SSH."""
    parties = [management, SIX.get(management, management)]
    return FirewallPolicy(
        openings,
        tuple(ip_network(address) for address in (CLIENT, SIX[CLIENT])),
        tuple(ip_network(address) for address in parties),
    )


def opening(port: int, *sources: str, protocol: str = "tcp") -> Opening:
    """One open port, from anywhere unless sources are given."""
    networks = tuple(ip_network(source) for source in sources)
    return Opening(port, port, "udp" if protocol == "udp" else "tcp", networks or ("any",))


def eventually(condition: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
    """Wait until a condition holds; fail with `what` if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never within {seconds:.0f} s: {what}"
        time.sleep(0.05)


@dataclass
class NamespaceGuest:
    """One guest; `start` brings it up, `stop` ends it as a power cut would.

    Attributes:
        own_root: everything that it writes stays in it (in memory, lost at `stop`): packages can be installed.
        systemd: its first process is systemd, without any unit of the machine that the tests run on; has its own root.
    """

    name: str
    folder: Path
    own_root: bool = False
    systemd: bool = False
    init: subprocess.Popen[str] | None = field(default=None, init=False)

    @property
    def network(self) -> str:
        """The guest's network namespace."""
        return f"{self.name}-guest"

    @property
    def outside(self) -> str:
        """The network namespace of the provider, the client and the stranger."""
        return f"{self.name}-out"

    def start(self) -> None:
        """Boot: a new network stack, an empty /run, and /etc as it was left."""
        for namespace in (self.network, self.outside):
            _ip("netns", "add", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        _ip(
            "-n",
            self.network,
            "link",
            "add",
            "eth0",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            self.outside,
        )
        _ip("-n", self.network, "link", "set", "eth0", "up")
        _ip("-n", self.outside, "link", "set", "eth0", "up")
        for address in (f"{GUEST}/24", f"{GUEST_SIX}/64"):
            self._address(self.network, address)
        for four, six in SIX.items():
            self._address(self.outside, f"{four}/24")
            self._address(self.outside, f"{six}/64")
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if self.systemd:
            self._cgroup.mkdir()
            namespaces = [*_JOIN, str(self._cgroup), *namespaces, "--cgroup", "--uts"]
        services = [sys.executable, str(_HERE / "services.py"), *_PORTS]
        self.init = subprocess.Popen(
            [
                *_inside(self.network),
                *namespaces,
                "--",
                "/bin/sh",
                "-c",
                self._boot(),
                "guest",
                str(self.folder),
                *services,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.init.stdout is not None
        said = {self.init.stdout.readline() for _ in range(2)}
        assert said == {"services ready\n", "sshd ready\n"}, (self.folder / "sshd.log").read_text()
        if self.systemd:
            eventually(self._systemd_answers, "systemd of the guest takes commands")

    def _systemd_answers(self) -> bool:
        return self.inside("systemctl", "is-system-running", check=False).stdout in (
            "running\n",
            "degraded\n",
        )

    def _boot(self) -> str:
        if self.systemd:
            return _OWN_ROOT + _FOR_SYSTEMD + _BOOT % _SYSTEMD
        return (_OWN_ROOT if self.own_root else _SHARED_ROOT) + _BOOT % "wait"

    @property
    def _cgroup(self) -> Path:
        """The group of the guest's processes, which systemd divides."""
        mounted = next(line for line in Path("/proc/mounts").read_text().splitlines() if " cgroup2 " in line)
        return Path(mounted.split()[1]) / self.name

    def stop(self) -> None:
        """Cut the power."""
        if self.init is not None:
            self.init.kill()
            self.init.wait()
            assert self.init.stdout is not None
            self.init.stdout.close()
            self.init = None
        if self.systemd:
            eventually(self._is_empty, "every process of the guest has ended")
        for namespace in (self.network, self.outside):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)

    def _is_empty(self) -> bool:
        """Remove the groups that systemd made; false while something runs in one."""
        groups = sorted(self._cgroup.glob("**/"), reverse=True) if self._cgroup.exists() else []
        try:
            for group in groups:
                group.rmdir()
        except OSError:
            return False
        return True

    def _address(self, namespace: str, address: str) -> None:
        # Without duplicate address detection an IPv6 address can be used at once.
        extra = ["nodad"] if ":" in address else []
        _ip("-n", namespace, "address", "add", address, "dev", "eth0", *extra)

    def ssh(self, source: str = MANAGEMENT, rollback_seconds: int = 20) -> SshSettings:
        """How the provider reaches the guest, coming from one of the addresses outside."""
        relay = f"{sys.executable} {_HERE / 'relay.py'} {source} %h %p"
        return SshSettings(
            private_key=self.folder / "user_key",
            proxy_command=shlex.join(_inside(self.outside)) + " " + relay,
            connect_timeout_seconds=20,
            rollback_seconds=rollback_seconds,
        )

    def target(self, wanted: FirewallPolicy, *, address: str = GUEST, host_key: str | None = None) -> Guest:
        """The guest as the orchestrator knows it."""
        key = host_key or (self.folder / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
        return Guest(
            client="dupont",
            machine="web-1",
            address=address,
            user="root",
            host_keys=(" ".join(key.split()[:2]),),
            policy=wanted,
        )

    def probe(self, *questions: tuple[str, str, int]) -> list[str]:
        """Send packets from outside: (tcp, udp or ping; source; port) each; see probe.py for the answers."""
        asked: list[list[str | int]] = [
            [kind, source, GUEST_SIX if ":" in source else GUEST, port] for kind, source, port in questions
        ]
        return _probe(self.outside, asked)

    def probe_outside(self, *questions: tuple[str, str, int]) -> list[str]:
        """Send packets from inside: (tcp, udp or ping; destination; port) each; see probe.py for the answers."""
        asked: list[list[str | int]] = [
            [kind, GUEST_SIX if ":" in party else GUEST, party, port] for kind, party, port in questions
        ]
        return _probe(self.network, asked)

    @contextmanager
    def services_outside(self, *ports: int) -> Iterator[None]:
        """Whoever is outside answers on these ports, TCP and UDP."""
        command = [*_inside(self.outside), sys.executable, str(_HERE / "services.py"), *map(str, ports)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as services:
            try:
                assert services.stdout is not None
                assert services.stdout.readline() == "services ready\n"
                yield
            finally:
                services.kill()

    def connection(self, source: str, port: int) -> subprocess.Popen[bytes]:
        """A connection from outside that stays open: what is written to it comes back."""
        relay = [sys.executable, str(_HERE / "relay.py"), source, GUEST, str(port)]
        return subprocess.Popen(
            [*_inside(self.outside), *relay], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def command_inside(self, *command: str) -> list[str]:
        """What runs a command in the guest, without SSH."""
        assert self.init is not None
        # The first process of the guest is the child of `unshare`, which is what was started.
        children = Path(f"/proc/{self.init.pid}/task/{self.init.pid}/children").read_text().split()
        enter = ["nsenter", f"--target={children[0]}", "--mount", "--pid", "--net", "--root", "--wd", "--"]
        return [*enter, *command]

    def command_outside(self) -> list[str]:
        """What runs a command on the provider's side of the cable."""
        return _inside(self.outside)

    def begin(self, *command: str) -> subprocess.Popen[bytes]:
        """Begin a command in the guest."""
        return subprocess.Popen(
            self.command_inside(*command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def inside(
        self, *command: str, text: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the guest, without SSH."""
        return subprocess.run(
            self.command_inside(*command), input=text, capture_output=True, text=True, check=check
        )

    def rules(self) -> str:
        """What our table in the guest holds; empty if there is none."""
        return self.inside("nft", "-s", "list", "table", "inet", "orchestrator", check=False).stdout


def _probe(namespace: str, asked: list[list[str | int]]) -> list[str]:
    done = subprocess.run(
        [*_inside(namespace), sys.executable, str(_HERE / "probe.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    answers: list[str] = json.loads(done.stdout)
    return answers


def _no_penalties() -> str:
    """OpenSSH 9.8 and newer shut out, for a while, who failed to log in: tests that follow would be refused, too."""
    option = "PerSourcePenalties no"
    known = subprocess.run(
        ["/usr/sbin/sshd", "-T", "-f", "/dev/null", "-o", option], capture_output=True, text=True, check=False
    )
    return "" if "Bad configuration option" in known.stderr else f"{option}\n"


MOUNTS = """
set -e
folder=$1; shift
mount --make-rprivate /
mount --bind "$folder/etc" /etc
mount --bind "$folder/sbin" /usr/local/sbin
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd /run/homes
mount --bind "$folder/homes" /run/homes
"""
"""Shell commands that give a guest, in a mount namespace of its own, what is in its folder."""

_SHARED_ROOT = MOUNTS + "root=\n"

# The upper layer is in memory: overlayfs takes none that lies within the lower one.
_OWN_ROOT = """
set -e
folder=$1; shift
root=$folder/root
mount --make-rprivate /
mkdir -p "$folder/disk" "$root"
mount -t tmpfs -o size=256m tmpfs "$folder/disk"
mkdir "$folder/disk/upper" "$folder/disk/work"
mount -t overlay -o "lowerdir=/,upperdir=$folder/disk/upper,workdir=$folder/disk/work" overlay "$root"
around=$(dirname "$folder")
mkdir -p "$root$around" # what is mounted below / is not in the overlay: /tmp of Debian 13
mount --bind "$around" "$root$around"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount --bind "$folder/etc" "$root/etc"
mount --bind "$folder/sbin" "$root/usr/local/sbin"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/var/cache/apt"
mount -t tmpfs tmpfs "$root/boot"
mkdir -p "$root/run/sshd" "$root/run/homes"
mount --bind "$folder/homes" "$root/run/homes"
"""

_BOOT = """
exec chroot "${root:-/}" /bin/sh -ec '
folder=$1; shift
"$@" &
tries=0
until /usr/sbin/sshd -E "$folder/sshd.log"; do tries=$((tries + 1)); [ "$tries" -lt 100 ] || exit 1; sleep 0.1; done
until grep -q "Server listening" "$folder/sshd.log"; do sleep 0.05; done
echo "sshd ready"
%s' guest "$folder" "$@"
"""

_JOIN = ("/bin/sh", "-ec", 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"', "join")

# No unit of this machine's system may start: some of them set the kernel's parameters, which are everybody's.
_FOR_SYSTEMD = """
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
rm -rf "$root"/lib/systemd/system/*.wants "$root"/lib/systemd/system/tmp.mount "$root"/lib/systemd/system-generators
mkdir -p "$root/etc/systemd/system"
printf '[Unit]\\nDefaultDependencies=no\\n' >"$root/etc/systemd/system/guest.target"
"""

_SYSTEMD = (
    "exec env container=tests /lib/systemd/systemd --system --unit=guest.target "
    "--show-status=0 --log-target=null"
)

_SSHD = """
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile .ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
"""


@contextmanager
def namespace_guest(
    folder: Path, name: str, *, own_root: bool = False, systemd: bool = False
) -> Iterator[NamespaceGuest]:
    """A running guest; everything of it is gone afterwards."""
    shutil.copytree(
        "/etc", folder / "etc", symlinks=True, ignore=shutil.ignore_patterns("ssh", "orchestrator")
    )
    shutil.rmtree(folder / "etc/systemd", ignore_errors=True)
    (folder / "sbin").mkdir()
    ssh = folder / "etc/ssh"
    ssh.mkdir()
    make_key(ssh / "ssh_host_ed25519_key")
    make_key(folder / "user_key")
    (ssh / "sshd_config").write_text(_SSHD + _no_penalties())
    for name_of_user, number in (("root", 0), ("admin", ADMIN_ID)):
        add_user(folder, name_of_user, number)
    (folder / "etc/sudoers.d").mkdir(exist_ok=True)
    (folder / "etc/sudoers.d/admin").write_text("admin ALL=(ALL) NOPASSWD: ALL\n")
    guest = NamespaceGuest(name=name, folder=folder, own_root=own_root, systemd=systemd)
    try:
        guest.start()
        yield guest
    finally:
        guest.stop()


def add_user(folder: Path, name: str, number: int) -> None:
    """Give the guest a user (of that name, in place of one) with a home of its own and the provider's key in it."""
    # sshd refuses accounts that are locked with "!", as root's can be.
    for file, line in (
        ("passwd", f"{name}:x:{number}:{number}::/run/homes/{name}:/bin/sh"),
        ("group", f"{name}:x:{number}:"),
        ("shadow", f"{name}:*:20000:0:99999:7:::"),
    ):
        path = folder / "etc" / file
        others = [other for other in path.read_text().splitlines() if not other.startswith(f"{name}:")]
        path.write_text("\n".join((line, *others)) + "\n")
    keys = folder / "homes" / name / ".ssh"
    keys.mkdir(parents=True, mode=0o700)
    shutil.copy(folder / "user_key.pub", keys / "authorized_keys")
    (folder / "homes").chmod(0o755)
    for owned in (keys.parent, keys, keys / "authorized_keys"):
        owned.chmod(0o700 if owned.is_dir() else 0o600)
        os.chown(owned, number, number)


def make_key(path: Path) -> None:
    """Make an SSH key pair at a path."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)


def unique_name() -> str:
    """A name for namespaces that no other run uses."""
    return f"fw{os.getpid():x}{time.monotonic_ns() & 0xFFFF:04x}"


def _inside(namespace: str) -> list[str]:
    return ["nsenter", f"--net=/run/netns/{namespace}", "--"]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def echoed(connection: subprocess.Popen[bytes], data: bytes) -> bytes:
    """Write to an open connection and read as much back."""
    assert connection.stdin is not None
    assert connection.stdout is not None
    connection.stdin.write(data)
    connection.stdin.flush()
    return connection.stdout.read(len(data))
