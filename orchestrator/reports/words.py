"""Every text of the reports, in both languages side by side. The French words are the contract's.

``Words("fr").no_failures`` is the French text. Templates hold no text of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Self, overload

from orchestrator.reports import spelling
from orchestrator.reports.spelling import Language

_BEFORE = re.compile(r" (?=[:;!?»%])|(?<=«) ")


def _set(text: str, language: Language) -> str:
    """Set a text as its language does: French keeps its signs on the line of the word before."""
    return _BEFORE.sub("\u00a0", text) if language == "fr" else text


Said = str | tuple[str, str]
_corrections: dict[Language, Mapping[str, Said]] = {}
"""A provider's own wording, by language and name; filled once, at the start (:mod:`orchestrator.reports.wording`)."""


def correct(language: Language, corrections: Mapping[str, Said]) -> None:
    """Let texts of a language be worded otherwise, for this process: what they say, by their names."""
    _corrections[language] = {
        name: _set(said, language)
        if isinstance(said, str)
        else (_set(said[0], language), _set(said[1], language))
        for name, said in corrections.items()
    }


class Text:
    """A text in both languages; an attribute of :class:`Words` gives the one of its language."""

    def __init__(self, *, fr: str, en: str) -> None:
        self.fr = _set(fr, "fr")
        self.en = en

    def __set_name__(self, owner: type[Words], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, words: None, owner: type[Words]) -> Self: ...
    @overload
    def __get__(self, words: Words, owner: type[Words]) -> str: ...
    def __get__(self, words: Words | None, owner: type[Words]) -> Self | str:
        if words is None:
            return self
        ours = self.fr if words.language == "fr" else self.en
        return str(words.corrections.get(self._name, ours))


class Counted:
    """A text with a number, ``{n}``, for one and for many. None is singular in French and plural in English."""

    def __init__(self, *, fr: tuple[str, str], en: tuple[str, str]) -> None:
        self.fr = (_set(fr[0], "fr"), _set(fr[1], "fr"))
        self.en = en

    def __set_name__(self, owner: type[Words], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, words: None, owner: type[Words]) -> Self: ...
    @overload
    def __get__(self, words: Words, owner: type[Words]) -> Callable[[int], str]: ...
    def __get__(self, words: Words | None, owner: type[Words]) -> Self | Callable[[int], str]:
        if words is None:
            return self
        language = words.language
        ours = self.fr if language == "fr" else self.en
        theirs = words.corrections.get(self._name)
        one, many = theirs if isinstance(theirs, tuple) else ours

        def say(number: int) -> str:
            text = one if spelling.is_one(number, language) else many
            return text.format(n=spelling.whole(number, language))

        return say


class Words:
    """The texts in one language."""

    def __init__(self, language: Language) -> None:
        self.language: Language = language
        self.corrections = _corrections.get(language, {})

    # The first screen
    title = Text(fr="Nuit du {night}", en="Night of {night}")
    client_title = Text(fr="{client} : nuit du {night}", en="{client}: night of {night}")
    all_well = Text(fr="Tout s’est bien passé", en="All went well")
    failures_count = Counted(fr=("{n} échec", "{n} échecs"), en=("{n} failure", "{n} failures"))
    nothing_known = Text(
        fr="Rien n’est connu de vos Machines Virtuelles cette nuit : contactez le Prestataire",
        en="Nothing is known of your machines tonight: please ask the provider",
    )
    incomplete = Text(
        fr="ce rapport peut être incomplet : une partie de l’infrastructure n’a pas pu être lue cette nuit",
        en="this report may be incomplete: a part of the infrastructure could not be read tonight",
    )
    others = Counted(fr=("et {n} autre", "et {n} autres"), en=("and {n} more", "and {n} more"))
    run = Text(fr="Exécution", en="Run")
    run_span = Text(
        fr="{start} – {end} ({duration}), heure de Paris", en="{start} – {end} ({duration}), Paris time"
    )
    backups = Text(fr="Sauvegardes", en="Backups")
    of = Text(fr="{part} sur {whole}", en="{part} of {whole}")
    made_earlier = Counted(
        fr=(
            "dont {n} faite par une exécution précédente de cette nuit",
            "dont {n} faites par une exécution précédente de cette nuit",
        ),
        en=("{n} of them by an earlier run of this night", "{n} of them by an earlier run of this night"),
    )
    night_volume = Text(fr="Volume sauvegardé cette nuit", en="Volume backed up tonight")
    oldest = Text(
        fr="Machine dont la dernière bonne sauvegarde est la plus ancienne",
        en="Machine with the oldest newest good backup",
    )
    oldest_one = Text(fr="{machine} : {moment} (il y a {age})", en="{machine}: {moment} ({age} ago)")
    oldest_none = Text(fr="{machine} : aucune bonne sauvegarde", en="{machine}: no good backup")
    no_machine_backed_up = Text(fr="sauvegarde activée sur aucune machine", en="no machine has its backup on")
    sites = Text(fr="Sites", en="Sites")
    forecast = Text(fr="Prévision au départ", en="Expected at the start")
    forecast_fits = Text(
        fr="{backups} en {planned} (au mieux {bound}), fin prévue le {ends}, avant la fin de la fenêtre le {closes}",
        en="{backups} in {planned} ({bound} at best), ends {ends}, before the window closes on {closes}",
    )
    forecast_late = Text(
        fr="{backups} en {planned} (au mieux {bound}), fin prévue le {ends}, APRÈS la fin de la fenêtre le {closes}",
        en="{backups} in {planned} ({bound} at best), ends {ends}, AFTER the window closes on {closes}",
    )
    second_copies = Text(fr="Secondes copies", en="Second copies")
    second_copy_failed = Text(
        fr="Seconde copie de la sauvegarde échouée", en="Second copy of the backup failed"
    )
    second_copy_failed_remedy = Text(
        fr="La première copie existe, sauf mention contraire. Corriger le stockage nommé, puis relancer la nuit.",
        en="The first copy is there unless it is listed too. Fix the storage that is named, then run the night again.",
    )
    late_expected = Text(
        fr="Fin prévue en heures ouvrées (art. 3.5)", en="Expected to end in working hours (art. 3.5)"
    )
    late_ended = Text(fr="Terminées en heures ouvrées (art. 3.5)", en="Ended in working hours (art. 3.5)")
    late_until = Text(fr="{machine} jusqu’au {ends}", en="{machine} until {ends}")
    late_more = Counted(fr=("et {n} autre", "et {n} autres"), en=("and {n} more", "and {n} more"))
    backups_count = Counted(fr=("{n} sauvegarde", "{n} sauvegardes"), en=("{n} backup", "{n} backups"))
    history_name = Text(fr="Nom dans l’historique", en="Name in the history")

    # Failures
    failures = Text(fr="Échecs", en="Failures")
    no_failures = Text(fr="Aucun échec.", en="No failures.")
    what_to_do = Text(fr="Que faire : {remedy}", en="What to do: {remedy}")
    what = Text(fr="Quoi", en="What")
    reason = Text(fr="Raison", en="Reason")
    no_reason = Text(fr="aucune raison donnée", en="no reason was given")
    out_of_time = Text(fr="la fenêtre s’est fermée avant son tour", en="the window closed before its turn")
    culprit = Text(fr="{kind} : {what}", en="{kind}: {what}")
    problem = Text(fr="Site ou exécution", en="Site or run")
    problem_remedy = Text(
        fr="corriger la cause, puis relancer orchestrator nightly : ce qui est fait n’est pas refait",
        en="correct the cause, then start orchestrator nightly again: nothing is done twice",
    )
    backup_failed = Text(fr="Sauvegarde échouée", en="Backup failed")
    backup_failed_remedy = Text(
        fr="corriger la cause, puis relancer orchestrator nightly en dehors des heures ouvrées : seules les "
        "sauvegardes qui manquent sont faites ; sinon la nuit prochaine les refait",
        en="correct the cause, then start orchestrator nightly again outside working hours: only missing backups "
        "are made; else the next night makes them",
    )
    backup_not_started = Text(fr="Sauvegarde non commencée", en="Backup not started")
    backup_not_started_remedy = Text(
        fr="relancer orchestrator nightly en dehors des heures ouvrées ; si cela se répète, commencer plus tôt ou "
        "ajouter un stockage de sauvegarde",
        en="start orchestrator nightly again outside working hours; if it happens often, begin earlier or add a "
        "backup storage",
    )
    backup_missing = Text(fr="Machine sans sauvegarde cette nuit", en="Machine without a backup tonight")
    backup_missing_remedy = Text(
        fr="la machine devrait être sauvegardée et n’a pas pu l’être : corriger la cause, puis relancer orchestrator "
        "nightly en dehors des heures ouvrées",
        en="the machine should be backed up and could not be: correct the cause, then start orchestrator nightly again "
        "outside working hours",
    )
    backup_missing_client = Text(
        fr="la machine n’a pas pu être sauvegardée cette nuit ; le Prestataire cherche pourquoi",
        en="the machine could not be backed up tonight; the provider finds out why",
    )
    not_created = Text(fr="Pas encore créées ou reprises", en="Not created or taken over yet")
    unsupervised = Text(fr="Machine non supervisée", en="Machine not supervised")
    unsupervised_remedy = Text(
        fr="orchestrator apply --guests --only CLIENT/MACHINE y installe ce qui manque",
        en="orchestrator apply --guests --only CLIENT/MACHINE installs what is missing",
    )
    unsupervised_client = Text(
        fr="la supervision de la machine n’est pas en place ; le Prestataire la rétablit",
        en="the supervision of the machine is not in place; the provider restores it",
    )
    unbelieved = Text(
        fr="Archives dont les notes ne sont pas crues", en="Archives whose notes are not believed"
    )
    unbelieved_note = Text(
        fr="elles n’appartiennent à personne, ne sont ni restaurées ni supprimées : voir leurs notes dans Proxmox",
        en="they belong to nobody and are neither restored nor removed: look at their notes in Proxmox",
    )
    snapshot_failed = Text(fr="Snapshot échoué", en="Snapshot failed")
    snapshot_failed_remedy = Text(
        fr="voir la tâche dans Proxmox ; la nuit prochaine réessaie",
        en="look at the task in Proxmox; the next night tries again",
    )
    snapshot_refused = Text(fr="Snapshot refusé", en="Snapshot refused")
    snapshot_refused_remedy = Text(
        fr="corriger le fichier de souscription : deux snapshots au plus par machine, sept jours chacun "
        "(art. 3.2 et 3.3)",
        en="correct the subscription file: two snapshots a machine at most, seven days each (art. 3.2 and 3.3)",
    )
    retention_failed = Text(fr="Suppression de sauvegarde échouée", en="Removal of a backup failed")
    retention_failed_remedy = Text(
        fr="la sauvegarde occupe encore le stockage ; la nuit prochaine réessaie",
        en="the backup still takes room on its storage; the next night tries again",
    )
    test_failed = Text(fr="Test de restauration échoué", en="Restore test failed")
    test_failed_remedy = Text(
        fr="ne pas compter sur cette sauvegarde : en faire une autre, et la restaurer à la main",
        en="do not count on this backup: make another, and restore that by hand",
    )
    test_not_started = Text(fr="Test de restauration non commencé", en="Restore test not started")
    test_not_started_remedy = Text(
        fr="rien à faire si la nuit prochaine y parvient ; sinon libérer du temps ou de la place",
        en="nothing if the next night gets to it; else make time or room for it",
    )
    storage_unwell = Text(fr="Stockage en défaut", en="Storage with a problem")
    storage_unwell_remedy = Text(
        fr="agrandir le stockage, raccourcir des Durées de Rétention ou répartir les machines ; un stockage absent "
        "se répare dans Proxmox",
        en="enlarge the storage, shorten retentions or spread the machines; repair one that is unavailable in Proxmox",
    )

    # Managed machines among the failures: name, what the provider does, what a client is told instead of the reason
    update_broken = Text(
        fr="Machine en défaut après ses mises à jour", en="Machine not as before its updates"
    )
    update_broken_remedy = Text(
        fr="réparer la machine, exclure le paquet en cause (updates.exclude dans le fichier), puis orchestrator update "
        "CLIENT/MACHINE --release ; d’ici là ses mises à jour automatiques sont bloquées",
        en="repair the machine, exclude the package at fault (updates.exclude in the file), then orchestrator update "
        "CLIENT/MACHINE --release; until then it is held back from automatic updates",
    )
    update_broken_client = Text(
        fr="la machine ne fonctionne plus comme avant ses mises à jour, et rien ne permettait de la ramener en "
        "arrière ; le Prestataire la répare",
        en="the machine does not run as before its updates, and could not be rolled back; the provider is repairing it",
    )
    update_unreachable = Text(
        fr="Machine perdue de vue pendant ses mises à jour", en="Machine lost sight of during its updates"
    )
    update_unreachable_remedy = Text(
        fr="voir que la machine vit et que SSH y parvient ; la prochaine mise à jour reprend celle-ci",
        en="check that the machine runs and that SSH reaches it; its next update continues this one",
    )
    update_unreachable_client = Text(
        fr="la machine n’a plus été jointe pendant ses mises à jour ; le Prestataire l’examine",
        en="the machine could not be reached any more during its updates; the provider looks into it",
    )
    update_rolled_back = Text(fr="Mises à jour annulées", en="Updates rolled back")
    update_rolled_back_remedy = Text(
        fr="ce que la machine a écrit depuis le snapshot est perdu ; chercher pourquoi, exclure le paquet en cause "
        "(updates.exclude dans le fichier), puis orchestrator update CLIENT/MACHINE --release ; d’ici là ses "
        "mises à jour automatiques sont bloquées",
        en="what the machine wrote since the snapshot is lost; find out why, exclude the package at fault "
        "(updates.exclude in the file), then orchestrator update CLIENT/MACHINE --release; until then it is held back "
        "from automatic updates",
    )
    update_rolled_back_client = Text(
        fr="après ses mises à jour la machine ne fonctionnait pas comme avant ; elle a été ramenée à son état d’avant, "
        "et ce qu’elle a écrit entre-temps est perdu ; le Prestataire l’examine",
        en="the machine did not run as before after its updates; it was brought back to what it was, and what it wrote "
        "meanwhile is lost; the provider looks into it",
    )
    update_untouched = Text(fr="Mises à jour non installées", en="Updates not installed")
    update_untouched_remedy = Text(
        fr="rien n’a été changé ; corriger la cause, la prochaine fenêtre de maintenance réessaie",
        en="nothing was changed; correct the cause, the next maintenance window tries again",
    )
    update_untouched_client = Text(
        fr="rien n’a été changé dans la machine ; la prochaine fenêtre de maintenance réessaie",
        en="nothing was changed in the machine; the next maintenance window tries again",
    )
    update_not_started = Text(fr="Mises à jour non commencées", en="Updates not started")
    update_not_started_remedy = Text(
        fr="si une vague a mal fini, d’abord la machine nommée ; sinon rien si la prochaine fenêtre de maintenance y "
        "suffit, ou l’élargir",
        en="if a wave ended badly, the machine that is named first; else nothing if the next maintenance window "
        "suffices, or make it longer",
    )
    update_not_started_client = Text(
        fr="son tour n’est pas venu cette nuit ; la prochaine fenêtre de maintenance réessaie",
        en="its turn did not come tonight; the next maintenance window tries again",
    )
    # Restarts that take up settings, in the maintenance windows
    restarts = Text(fr="Redémarrages", en="Restarts")
    no_restarts = Text(
        fr="Aucun réglage n’attendait un redémarrage.", en="No setting was waiting for a restart."
    )
    restarts_done = Text(
        fr="Redémarrées dans leur fenêtre de maintenance", en="Restarted in their maintenance window"
    )
    restarts_waiting = Text(fr="Réglages qui attendent un redémarrage", en="Settings that wait for a restart")
    restarts_done_count = Counted(fr=("{n} fait", "{n} faits"), en=("{n} made", "{n} made"))
    restarts_waiting_count = Counted(
        fr=("{n} en attente", "{n} en attente"), en=("{n} waiting", "{n} waiting")
    )
    restarts_held_count = Counted(fr=("{n} bloqué", "{n} bloqués"), en=("{n} held back", "{n} held back"))
    settings = Text(fr="Réglages", en="Settings")
    settings_of_cloud_init = Text(
        fr="ceux de cloud-init (adresse, nom)", en="those of cloud-init (address, name)"
    )
    next_window = Text(fr="Prochaine fenêtre", en="Next window")
    no_window_agreed = Text(
        fr="aucune n’est convenue : au prochain redémarrage", en="none was agreed: at its next restart"
    )
    since_unknown = Text(fr="date inconnue", en="not known")
    restart_held = Text(fr="bloqué : {reason}", en="held back: {reason}")
    restart_held_client = Text(
        fr="un redémarrage précédent a mal fini ; le suivant attend que le Prestataire l’ait examiné",
        en="an earlier restart did not end well; the next one waits until the provider has investigated",
    )
    restart_broken = Text(
        fr="Machine qui ne répond plus depuis son redémarrage", en="Machine silent since its restart"
    )
    restart_broken_remedy = Text(
        fr="regarder sa console et la remettre en marche, puis orchestrator restart CLIENT/MACHINE --release ; d’ici "
        "là elle n’est plus redémarrée",
        en="look at its console and get it going, then orchestrator restart CLIENT/MACHINE --release; until then it is "
        "not restarted again",
    )
    restart_broken_client = Text(
        fr="la machine ne répond plus depuis son redémarrage ; le Prestataire l’examine",
        en="the machine does not answer since its restart; the provider looks into it",
    )
    restart_put_back = Text(
        fr="Machine non revenue avec ses nouveaux réglages",
        en="Machine did not come back with its new settings",
    )
    restart_put_back_remedy = Text(
        fr="elle fonctionne avec ses réglages d’avant ; chercher pourquoi, puis corriger le fichier, ou orchestrator "
        "restart CLIENT/MACHINE --release et orchestrator apply",
        en="it runs with its settings from before; find out why, then correct the file, or orchestrator restart "
        "CLIENT/MACHINE --release and orchestrator apply",
    )
    restart_put_back_client = Text(
        fr="la machine n’est pas revenue avec ses nouveaux réglages ; elle fonctionne avec ceux d’avant ; le "
        "Prestataire l’examine",
        en="the machine did not come back with its new settings; it runs with those from before; the provider looks "
        "into it",
    )
    restart_stubborn = Text(
        fr="Machine qui ne s’arrête pas pour redémarrer", en="Machine that does not shut down to restart"
    )
    restart_stubborn_remedy = Text(
        fr="elle fonctionne comme avant ; regarder sa console, convenir du redémarrage avec le client, puis "
        "orchestrator restart CLIENT/MACHINE (--force l’éteint)",
        en="it runs as before; look at its console, agree on the restart with the client, then orchestrator restart "
        "CLIENT/MACHINE (--force switches it off)",
    )
    restart_stubborn_client = Text(
        fr="la machine ne s’est pas arrêtée quand il le lui a été demandé ; elle fonctionne comme avant, ses réglages "
        "attendent",
        en="the machine did not shut down when it was asked to; it runs as before, and its settings wait",
    )
    restart_untouched = Text(fr="Redémarrage non fait", en="Restart not made")
    restart_untouched_remedy = Text(
        fr="corriger la cause, la prochaine fenêtre de maintenance réessaie",
        en="correct the cause, the next maintenance window tries again",
    )
    restart_not_started = Text(fr="Redémarrage non commencé", en="Restart not started")
    restart_not_started_remedy = Text(
        fr="si une vague a mal fini, d’abord la machine nommée ; sinon rien si la prochaine fenêtre de maintenance y "
        "suffit, ou l’élargir",
        en="if a wave ended badly, the machine that is named first; else nothing if the next maintenance window "
        "suffices, or make it longer",
    )
    restart_missed_client = Text(
        fr="son redémarrage n’a pas été fait ; la prochaine fenêtre de maintenance réessaie",
        en="its restart was not made; the next maintenance window tries again",
    )
    restart_overdue = Text(fr="Fenêtre passée sans redémarrage", en="Window passed without the restart")
    restart_overdue_remedy = Text(
        fr="pour les fenêtres hors de la nuit, activer orchestrator-restarts.timer ; sinon voir l’historique",
        en="for windows outside the night, enable orchestrator-restarts.timer; else see the history",
    )
    restart_overdue_reason = Text(
        fr="attend depuis le {since} ; la fenêtre du {window} est passée",
        en="waits since {since}; the window of {window} has passed",
    )

    update_held = Text(fr="Mises à jour automatiques bloquées", en="Held back from automatic updates")
    update_held_remedy = Text(
        fr="exclure le paquet en cause (updates.exclude dans le fichier), puis orchestrator update CLIENT/MACHINE "
        "--release",
        en="exclude the package at fault (updates.exclude in the file), then orchestrator update CLIENT/MACHINE "
        "--release",
    )
    update_held_client = Text(
        fr="une mise à jour précédente a mal fini ; les suivantes attendent que le Prestataire l’ait examinée",
        en="an earlier update did not end well; the next ones wait until the provider has investigated",
    )
    guest_unseen = Text(fr="Machine non examinée", en="Machine not inspected")
    guest_unseen_remedy = Text(
        fr="corriger la cause, puis orchestrator updates CLIENT/MACHINE : la machine est examinée à nouveau",
        en="correct the cause, then orchestrator updates CLIENT/MACHINE: the machine is inspected again",
    )
    guest_unseen_client = Text(
        fr="la machine n’a pas pu être examinée cette nuit ; le Prestataire cherche pourquoi",
        en="the machine could not be inspected tonight; the provider is investigating",
    )
    guest_stopped = Text(
        fr="la machine est arrêtée : elle n’a pas été examinée",
        en="the machine is stopped: it was not inspected",
    )

    # Updates
    updates = Text(fr="Mises à jour", en="Updates")
    no_updates = Text(fr="Aucune mise à jour installée cette nuit.", en="No updates were installed tonight.")
    none_installed = Text(fr="aucune installée", en="none installed")
    updates_installed = Text(fr="Installées cette nuit", en="Installed tonight")
    maintenance_window = Text(fr="Fenêtre de maintenance", en="Maintenance window")
    wave = Text(fr="Vague", en="Wave")
    packages = Text(fr="Paquets", en="Packages")
    packages_count = Counted(fr=("{n} paquet", "{n} paquets"), en=("{n} package", "{n} packages"))
    security_among = Counted(
        fr=("dont {n} de sécurité", "dont {n} de sécurité"), en=("{n} security", "{n} security")
    )
    security_update = Text(fr="sécurité", en="security")
    versions_tried = Text(fr="Versions essayées", en="Versions tried")
    restart = Text(fr="Redémarrage", en="Restart")
    restarted = Text(fr="redémarrée", en="restarted")
    to_be_restarted = Text(fr="à redémarrer : {reason}", en="to be restarted: {reason}")
    machines_up_to_date = Counted(
        fr=("{n} autre machine était à jour.", "{n} autres machines étaient à jour."),
        en=("{n} more machine was up to date.", "{n} more machines were up to date."),
    )
    updates_due = Text(fr="Encore dues", en="Still due")
    updates_mode = Text(fr="Installation", en="Installed")
    updates_automatic = Text(fr="automatique", en="automatically")
    updates_on_request = Text(fr="à la demande", en="on request")
    security_updates = Text(fr="De sécurité", en="Security")
    other_updates = Text(fr="Autres", en="Others")
    staying_updates = Text(fr="Écartées", en="Staying away")
    oldest_waits = Text(fr="La plus ancienne attend depuis", en="The oldest waits for")
    held_since = Text(fr="Bloquée depuis", en="Held back since")
    not_known = Text(fr="inconnu", en="not known")
    staying_meaning = Text(
        fr="Écartées : retenues dans la machine, exclues par le fichier, ou qui supprimeraient d’autres paquets. "
        "L’attente compte depuis la nuit qui les a vues la première ; au-delà de {hours} (art. 3.8.3) elle est marquée "
        "où l’installation est automatique.",
        en="Staying away: held in the machine, excluded by the file, or they would remove other packages. Waiting "
        "counts from the night that saw them first; above {hours} (art. 3.8.3) it is marked where installing is "
        "automatic.",
    )
    delay = Text(fr="Délai d’installation (art. 3.8.3)", en="Delay of installation (art. 3.8.3)")
    period = Text(fr="Période", en="Period")
    last_days = Counted(
        fr=("le dernier jour", "les {n} derniers jours"), en=("the last day", "the last {n} days")
    )
    packages_installed = Text(fr="Paquets installés", en="Packages installed")
    updates_counted = Text(fr="Mises à jour", en="Updates")
    still_waiting = Text(fr="En attente", en="Still waiting")
    average_delay = Text(fr="Délai moyen", en="Average delay")
    updates_waiting = Text(fr="Mises à jour en attente (art. 3.8.3)", en="Updates that wait (art. 3.8.3)")
    waits_since = Text(fr="Depuis", en="Since")
    waits_for = Text(fr="Origine", en="Origin")
    waited = Text(fr="Attente", en="Waiting")
    over_at = Text(fr="Délai atteint", en="Delay reached")
    on_clients_request = Text(fr="la demande du client", en="the client’s request")
    published = Text(fr="sa publication", en="its publication")
    waiting_meaning = Text(
        fr="Une mise à jour par machine, quel que soit le nombre de paquets. Celles en attente comptent dans le délai "
        "moyen avec leur âge ; au-delà de {hours} elles sont marquées.",
        en="One update per machine, whatever the number of packages. Those that wait count in the average delay with "
        "their age so far; above {hours} they are marked.",
    )
    by_contract = Text(fr="Selon le contrat", en="By contract")
    working_hours = Text(fr="{hours}\u00a0h ouvrées", en="{hours}\u00a0working hours")
    installed_count = Counted(
        fr=("{n} paquet installé", "{n} paquets installés"),
        en=("{n} package installed", "{n} packages installed"),
    )
    installed_in = Text(fr="{packages} dans {machines}", en="{packages} in {machines}")
    delay_average = Text(fr="délai moyen {hours}", en="average delay {hours}")
    machines_count = Counted(fr=("{n} machine", "{n} machines"), en=("{n} machine", "{n} machines"))
    security_left = Counted(
        fr=("{n} de sécurité encore due", "{n} de sécurité encore dues"),
        en=("{n} security update still due", "{n} security updates still due"),
    )
    held_in = Text(fr="bloquées dans {machines}", en="held back in {machines}")

    # Firewall alerts
    firewall = Text(fr="Alertes du pare-feu", en="Firewall alerts")
    no_firewall = Text(
        fr="Aucun pare-feu lu : aucune machine infogérée n’a été examinée cette nuit.",
        en="No firewall was read: no managed machine was inspected tonight.",
    )
    firewall_since = Text(fr="Depuis la nuit précédente", en="Since the last night")
    dropped_packets = Text(fr="Paquets rejetés", en="Packets dropped")
    refused_ssh = Text(fr="Connexions SSH refusées", en="SSH connections refused")
    dropped_most = Text(fr="Rejeté le plus souvent (échantillon)", en="Dropped most often (sample)")
    refused_out = Text(
        fr="Trafic sortant refusé depuis la nuit précédente",
        en="Outgoing traffic refused since the last night",
    )
    refused_out_packets = Text(fr="Paquets sortants refusés", en="Outgoing packets refused")
    refused_out_most = Text(fr="Refusé le plus souvent (échantillon)", en="Refused most often (sample)")
    firewall_unread = Text(fr="Pare-feux non lus", en="Firewalls that could not be read")
    counters_unread = Text(
        fr="les compteurs du pare-feu n’ont pas pu être lus dans la machine",
        en="the firewall's counters could not be read in the machine",
    )
    counters_remedy = Text(
        fr="orchestrator apply met à jour le pare-feu d’une machine où il manque ou ne compte pas encore",
        en="orchestrator apply brings the firewall up to date where it is missing or does not count yet",
    )

    # Observation
    observation = Text(fr="Observation", en="Observation")
    not_observed = Text(fr="Site non observé", en="Site not observed")
    not_observed_remedy = Text(
        fr="voir pourquoi orchestrator watch n’a pas tourné ou n’a pas pu lire le site : la disponibilité de ces "
        "heures reste inconnue",
        en="see why orchestrator watch did not run, or could not read the site: the availability of these hours stays "
        "unknown",
    )
    not_observed_for = Text(fr="Non observé (dernières 24 h)", en="Not observed (last 24 h)")
    stops_to_decide = Text(
        fr="Arrêts à qualifier (cause inconnue, ou arrêt par une personne)",
        en="Stops to be decided (cause unknown, or stopped by a person)",
    )
    stopped_from = Text(fr="De", en="From")
    stopped_until = Text(fr="À", en="To")
    cause_unknown = Text(fr="cause inconnue", en="cause unknown")
    stopped_by_a_person = Text(fr="arrêtée par une personne", en="stopped by a person")

    # Storages
    storages = Text(fr="Stockages", en="Storages")
    no_storages = Text(fr="Aucun stockage n’a été lu.", en="No storage was read.")
    storage = Text(fr="Stockage", en="Storage")
    site = Text(fr="Site", en="Site")
    data_centre = Text(fr="DataCenter", en="Data centre")
    purpose = Text(fr="Usage", en="For")
    purpose_machines = Text(fr="machines", en="machines")
    purpose_backups = Text(fr="sauvegardes", en="backups")
    state = Text(fr="État", en="State")
    state_available = Text(fr="disponible", en="available")
    fill = Text(fr="Occupation", en="Used")
    first_night_too_full = Text(fr="Première nuit qui ne tient pas", en="First night that will not fit")
    every_night_fits = Text(fr="toutes tiennent", en="all fit")
    remark = Text(fr="Remarque", en="Remark")
    fill_forecast = Text(
        fr="Occupation attendue après chaque nuit", en="Expected to be used after each night"
    )

    # Restore tests
    tests = Text(fr="Tests de restauration", en="Restore tests")
    no_tests = Text(fr="Aucun test de restauration cette nuit.", en="No restore tests tonight.")
    taken_at = Text(fr="Sauvegarde du", en="Backup of")
    result = Text(fr="Résultat", en="Result")
    duration = Text(fr="Durée", en="Duration")
    finding = Text(fr="Constat", en="Finding")
    sound = Text(fr="saine", en="sound")
    failed = Text(fr="échec", en="failed")
    not_started = Text(fr="non commencé", en="not started")
    held = Text(
        fr="Sauvegardes arrivées à échéance, que le serveur de sauvegarde ne laisse pas supprimer",
        en="Backups whose days are over, which the backup server does not let us remove",
    )
    held_note = Text(
        fr="Le jeton ne peut que sauvegarder : l’élagage (prune) est à la charge du serveur de sauvegarde.",
        en="The token may only back up: the backup server's own prune job has to remove them.",
    )
    verification_failed = Text(
        fr="Vérification d’une sauvegarde échouée", en="Verification of a backup failed"
    )
    verification_failed_remedy = Text(
        fr="ne pas compter sur cette sauvegarde : la prochaine nuit en fait une autre ; voir la tâche de vérification "
        "du serveur de sauvegarde",
        en="do not count on this backup: the next night makes another; see the verify job of the backup server",
    )
    before_deduplication = Text(
        fr="Sur un serveur de sauvegarde, le volume est celui des disques, avant déduplication.",
        en="On a backup server, the volume is that of the disks, before deduplication.",
    )
    console_of = Text(fr="Console de {machine}, copie restaurée", en="Console of {machine}, restored copy")
    more_pictures = Text(
        fr="Les autres copies d’écran ne sont pas dans ce rapport, qui serait trop volumineux : {n}.",
        en="The other pictures are not in this report, which would be too large: {n}.",
    )
    check_passed = Text(fr="contrôle réussi", en="check passed")
    check_failed = Text(fr="contrôle échoué", en="check failed")

    # Snapshots
    snapshots = Text(fr="Snapshots", en="Snapshots")
    no_snapshots = Text(
        fr="Aucun snapshot créé, supprimé ni refusé.", en="No snapshots taken, removed or refused."
    )
    snapshot = Text(fr="Snapshot", en="Snapshot")
    snapshot_taken = Text(fr="créé", en="taken")
    snapshot_removed = Text(fr="supprimé", en="removed")
    refused = Text(fr="refusé", en="refused")
    snapshot_foreign = Text(fr="fait par un tiers, laissé en place", en="made by others, left alone")
    expires = Text(fr="Conservé jusqu’au", en="Kept until")

    # Retention
    retention = Text(fr="Durées de Rétention échues", en="Retention: backups whose days are over")
    no_retention = Text(
        fr="Aucune sauvegarde arrivée au terme de sa Durée de Rétention.", en="No backup's days were over."
    )
    archive = Text(fr="Archive", en="Archive")
    volume = Text(fr="Volume", en="Volume")
    archive_removed = Text(fr="supprimée", en="removed")
    archive_kept = Text(fr="conservée", en="kept")

    # Drift
    drift = Text(fr="Dérives", en="Drift")
    no_drift = Text(
        fr="Aucune dérive : rien n’a changé en dehors des fichiers.",
        en="No drift: nothing was changed outside the files.",
    )
    notices = Text(fr="À noter", en="Notices")
    no_notices = Text(fr="Rien à noter.", en="Nothing to note.")
    setting = Text(fr="Réglage", en="Setting")
    found = Text(fr="Trouvé", en="Found")
    in_the_file = Text(fr="Selon le fichier", en="In the file")
    why = Text(fr="Pourquoi", en="Why")

    # Machines
    machines = Text(fr="Machines Virtuelles", en="Machines")
    no_machines = Text(fr="Aucune machine.", en="No machines.")
    client_caption = Text(fr="{client}, contrat {contracts}", en="{client}, contract {contracts}")
    machine = Text(fr="Machine", en="Machine")
    newest_good = Text(fr="Dernière bonne sauvegarde", en="Newest good backup")
    no_good_backup = Text(fr="aucune", en="none")
    age = Text(fr="Âge", en="Age")
    tonight = Text(fr="Cette nuit", en="Tonight")
    backup_done = Text(fr="faite en {duration}, {size}", en="made in {duration}, {size}")
    backup_earlier = Text(fr="déjà faite, {size}", en="made before, {size}")
    backup_not_begun = Text(fr="non commencée", en="not started")
    archives = Text(fr="Sauvegardes conservées", en="Backups kept")
    backup_volume = Text(fr="Volumétrie de sauvegarde", en="Backup volume")
    retention_period = Text(fr="Durée de Rétention", en="Retention")
    days = Counted(fr=("{n} jour", "{n} jours"), en=("{n} day", "{n} days"))
    backup_off = Text(fr="sauvegarde désactivée", en="backup off")
    last_test = Text(fr="Dernier test de restauration", en="Last restore test")
    never_restored = Text(fr="jamais restaurée", en="never restored")
    total = Text(fr="Total", en="Total")

    # Contracts
    contracts = Text(fr="Contrats suspendus ou résiliés", en="Contracts suspended or ended")
    contract = Text(fr="Contrat", en="Contract")
    client = Text(fr="Client", en="Client")
    last_day = Text(fr="Dernier jour", en="Last day")
    working_days_left = Text(fr="Jours ouvrés restants", en="Working days left")
    standing_suspended = Text(fr="suspendu (art. 9)", en="suspended (art. 9)")
    standing_ending = Text(fr="préavis, réversibilité (art. 10)", en="notice given, reversibility (art. 10)")
    standing_ended = Text(fr="terminé (art. 10)", en="ended (art. 10)")
    still_running = Text(fr="Machine à arrêter, encore en marche", en="Machine to be stopped still runs")
    still_running_remedy = Text(
        fr="« orchestrator apply --only CLIENT » l’arrête. Elle est sauvegardée tant qu’elle fonctionne.",
        en="“orchestrator apply --only CLIENT” stops it. It is backed up as long as it runs.",
    )
    ends_soon = Text(fr="Échéances des trente prochains jours", en="Ends within thirty days")
    ending_what = Text(fr="Échéance", en="What ends")
    ending_name = Text(fr="Nom ou référence", en="Name or reference")
    ending_certificate = Text(fr="certificat de l’API", en="certificate of the API")
    ending_licence = Text(fr="licence", en="licence")
    ending_quote = Text(fr="devis", en="quote")
    ending_contract = Text(fr="contrat", en="contract")
    bare_rules = Text(
        fr="Alertes sans procédure (art. 3.8.1)", en="Alert rules without a procedure (art. 3.8.1)"
    )
    bare_rules_remedy = Text(
        fr="rédiger la page NOM.md de chaque alerte, et la nommer dans son annotation « procedure ».",
        en="write a page NAME.md for each rule, and name it in the rule’s annotation “procedure”.",
    )
    without_file = Text(fr="Clients sans fichier", en="Clients without a file")
    without_file_remedy = Text(
        fr="ajouter le fichier du client, ou corriger « client: » dans celui dont le nom est proche. Rien n’est changé "
        "à ces machines ; elles sont sauvegardées comme appliqué en dernier.",
        en="add the client’s file, or correct client: in the one with a similar name. Nothing is changed in these "
        "machines; they are backed up as last applied.",
    )
    file_meant = Text(fr="Fichier au nom proche, sans machine", en="File with a similar name, no machine yet")
    alert_rule = Text(fr="Alerte", en="Alert rule")
    severity = Text(fr="Gravité", en="Severity")
    procedure_named = Text(fr="Procédure nommée, introuvable", en="Procedure named, not found")
    days_left = Text(fr="Jours restants", en="Days left")
    end_failed = Text(fr="Fin de contrat", en="End of contract")
    end_failed_remedy = Text(
        fr="Lever la cause ; la nuit suivante reprend. Rien n’est effacé hors des conditions de l’article 10.",
        en="Fix the cause; the next night continues. Data is deleted only under the conditions of article 10.",
    )

    # Takings over (article 4.2)
    takings = Text(fr="Prises d’empreinte (art. 4.2)", en="Takings over (art. 4.2)")
    gaps = Text(fr="Écarts", en="Gaps")
    no_gaps = Text(fr="aucun", en="none")
    gaps_not_notified = Counted(
        fr=("{n} écart, à notifier", "{n} écarts, à notifier"),
        en=("{n} gap, to be notified", "{n} gaps, to be notified"),
    )
    gaps_notified = Text(
        fr="notifiés le {day} par {who} ({reference})", en="notified on {day} by {who} ({reference})"
    )
    gaps_corrected = Text(
        fr="corrigés le {day}, constaté par {who} ({reference})",
        en="corrected on {day}, recorded by {who} ({reference})",
    )
    gaps_impossible = Text(
        fr="non corrigés : Service impossible depuis le {day}, {who} ({reference})",
        en="not corrected: the service cannot be provided since {day}, {who} ({reference})",
    )
    missing_documents = Text(fr="Documents manquants", en="Missing documents")
    document_operations_manual = Text(fr="documentation d’exploitation", en="operations manual")
    document_application_configuration = Text(
        fr="configuration des applications", en="application configuration"
    )
    document_specifics = Text(fr="spécificités de l’installation", en="specifics of the installation")
    document_security_level = Text(fr="niveau de sécurité", en="level of security")
    document_architecture = Text(fr="dossier d’architecture", en="architecture")
    probation_until = Text(fr="Phase probatoire jusqu’au", en="Probation until")
    service_level_from = Text(fr="SLA à partir du", en="Service level from")

    # The reversibility plan (article 10)
    plan_title = Text(
        fr="Plan de réversibilité : {client}, contrat {contract}",
        en="Reversibility plan: {client}, contract {contract}",
    )
    contract_starts = Text(fr="Contrat depuis le", en="Contract since")
    notice = Text(fr="Lettre recommandée reçue le", en="Registered letter received")
    notice_value = Text(fr="{day}, référence {reference}", en="{day}, reference {reference}")
    erased_from = Text(fr="Effacement des données à partir du", en="Data is erased from")
    vcpus = Text(fr="vCPU", en="vCPU")
    memory = Text(fr="Mémoire", en="Memory")
    hosted_volume = Text(fr="Capacité des disques", en="Capacity of the disks")
    plan_subject = Text(fr="Objet", en="Subject")
    plan_subject_said = Text(
        fr="Ce plan fixe les conditions et modalités pratiques de la réversibilité (article 10 des Conditions "
        "Particulières – Services Hébergés). Il est élaboré par le Prestataire et validé par le Client.",
        en="This plan sets out how reversibility is carried out (article 10 of the particular conditions for hosted "
        "services). The provider draws it up and the client approves it.",
    )
    plan_delay_said = Text(
        fr="Le Prestataire fait ses meilleurs efforts pour continuer à fournir les Services pendant trente jours "
        "ouvrés au maximum, à compter de la réception de la lettre recommandée. Le Client dispose de ce délai pour "
        "copier à distance les données de ses Machines Virtuelles qu’il souhaite conserver.",
        en="The provider makes its best efforts to continue providing the services for at most thirty working days "
        "after the registered letter is received. In that time the client copies, remotely, the data of its virtual "
        "machines that it wants to keep.",
    )
    plan_machines = Text(fr="Machines Virtuelles concernées", en="Virtual machines concerned")
    no_plan_machines = Text(fr="Aucune Machine Virtuelle n’est hébergée.", en="No virtual machine is hosted.")
    disks = Text(fr="Disques", en="Disks")
    address = Text(fr="Adresse", en="Address")
    machine_running = Text(fr="en marche", en="running")
    machine_stopped = Text(fr="arrêtée", en="stopped")
    machine_retired = Text(fr="retirée le {day}, conservée", en="retired on {day}, kept")
    plan_copy = Text(fr="Copie des données", en="Copying the data")
    copy_by_ssh = Text(
        fr="Le Client copie ses données à distance par SSH (rsync, sftp ou scp), avec l’utilisateur {user} et les "
        "clés qu’il a fait enregistrer, depuis les adresses autorisées : {sources}.",
        en="The client copies its data remotely by SSH (rsync, sftp or scp), as the user {user} with the keys it had "
        "registered, from the permitted addresses: {sources}.",
    )
    copy_without_key = Text(
        fr="L’administration à distance n’est pas ouverte au Client : il communique au Prestataire une clé SSH "
        "publique et les adresses depuis lesquelles il copiera.",
        en="Remote administration is not open to the client: it gives the provider a public SSH key, and the addresses "
        "that it will copy from.",
    )
    copy_managed = Text(
        fr="Les serveurs étant en infogérance complète, le Client n’y a pas d’accès direct (article 3.8.2) : les "
        "modalités de la copie sont convenues avec le Prestataire.",
        en="The servers are fully managed, so that the client has no direct access to them (article 3.8.2): how the "
        "data is copied is agreed with the provider.",
    )
    copy_stopped = Text(
        fr="Pour copier les données d’une machine arrêtée, le Client s’adresse au Prestataire.",
        en="To copy the data of a machine that is stopped, the client asks the provider.",
    )
    copy_suspended = Text(
        fr="Les Services sont suspendus (article 9) : leurs machines sont arrêtées tant que la suspension dure.",
        en="The services are suspended (article 9): the machines are stopped as long as the suspension lasts.",
    )
    copy_advice = Text(
        fr="Les bases de données se copient par une exportation, et non par leurs fichiers. Le Client vérifie ses "
        "copies avant le dernier jour.",
        en="Databases are copied by an export, not by their files. The client checks its copies before the last day.",
    )
    plan_help = Text(fr="Assistance", en="Assistance")
    plan_help_said = Text(
        fr="Les prestations d’assistance font l’objet d’un devis, selon le périmètre de réversibilité que le Client "
        "confie au Prestataire.",
        en="Assistance is quoted for, by what the client entrusts to the provider.",
    )
    plan_after = Text(fr="Après le délai", en="After that time")
    plan_after_said = Text(
        fr="Passé ce délai, le Prestataire dispose librement des Machines Virtuelles et efface l’intégralité des "
        "données s’y trouvant, avec leurs snapshots et leurs sauvegardes. Rien ne permet de les retrouver ensuite.",
        en="After that time the provider disposes of the virtual machines and erases all data on them, with their "
        "snapshots and backups. Nothing brings them back afterwards.",
    )
    plan_approval = Text(fr="Validation", en="Approval")
    not_approved = Text(fr="pas encore validé par le Client", en="not approved by the client yet")
    approved_by = Text(
        fr="validé par {name} le {day}, référence {reference}",
        en="approved by {name} on {day}, reference {reference}",
    )
    reversibility_plan = Text(fr="Plan de réversibilité", en="Reversibility plan")
    party = Text(fr="Partie", en="Party")
    the_provider = Text(fr="Le Prestataire", en="The provider")
    the_client = Text(fr="Le Client ({client})", en="The client ({client})")
    signed_by = Text(fr="Nom et qualité", en="Name and position")
    signed_on = Text(fr="Le", en="Date")
    signature = Text(fr="Signature (bon pour accord)", en="Signature")

    # Archives of nobody
    foreign = Text(fr="Archives n’appartenant à aucune machine", en="Archives of nobody")
    no_foreign = Text(
        fr="Aucune archive étrangère sur les stockages de sauvegarde.",
        en="No archives of others on the backup storages.",
    )
    foreign_left = Text(fr="Laissées en place.", en="Left alone.")
    archives_count = Text(fr="Archives", en="Archives")

    nothing = Text(fr="–", en="–")
    drawn_up = Text(fr="Établi le {moment}, heure de Paris.", en="Drawn up {moment}, Paris time.")

    # Units
    size_units = Text(fr="o Kio Mio Gio Tio Pio", en="B KiB MiB GiB TiB PiB")
    duration_units = Text(fr="j h min s", en="d h min s")
