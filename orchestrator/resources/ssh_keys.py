"""The SSH keys of a machine (article 3.2): cloud-init delivers them, the playbooks change them afterwards."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.guests import keys
from orchestrator.guests.keys import fingerprints, is_public_key
from orchestrator.proxmox import Need
from orchestrator.resources.change import Change, ChangeClass, Effect, Judged
from orchestrator.resources.key_names import NamedKey, key_names, key_words
from orchestrator.resources.kind import Edit, GuestKind
from orchestrator.shown import quoted

if TYPE_CHECKING:
    from orchestrator.guests.inside import InsideReading
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine


def keys_in(sshkeys: str | None) -> tuple[str, ...]:
    """The public SSH keys of Proxmox's setting ``sshkeys``; lines that somebody wrote with options are left out."""
    # Proxmox parts them where a line ends, and nowhere else.
    return tuple(line for line in urllib.parse.unquote(sshkeys or "").split("\n") if is_public_key(line))


def _delivered(observed: ObservedMachine) -> tuple[str, ...]:
    """The public SSH keys that cloud-init puts into a guest."""
    return keys_in(observed.config.effective("sshkeys"))


def keys_known(observed: ObservedMachine, mark: Mark) -> tuple[str, ...]:
    """Fingerprints of the file's keys that are in the guest, as far as is known: put there by us, or by cloud-init."""
    return fingerprints(_delivered(observed)) if mark.keys is None else mark.keys


class SshKeysKind(GuestKind):
    """The file's keys are the machine's, where managing them is part of its offer."""

    name = "keys"
    part = keys.PART
    needs = (Need(privilege="VM.Config.Cloudinit", path="/vms", features=("SSH keys",)),)
    judged = Judged(
        ChangeClass.STANDARD,
        "managing SSH keys is part of the offer (art. 3.2); the last way in is never taken away",
        counted=False,
    )

    def change(self, desired: DesiredMachine, observed: ObservedMachine | None, mark: Mark) -> Change | None:
        """The keys that come and go. Those of delivery are cloud-init's business."""
        if observed is None or not mark.ready or not desired.offer.terms.keys:
            return None
        known = keys_known(observed, mark)
        if set(known) == set(fingerprints(desired.ssh_keys)):
            return None
        wanted = {NamedKey.of(key) for key in desired.ssh_keys}
        comments = {key.fingerprint: key.comment for key in map(NamedKey.of, _delivered(observed))}
        comments |= {key.fingerprint: key.comment for key in wanted}
        there = {NamedKey(item, comments.get(item, "")) for item in known}
        names = key_names([*there, *wanted])
        gone = ", ".join(sorted(names[key] for key in there - wanted))
        why = None
        if gone and not desired.direct_access:
            why = f"level full: the client has no direct access (art. 3.8.2), so {gone} goes from the machine"
        return self.changed(tuple(sorted(there)) or None, tuple(sorted(wanted)) or None, why=why)

    def edits(self, desired: DesiredMachine, observed: ObservedMachine, mark: Mark) -> Iterator[Edit]:
        """What cloud-init is told, for the next first boot."""
        there = {NamedKey.of(key) for key in _delivered(observed)}
        wanted = {NamedKey.of(key) for key in desired.ssh_keys}
        if there == wanted:
            return
        offer, why, params = desired.offer, None, {}
        left = mark.ready and not offer.terms.keys
        if left:
            why = (
                "keys are installed at delivery; managing them afterwards is not part of "
                f"{offer} (art. {offer.terms.article}): the client changes them in the machine"
            )
        else:
            params["sshkeys"] = urllib.parse.quote("\n".join(desired.ssh_keys), safe="")
        change = Change(
            effect=Effect.NOTICE if left else Effect.UPDATE,
            what=self.part.name,
            thing=self.name,
            before=tuple(sorted(there)) or None,
            after=tuple(sorted(wanted)) or None,
            why=why,
        )
        yield Edit(change=change, params=dict(params))

    def kept(self, observed: ObservedMachine, mark: Mark) -> Mark:
        """Which keys were delivered, before the configuration forgets it."""
        return mark.with_(keys=keys_known(observed, mark)) if mark.ready and mark.keys is None else mark

    def note(self, mark: Mark, desired: DesiredMachine) -> Mark:
        """The mark once it is as the file asks; keys that are left alone are not noted."""
        return mark.with_(keys=fingerprints(desired.ssh_keys)) if desired.offer.terms.keys else mark

    def notices(self, reading: InsideReading) -> Iterator[Change]:
        """Keys that are in no file."""
        if reading.foreign_keys:
            people = ", ".join(map(_person, reading.foreign_keys))
            why = "in no file, put in by somebody in the machine: left alone"
            yield Change(effect=Effect.NOTICE, what=self.part.name, thing=self.name, after=people, why=why)

    def words(self, before: object, after: object) -> tuple[str | None, str | None] | None:
        """Both sides by the keys' names."""
        named = [
            side if isinstance(side, tuple) and all(isinstance(key, NamedKey) for key in side) else None
            for side in (before, after)
        ]
        return key_words(named[0] or (), named[1] or ()) if any(named) else None


def _person(line: str) -> str:
    """Whose key it is, of ``? TYPE FINGERPRINT NAME``: the name was written by somebody in the machine."""
    fingerprint, *name = line.split()[2:] or [""]
    return f"{fingerprint} {quoted(' '.join(name))}" if name else fingerprint


SSH_KEYS = SshKeysKind()
