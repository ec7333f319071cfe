"""What gaps against good practice are called, and what to do about them (article 4.2): the client receives them."""

from __future__ import annotations

from orchestrator.planning.gaps import Gap
from orchestrator.reports.words import Text, Words


class GapWords(Words):
    """The texts in one language; ``{names}`` are the disks, drives or snapshots that have the gap."""

    gaps_title = Text(fr="Écarts avec les bonnes pratiques", en="Gaps against good practice")
    gaps_none = Text(fr="aucun écart visible dans la configuration", en="no gap that the configuration shows")
    gap_remedy = Text(fr="{found} ; à faire : {remedy}", en="{found}; to do: {remedy}")
    gaps_next = Text(
        fr="À notifier au Client ; puis : orchestrator taking-over {client} --state notified --reference LETTRE",
        en="Notify the client; then: orchestrator taking-over {client} --state notified --reference LETTER",
    )
    found_no_guest_agent = Text(
        fr="l’agent invité n’est pas activé : les sauvegardes ne figent pas les systèmes de fichiers",
        en="the guest agent is off: backups do not freeze the file systems",
    )
    remedy_no_guest_agent = Text(
        fr="installer qemu-guest-agent dans la machine, puis l’activer dans Proxmox",
        en="install qemu-guest-agent in the machine, then switch it on in Proxmox",
    )
    found_no_cloud_init = Text(
        fr="pas de lecteur cloud-init : adresse et clés ne se règlent que dans la machine",
        en="no cloud-init drive: address and keys are set in the machine alone",
    )
    remedy_no_cloud_init = Text(
        fr="garder l’adresse notée dans le fichier du client, ou ajouter un lecteur cloud-init",
        en="keep the address in the client's file right, or add a cloud-init drive",
    )
    found_unused_disks = Text(
        fr="disques détachés conservés : {names}", en="detached disks are kept: {names}"
    )
    remedy_unused_disks = Text(
        fr="vérifier s’ils servent encore, puis les rattacher ou les supprimer",
        en="find out whether they are needed, then attach or remove them",
    )
    found_not_on_boot = Text(
        fr="la machine ne redémarre pas avec son hôte", en="the machine does not start with its node"
    )
    remedy_not_on_boot = Text(
        fr="activer « Start at boot » dans Proxmox", en="switch “Start at boot” on in Proxmox"
    )
    found_not_protected = Text(
        fr="la machine n’est pas protégée contre la suppression",
        en="the machine is not protected against removal",
    )
    remedy_not_protected = Text(
        fr="activer la protection dans Proxmox", en="switch its protection on in Proxmox"
    )
    found_old_cpu_type = Text(
        fr="type de processeur {names} : sans AES ni jeux d’instructions récents",
        en="processor type {names}: without AES and newer instructions",
    )
    remedy_old_cpu_type = Text(
        fr="choisir x86-64-v2-AES ou plus récent, au prochain arrêt",
        en="choose x86-64-v2-AES or newer, at the next stop",
    )
    found_slow_disk_bus = Text(
        fr="disques sur un bus émulé lent : {names}", en="disks on a slow emulated bus: {names}"
    )
    remedy_slow_disk_bus = Text(
        fr="passer à VirtIO SCSI, au prochain arrêt", en="move them to VirtIO SCSI, at the next stop"
    )
    found_no_discard = Text(
        fr="l’espace libéré n’est pas rendu au stockage : {names}",
        en="freed space is not given back to the storage: {names}",
    )
    remedy_no_discard = Text(fr="activer « Discard » dans Proxmox", en="switch “Discard” on in Proxmox")
    found_disk_not_backed_up = Text(
        fr="disques exclus des sauvegardes : {names}", en="disks that no backup contains: {names}"
    )
    remedy_disk_not_backed_up = Text(fr="les y inclure dans Proxmox", en="include them in Proxmox")
    found_fraction_of_gib = Text(
        fr="taille non entière en Gio : {names} ; le fichier note le Gio inférieur",
        en="size is not a whole number of GiB: {names}; the file has the lower one",
    )
    remedy_fraction_of_gib = Text(fr="agrandir au Gio entier", en="grow it to a whole GiB")
    found_several_networks = Text(
        fr="plusieurs cartes réseau ({names}) : seule net0 est décrite par le fichier",
        en="several network devices ({names}): the file describes net0 alone",
    )
    remedy_several_networks = Text(
        fr="documenter les autres ; elles ne sont pas modifiées",
        en="document the others; they are left alone",
    )
    found_old_snapshots = Text(fr="snapshots présents : {names}", en="snapshots are there: {names}")
    remedy_old_snapshots = Text(
        fr="supprimer ceux qui ne servent plus ; deux sont permis",
        en="remove those that nobody needs; two are allowed",
    )
    found_media_inserted = Text(
        fr="un support est resté dans le lecteur {names}", en="a medium was left in drive {names}"
    )
    remedy_media_inserted = Text(fr="l’éjecter dans Proxmox", en="eject it in Proxmox")

    def said_of(self, gap: Gap) -> str:
        """What was found."""
        text = str(getattr(self, f"found_{gap.code.replace('-', '_')}"))
        return text.format(names=", ".join(gap.names))

    def advice(self, gap: Gap) -> str:
        """What to do about it."""
        return str(getattr(self, f"remedy_{gap.code.replace('-', '_')}"))
