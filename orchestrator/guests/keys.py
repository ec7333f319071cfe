"""The SSH keys of running machines (article 3.2): their fingerprints, and how a change of them went in a guest.

The role ``ssh_keys`` changes them, see ``playbooks/roles/ssh_keys``. The last way in is never removed: nothing is sent
where the provider's own key would not be among the keys, and what slips through is caught by the guest itself, which
goes back to its previous keys unless a new connection confirms.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache

from orchestrator.guests.answers import UnreadableAnswer, first_line, lines_of, told
from orchestrator.guests.guest import Guest, SshSettings
from orchestrator.guests.inside import KEYS
from orchestrator.guests.outcome import PartOutcome, has_timed_out, reason_of
from orchestrator.guests.pace import why_too_late
from orchestrator.guests.part import Part, Tell
from orchestrator.guests.playbooks import TaskResult
from orchestrator.yaml_reader.public_keys import parse_public_key

BRING = "Bring the SSH keys to what is wanted"
"""The task that changes the keys, or in check mode tells what would change."""

CONFIRM = "Confirm the SSH keys over a new connection"
"""The task that proves that we still get in; it runs where keys were taken out."""

AFTERWARDS = "See what became of the SSH keys"
"""The task that asks a guest whether it went back."""

REPORT = "Report on the SSH keys"
"""The task that fails with the reason."""


@lru_cache(maxsize=1024)  # a client's machines have the same keys, and each is read anew
def fingerprint(public_key: str) -> str:
    """Return a public key's fingerprint as OpenSSH writes it: ``SHA256:`` and 43 characters.

    Args:
        public_key: a line such as ``ssh-ed25519 AAAA… name@host``, without options.

    Raises:
        ValueError: it is not a public key.
    """
    try:
        key = parse_public_key(public_key, any_comment=True)
    except ValueError as error:
        raise ValueError(
            "this is not an SSH public key: give the whole line of the .pub file (ssh-ed25519 AAAA... name)"
        ) from error
    blob = base64.b64decode(key.base64)
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def is_public_key(line: str) -> bool:
    """Whether a line is a public key without options."""
    try:
        fingerprint(line)
    except ValueError:
        return False
    return True


def fingerprints(public_keys: Iterable[str]) -> tuple[str, ...]:
    """Return the fingerprint of each public key, in their order.

    Raises:
        ValueError: one of them is not a public key.
    """
    return tuple(map(fingerprint, public_keys))


def key_objection(guest: Guest, ssh: SshSettings) -> str | None:
    """Say why a machine's keys must not be sent to it; None if they may.

    The key that we connect with must be among those that stay, or removing one could shut us out. A machine whose
    keys are left alone (it has none here) has nothing to be objected to.
    """
    if not guest.keys:
        return None
    import paramiko

    try:
        ours = paramiko.PKey.from_path(ssh.private_key)
    except (OSError, ValueError, TypeError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
        return (
            f"{guest.name}: the private key {ssh.private_key} cannot be read ({error}), so it is unknown whether the "
            "wanted keys would let the provider in: see that it is there and has no passphrase. Nothing was sent"
        )
    own = fingerprint(f"{ours.get_name()} {ours.get_base64()}")
    if own in fingerprints(guest.keys):
        return None
    return (
        f"{guest.name}: the wanted SSH keys would not let the provider in: {ssh.private_key} ({own}) is not the "
        "private half of any of them. See that management.ssh_public_key is its public half. Nothing was sent"
    )


def outcome(guest: Guest, results: Mapping[str, TaskResult]) -> PartOutcome | None:
    """Read from what the tasks of the play said how the keys fared in one guest.

    Args:
        guest: the machine.
        results: the last result of each task on it by the task's name, without starts and skipped ones.

    Returns:
        None if the play did not get as far as to the keys. A machine without wanted keys is ``unchanged``.
    """
    if not guest.keys:
        return PartOutcome(status="unchanged")
    bring = results.get(BRING)
    if bring is None:
        return None
    if bring.kind == "unreachable" or has_timed_out(bring):
        return PartOutcome(
            status="unreachable",
            message=f"{guest.name}: SSH failed while the keys were sent: {reason_of(bring)}",
        )
    if bring.kind == "failed":
        return PartOutcome(
            status="failed", message=f"{guest.name}: the SSH keys are those of before: {reason_of(bring)}"
        )
    try:
        said = lines_of(bring) or [""]
    except UnreadableAnswer as error:
        return PartOutcome(
            status="failed", message=f"{guest.name}: what it says of its SSH keys cannot be read: {error}"
        )
    if said[0] == "unchanged":
        return PartOutcome(status="unchanged")
    if said[0] == "would-change":
        return PartOutcome(
            status="changed", differences=told([line for line in said[1:] if line[:1] in ("-", "+")])
        )
    if said[0] == "written" or (CONFIRM in results and REPORT not in results):
        return PartOutcome(status="changed")
    afterwards = results.get(AFTERWARDS)
    back = afterwards is not None and first_line(afterwards).startswith("rolled-back")
    reason = reason_of(results[REPORT]) if REPORT in results else "nobody confirmed the new keys: apply again"
    reason = why_too_late("SSH keys", bring, results.get(CONFIRM), afterwards) or reason
    return PartOutcome(status="rolled-back" if back else "unreachable", message=f"{guest.name}: {reason}")


def foreign_keys(results: Mapping[str, TaskResult]) -> tuple[str, ...]:
    """Return the keys in one guest that are neither wanted nor former: lines ``? TYPE FINGERPRINT COMMENT``.

    Somebody in the machine put them there. They are told and never touched.
    """
    bring = results.get(BRING)
    if bring is None:
        return ()
    try:
        return told([line for line in lines_of(bring) if line.startswith("? ")])
    except UnreadableAnswer:
        return ()  # the outcome says so


def _refusal(guest: Guest, ssh: SshSettings, _tell: Tell) -> PartOutcome | None:
    reason = key_objection(guest, ssh)
    return PartOutcome(status="refused", message=reason) if reason else None


PART = Part(
    name=KEYS,
    task=BRING,
    outcome=lambda guest, results, _: outcome(guest, results),
    objection=_refusal,
    concerns=lambda guest: bool(guest.keys),
    details=lambda guest: {"keys": list(fingerprints(guest.keys)), "former": list(guest.former_keys)},
)
"""The SSH keys, as the playbooks bring them about."""
