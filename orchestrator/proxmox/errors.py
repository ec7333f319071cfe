"""What can go wrong with a call to Proxmox VE, told apart in one place.

Proxmox answers nearly every refusal with status 500 and a sentence, and a doomed task with status 200: only
the sentence says what happened. :data:`_RULES` is the one table of those sentences (from pve-manager,
qemu-server, pve-storage and pve-guest-common); it serves answers and exit statuses of tasks alike.

Every error names the place (site and call), the cause (what Proxmox said) and the remedy. None holds a secret:
parameters are not part of an error, and the client scrubs what the server echoes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import OrchestratorError


class ProxmoxError(OrchestratorError):
    """A call that did not do what it was asked.

    Attributes:
        site: the site whose cluster was asked.
        call: method and path (``POST /nodes/n/qemu/9000/clone``), or the task (``task qmclone 9000 on n``).
        status: the HTTP status; None if there was no answer, or for a task.
        text: what Proxmox said, or what happened to the connection.
        remedy: what a person can do about it; may be empty.
    """

    def __init__(
        self, text: str, *, site: str, call: str, status: int | None = None, remedy: str = ""
    ) -> None:
        super().__init__(text, remedy=remedy)
        self.site = site
        self.call = call
        self.status = status

    def said(self) -> str:
        """The place, what Proxmox said, and what to do."""
        told = f"{self.site}: {self.call}: {self.text}"
        return f"{told}: {self.remedy}" if self.remedy else told

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class Unreachable(ProxmoxError):
    """No answer, and the request surely changed nothing: it was a read, or never reached the node."""

    default_remedy = (
        "check that the hypervisor is up and its address in the inventory; then run the same command again"
    )


class Uncertain(ProxmoxError):
    """A write whose connection broke or timed out after it may have been sent: the caller must look again."""

    default_remedy = (
        "it may have taken effect: look at the machine's tasks in Proxmox, or run the same command again"
    )


class Unusable(ProxmoxError):
    """What this computer has of the site (token, CA file, address of the API) cannot be used. Nothing was sent."""

    default_remedy = "correct `api` of this site in the site file; the other sites are not concerned"


class BadAnswer(ProxmoxError):
    """An answer that is not what the API promises: not JSON, another type, a value out of range, too long.

    A write that was answered so is :class:`Uncertain`: it may have taken effect.
    """

    default_remedy = (
        "see what is answered there (pvesh get PATH on a node, journalctl -u pveproxy), and that no other server "
        "stands between; then run the same command again"
    )


class TlsRefused(ProxmoxError):
    """The server's certificate is not the one to trust. Nothing was sent."""

    default_remedy = (
        "name the cluster's CA as ca_file of the site (/etc/pve/pve-root-ca.pem on a node) and its host as in the "
        "certificate; if neither changed, somebody may be in between"
    )


class TokenRefused(ProxmoxError):
    """The API token is unknown, expired or wrong (401)."""

    default_remedy = (
        "check token_id and the secret behind token_secret of this site (pveum user token list USER)"
    )


class PermissionDenied(ProxmoxError):
    """The token may not do this (403, or 'only root can …').

    Attributes:
        privilege: the missing privilege or privileges as Proxmox names them; empty if it does not say.
        path: where they are missing, such as ``/vms/100``; empty if it does not say.
    """

    privilege: str = ""
    path: str = ""
    default_remedy = "give the token's user and the token the role of docs/proxmox.md on this path"


class BadParameters(ProxmoxError):
    """The call's parameters are wrong (400).

    Attributes:
        errors: what is wrong, by parameter.
    """

    errors: Mapping[str, str] = {}
    default_remedy = (
        "check that what the site file names (storages, bridges, images) is there, and that this is Proxmox VE "
        "8 or 9"
    )


class NotFound(ProxmoxError):
    """The VM, storage, pool, snapshot, volume or node does not exist."""

    default_remedy = "if somebody removed it meanwhile, run the same command again: it looks again"


class NoFreeId(ProxmoxError):
    """Every number that new VMs may have is taken."""


class AlreadyExists(ProxmoxError):
    """The VM id, pool or snapshot name is taken."""

    default_remedy = "if somebody made it meanwhile, run the same command again: it looks again"


class DigestMismatch(ProxmoxError):
    """The configuration changed since it was read."""

    default_remedy = "somebody else changed it meanwhile: plan again"


class Locked(ProxmoxError):
    """A mark in the VM's configuration keeps others away until its task ends; a crashed task leaves it.

    Attributes:
        mark: ``backup``, ``clone``, ``create``, ``disk``, ``migrate``, ``rollback``, ``snapshot``, …
    """

    mark: str = ""


class LockTimeout(ProxmoxError):
    """Others held a lock for longer than Proxmox waits (10 s for most). Passes by itself; nothing was changed."""

    default_remedy = (
        "another task is at work on the same VM or storage: run the same command again when it has ended"
    )


class Protected(ProxmoxError):
    """The VM or the backup is protected against removal."""

    default_remedy = "lift the protection in Proxmox first if it is really to go"


class StorageFull(ProxmoxError):
    """There is no room left on the storage."""

    default_remedy = "make room on the storage or enlarge it, then run the same command again"


class AgentNotRunning(ProxmoxError):
    """The guest agent does not answer: not installed, not enabled, or the guest is not up yet."""

    default_remedy = (
        "wait until the guest has booted; if it has, see that qemu-guest-agent is installed and enabled"
    )


class NotRunning(ProxmoxError):
    """The VM is not running."""

    default_remedy = "if somebody stopped it meanwhile, run the same command again: it looks again"


class AlreadyRunning(ProxmoxError):
    """The VM runs already."""

    default_remedy = "if somebody started it meanwhile, run the same command again: it looks again"


class NotImplementedByServer(ProxmoxError):
    """The server does not have this call, or not in this form (501)."""

    default_remedy = "the orchestrator needs Proxmox VE 8 or 9: see GET /version"


class ServerError(ProxmoxError):
    """Anything else that the server reports as its own failure."""

    default_remedy = (
        "see the node's log (journalctl -u pvedaemon -u pveproxy), then run the same command again"
    )


class TaskFailed(ProxmoxError):
    """A task ended badly.

    Attributes:
        upid: the task.
        exitstatus: how it ended, in its own words.
        log_tail: the last lines of its log.
        cause: the same told as one of the other errors if the exit status or the log says so.
        said: the first error that its log tells, where the exit status does not say what happened; may be empty.
    """

    def __init__(
        self,
        *,
        site: str,
        call: str,
        upid: str,
        exitstatus: str,
        log_tail: tuple[str, ...],
        cause: ProxmoxError | None,
        said: str = "",
    ) -> None:
        # vzdump's exit status is "job errors", whatever happened; the reason is an ERROR line of its log.
        reason = cause.text if cause else said
        text = exitstatus if not reason or reason in exitstatus else f"{exitstatus}: {reason}"
        remedy = cause.remedy if cause and cause.remedy else f"see the log of task {upid}"
        super().__init__(text, site=site, call=call, remedy=remedy)
        self.upid = upid
        self.exitstatus = exitstatus
        self.log_tail = log_tail
        self.cause = cause


class TaskTimeout(ProxmoxError):
    """A task did not end in time. It may still be running.

    Attributes:
        upid: the task.
    """

    def __init__(self, text: str, *, site: str, call: str, upid: str, remedy: str = "") -> None:
        super().__init__(
            text,
            site=site,
            call=call,
            remedy=remedy or f"it may still run: see task {upid}, stop it there if it hangs, then plan again",
        )
        self.upid = upid


class TaskLeft(TaskTimeout):
    """A task was not waited for any longer, because the run was interrupted. It goes on in Proxmox."""

    def __init__(self, *, site: str, call: str, upid: str) -> None:
        super().__init__(
            "interrupted: it continues in Proxmox, unattended",
            site=site,
            call=call,
            upid=upid,
            remedy=f"the next run looks at what came of task {upid}",
        )


@dataclass(frozen=True)
class _Rule:
    """A sentence of Proxmox and what it means. Named groups fill the remedy and the error's attributes."""

    pattern: re.Pattern[str]
    kind: type[ProxmoxError]
    remedy: str = ""


def _rule(pattern: str, kind: type[ProxmoxError], remedy: str = "") -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), kind, remedy)


# The first that matches wins: the particular before the general.
_RULES = (
    _rule(r"Permission check failed \((?:pool|storage) '[^']+' does not exist\)", NotFound),
    _rule(r"Permission check failed \((?P<path>/[^,)]*|), (?P<privilege>[\w.|]+)\)", PermissionDenied),
    _rule(
        r"only root (?:can|may)|user != root@pam",
        PermissionDenied,
        "Proxmox reserves this to root@pam itself, not to tokens: it has to be done on the node",
    ),
    _rule(
        r"permission check failed - missing (?P<privilege>[\w.|]+) on (?P<path>/[^\s,)]*)",
        PermissionDenied,
        "the backup server refuses it: the storage's user or token there lacks that privilege (its role "
        "DatastorePowerUser may also remove its own backups, DatastoreBackup may not)",
    ),
    _rule(r"Permission check failed", PermissionDenied),
    _rule(r"checksum mismatch|detected modified configuration", DigestMismatch),
    _rule(
        r"VM is locked \((?P<mark>suspended)\)",
        Locked,
        "it is hibernated: start it in Proxmox (it goes on where it was), then run this again; `qm unlock {vmid}` "
        "loses what it had in memory",
    ),
    _rule(
        r"(?:VM|CT) is locked(?: \((?P<mark>[\w-]+)\))?",
        Locked,
        "wait until its task ({mark}) ends; if none runs, a crashed one left the mark: lift it with "
        "`qm unlock {vmid}` on node {node}",
    ),
    _rule(r"protection mode enabled|cannot remove protected (?:volume|snapshot)", Protected),
    _rule(
        r"guest agent is not running|no qemu guest agent configured|command 'guest-[\w-]+' failed",
        AgentNotRunning,
    ),
    _rule(
        r"VM quit/powerdown failed",
        ServerError,
        "the guest ignores the power button (ACPI): shut it down from inside, or stop it by hand",
    ),
    # A monitor command that timed out is no lock: it may have been carried out.
    _rule(r"qmp command '[^']*' failed|monitor command .* failed", ServerError),
    _rule(
        r"can't lock file|got lock request timeout|cfs-lock '[^']*' error|unable to acquire lock|can't acquire lock|"
        r"got timeout",
        LockTimeout,
    ),
    _rule(
        r"no space left on device|not enough (?:free )?space|out of space|insufficient free space|"
        r"free space in thin pool .* reached threshold|disk quota exceeded",
        StorageFull,
    ),
    _rule(r"VM \d+ (?:is )?already running", AlreadyRunning),
    _rule(r"VM (?:\d+ )?(?:is )?not running", NotRunning),
    _rule(
        r"config file already exists|VM \d+ already exists|(?:pool|role|user) '[^']+' already exists|"
        r"snapshot name '[^']+' already used|already a pool member|storage ID '[^']+' already defined|"
        r"(?:resource ID|ha group ID|HA rule|replication job) '[^']+' already (?:defined|exists)|"
        r"replication job for guest '[^']+' to target '[^']+' already exists",
        AlreadyExists,
    ),
    _rule(
        r"(?:Configuration file|storage|pool|snapshot|volume|resource|guest|target|HA rule) '[^']*' does not exist|"
        r"(?:volume|pool|storage) \S+ does not exist|unable to find VM|no such (?:cluster node|VM|pool|job|snapshot|"
        r"task|storage|resource|ha group|ha rule|replication job)|not HA managed|VM \d+ is not a pool member|"
        r"unable to find configuration file|unable to parse worker upid|hostname lookup '[^']*' failed",
        NotFound,
    ),
    _rule(
        r"cannot use unmanaged resource\(s\)",
        NotFound,
        "its HA resource went away meanwhile: run the same command again, it looks again",
    ),
    _rule(
        r"cannot use non-existent node\(s\)",
        NotFound,
        "a node of the site file is not in the cluster: correct the nodes in the site file",
    ),
    _rule(
        r"belongs already to pool '(?:[^']+)'",
        ServerError,
        "the VM is in another pool: take it out there (Datacenter > Permissions > Pools), then run the same command "
        "again",
    ),
    _rule(
        r"used in HA resources and purge parameter not set",
        ServerError,
        "the HA manager keeps the VM: remove its HA resource (`ha-manager remove vm:{vmid}`), then run the same "
        "command again",
    ),
    _rule(
        r"no replicatable volumes found|missing replicate feature on volume",
        ServerError,
        "Proxmox replicates disks on local ZFS storages only: move the VM's disks to one, or take "
        "redundancy.second_site out of its file",
    ),
    _rule(
        r"source and target must not be identical",
        ServerError,
        "the VM stands on the node that its disks shall be copied to: migrate it to another node, then run the same "
        "command again",
    ),
    _rule(
        r"ha groups have been migrated to rules",
        ServerError,
        "the cluster was upgraded to Proxmox VE 9 meanwhile: run the same command again",
    ),
    _rule(
        r"is not most recent snapshot",
        ServerError,
        "the storage can only go back to the newest snapshot: delete the newer ones first (they are lost), then roll "
        "back again",
    ),
    _rule(
        r"VM uses local storage",
        ServerError,
        "the template's disks are on a storage that the other node does not have: keep a copy of the template there, "
        "or move its disks to a shared storage",
    ),
    _rule(
        r"no quorum",
        ServerError,
        "the cluster has lost its quorum and is read-only: bring its nodes back (pvecm status), then run the same "
        "command again",
    ),
    _rule(
        r"snapshot feature is not available",
        ServerError,
        "a disk of the VM is raw on a directory storage: use qcow2 there (disk_format of the site)",
    ),
)

_NOT_DELIVERED = 595
"""The proxy of one node could not open a connection to the node that was asked for (AnyEvent::HTTP)."""

NODE_SILENT = frozenset({595, 596, 597, 599})
"""Statuses by which one node says that another does not answer."""

_GATEWAY = frozenset({502, 503, 504}) | NODE_SILENT
"""Said by a proxy, or by one node about another: not the answer of the node that was asked."""


@dataclass(frozen=True)
class Answer:
    """A refusal as it came: from an HTTP answer, or from the end of a task (status None).

    Attributes:
        call: as in :class:`ProxmoxError`.
        node, vmid: whom it was about, for remedies.
        write: whether the call was meant to change something.
    """

    site: str
    call: str
    status: int | None
    text: str
    errors: Mapping[str, str]
    node: str = "NODE"
    vmid: str = "ID"
    write: bool = False


_MOST_ERRORS = 20
_LONGEST_TEXT = 1000


def tidy(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Text of a server on one line, without anything that is not printable, and not too long for a message."""
    line = " ".join(text[: 4 * longest].split())
    safe = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)
    return safe if len(safe) <= longest else safe[:longest] + " […]"


def classify(answer: Answer) -> ProxmoxError:
    """Tell which error a refusal is."""
    text = tidy(answer.text) or f"status {answer.status} without a word"
    if answer.errors:
        told = sorted(answer.errors.items())[:_MOST_ERRORS]
        details = "; ".join(f"{tidy(name, 100)}: {tidy(str(why), 300)}" for name, why in told)
        text = f"{text.rstrip('.')}: {details}"
    if answer.status == 401:
        return _error(TokenRefused, answer, text)
    if answer.status in _GATEWAY:
        delivered = answer.write and answer.status != _NOT_DELIVERED
        return _error(Uncertain if delivered else Unreachable, answer, text)
    by_sentence = _by_sentence(answer, text)
    if by_sentence:
        return by_sentence
    if answer.status == 400:
        error = _error(BadParameters, answer, text)
        assert isinstance(error, BadParameters)  # noqa: S101  (for the type checker)
        error.errors = dict(answer.errors)
        return error
    kind: type[ProxmoxError] = {403: PermissionDenied, 404: NotFound, 501: NotImplementedByServer}.get(
        answer.status or 0, ServerError
    )
    return _error(kind, answer, text)


def cause_of_exit(answer: Answer) -> ProxmoxError | None:
    """Tell which error the end of a task is, or None if its words are not known."""
    return _by_sentence(answer, tidy(answer.text))


def _by_sentence(answer: Answer, text: str) -> ProxmoxError | None:
    for rule in _RULES:
        found = rule.pattern.search(text)
        if found:
            groups = {name: value or "" for name, value in found.groupdict().items()}
            places: dict[str, Any] = {"node": answer.node, "vmid": answer.vmid, **groups}
            error = _error(rule.kind, answer, text, rule.remedy.format(**places))
            for name, value in groups.items():
                setattr(error, name, value)
            return error
    return None


def _error(kind: type[ProxmoxError], answer: Answer, text: str, remedy: str = "") -> ProxmoxError:
    return kind(text, site=answer.site, call=answer.call, status=answer.status, remedy=remedy)
