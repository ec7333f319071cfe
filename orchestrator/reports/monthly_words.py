"""The texts of the monthly report, in both languages side by side. The French words are the contract's."""

from __future__ import annotations

from orchestrator.reports.service_level_words import ServiceLevelWords
from orchestrator.reports.words import Text


class MonthlyWords(ServiceLevelWords):
    """The texts in one language."""

    monthly_title = Text(fr="Rapport mensuel, {month} : {client}", en="Monthly report of {month}: {client}")
    monthly_services = Text(fr="Infogérance", en="Managed services")
    monthly_managed = Text(fr="souscrite", en="subscribed")
    monthly_not_managed = Text(fr="non souscrite", en="not subscribed")
    monthly_state = Text(fr="État du contrat", en="State of the contract")
    in_force = Text(fr="en vigueur", en="in force")
    monthly_suspended = Text(
        fr="suspendu depuis le {day} (article 9)", en="suspended since {day} (article 9)"
    )
    monthly_probation = Text(
        fr="période probatoire ; niveau de service à partir du {day} (article 4.2)",
        en="probation; service level from {day} (article 4.2)",
    )

    changes_part = Text(fr="Gestion des changements (article 3.8.4)", en="Changes (article 3.8.4)")
    changes_free = Text(
        fr="Changements standard gratuits : {used} utilisés sur {agreed} convenus.",
        en="Free standard changes: {used} of {agreed} used.",
    )
    changes_unmanaged = Text(
        fr="Sans infogérance, les changements ne sont pas décomptés.",
        en="Without managed services changes are not counted.",
    )
    no_changes = Text(fr="Aucun changement ce mois-ci.", en="No changes this month.")
    monthly_day = Text(fr="Jour", en="Day")
    what_changed = Text(fr="Changement", en="Change")
    change_class = Text(fr="Qualification", en="Class")
    charge = Text(fr="Facturation", en="Charge")
    class_standard = Text(fr="standard", en="standard")
    class_significant = Text(fr="significatif", en="significant")
    class_major = Text(fr="majeur", en="major")
    charge_free = Text(fr="gratuit", en="free")
    charge_quoted = Text(fr="sur devis", en="by quote")
    charge_catalogue = Text(fr="selon le catalogue", en="by the catalogue")
    charge_ordered = Text(fr="commandé", en="ordered")
    charge_included = Text(fr="inclus", en="included")

    updates_part = Text(fr="Mises à jour (article 3.8.3)", en="Updates (article 3.8.3)")
    updates_mean = Text(
        fr="Mises à jour installées : {n}. Délai moyen : {mean} heures ouvrées, pour 72 au contrat ; celles en attente "
        "sont comptées avec leur âge.",
        en="Updates installed: {n}. Mean delay: {mean} working hours, against 72 of the contract; those that wait "
        "count with their age.",
    )
    monthly_no_updates = Text(
        fr="Aucune mise à jour installée ni en attente.", en="No updates installed, and none waits."
    )
    monthly_updates_installed = Text(fr="Installées", en="Installed")
    monthly_updates_waiting = Text(fr="En attente", en="Waiting")
    since_when = Text(fr="Depuis", en="Since")
    installed_at = Text(fr="Installée", en="Installed on")
    delay_hours = Text(fr="Délai (heures ouvrées)", en="Delay (working hours)")

    monthly_backups = Text(fr="Sauvegardes (article 3.5)", en="Backups (article 3.5)")
    backups_of = Text(fr="{good} sur {expected}", en="{good} of {expected}")
    backups_made = Text(
        fr="Sauvegardes réussies des nuits attendues", en="Good backups of the expected nights"
    )
    second_copies_made = Text(
        fr="Secondes copies réussies (article 3.2)", en="Good second copies (article 3.2)"
    )
    second_copy_of = Text(fr="{machine}, seconde copie", en="{machine}, second copy")
    second_unknown = Text(
        fr="aucune seconde copie n’a été lancée cette nuit-là", en="no second copy was begun that night"
    )
    last_volume = Text(fr="Dernière sauvegarde", en="Last backup")
    month_volume = Text(fr="Volume du mois", en="Volume of the month")
    backups_missing = Text(fr="Nuits sans sauvegarde", en="Nights without a backup")
    missing_night = Text(fr="Nuit du", en="Night of")
    missing_why = Text(fr="Raison", en="Reason")
    missing_unknown = Text(
        fr="aucune sauvegarde n’a été lancée cette nuit-là", en="no backup was begun that night"
    )
    reason_space = Text(
        fr="espace insuffisant sur la plateforme de sauvegarde", en="no space left on the backup platform"
    )
    reason_away = Text(
        fr="plateforme de sauvegarde injoignable", en="the backup platform could not be reached"
    )
    reason_time = Text(fr="délai dépassé", en="it took too long")
    reason_busy = Text(fr="machine occupée par une autre opération", en="another operation held the machine")
    reason_interrupted = Text(fr="opération interrompue", en="the operation was interrupted")
    reason_no_boot = Text(fr="la copie restaurée ne démarre pas", en="the restored copy does not boot")
    reason_other = Text(
        fr="incident technique, consigné dans l’historique du Prestataire",
        en="technical incident, recorded in the provider's history",
    )
    reason_check = Text(
        fr="le contrôle demandé par le Client a échoué dans la copie restaurée",
        en="the check that the client asked for failed in the restored copy",
    )
    test_checked = Text(
        fr="la copie restaurée a démarré et le contrôle du Client y a réussi",
        en="the restored copy booted, and the client's check passed in it",
    )
    test_booted = Text(fr="la copie restaurée a démarré", en="the restored copy booted")
    no_backups = Text(fr="Aucune sauvegarde souscrite.", en="No backup is subscribed.")
    tests_part = Text(fr="Tests de restauration", en="Restore tests")
    monthly_no_tests = Text(fr="Aucun test de restauration ce mois-ci.", en="No restore tests this month.")
    monthly_result = Text(fr="Résultat", en="Result")
    result_ok = Text(fr="réussi", en="passed")
    result_failed = Text(fr="échec", en="failed")
    monthly_when = Text(fr="Date", en="When")

    monthly_snapshots = Text(fr="Snapshots (articles 3.2 et 3.3)", en="Snapshots (articles 3.2 and 3.3)")
    monthly_no_snapshots = Text(fr="Aucun snapshot ce mois-ci.", en="No snapshots this month.")
    monthly_snapshot_taken = Text(fr="création", en="taken")
    monthly_snapshot_removed = Text(fr="suppression", en="removed")
    snapshot_back = Text(fr="restauration", en="rolled back")

    firewall_part = Text(fr="Firewall (article 3.6)", en="Firewall (article 3.6)")
    monthly_no_firewall = Text(fr="Aucun relevé ce mois-ci.", en="Nothing was read this month.")
    packets_dropped = Text(fr="Paquets rejetés", en="Packets dropped")

    alarms_part = Text(fr="Alarmes (article 3.8.1)", en="Alarms (article 3.8.1)")
    no_alarms = Text(fr="Aucune alarme ce mois-ci.", en="No alarms this month.")
    alarm_rule = Text(fr="Alarme", en="Alarm")
    alarm_actions = Text(fr="Actions", en="Actions")
    alarm_begin = Text(fr="Début", en="Beginning")
    alarm_end = Text(fr="Fin", en="End")
    alarm_open = Text(fr="en cours", en="goes on")
    alarm_acknowledged = Text(fr="Prise en charge", en="Acknowledged by")
    alarm_action = Text(fr="{moment}, {by} : {what} ({result})", en="{moment}, {by}: {what} ({result})")
    action_done = Text(fr="fait", en="done")
    action_failed = Text(fr="échec", en="failed")
    action_no_effect = Text(fr="sans effet", en="no effect")
    alarm_silent = Text(fr="maintenance planifiée", en="planned maintenance")
    alarm_told = Text(fr="signalée, sans intervention (article 3.7)", en="told, not acted on (article 3.7)")

    requests_part = Text(fr="Demandes", en="Requests")
    no_requests = Text(
        fr="Aucune demande enregistrée ce mois-ci.", en="No requests were registered this month."
    )
    request_kind = Text(fr="Objet", en="Kind")
    request_update = Text(fr="mise à jour", en="update")
    request_change = Text(fr="changement", en="change")
    request_hardware = Text(fr="nouveau matériel", en="new hardware")
    request_restart = Text(fr="redémarrage", en="restart")
    request_snapshot = Text(fr="snapshot", en="snapshot")
    request_came = Text(fr="Reçue", en="Received")
    request_closed = Text(fr="Clôturée", en="Closed")

    dates_part = Text(fr="Prochaines échéances", en="Next dates")
    ending_probation = Text(fr="période probatoire (article 4.2)", en="probation (article 4.2)")
    no_dates = Text(fr="Aucune échéance connue.", en="No dates are known.")

    graphs_part = Text(fr="Consommation des machines", en="Resource usage of the machines")
    no_graphs = Text(
        fr="Les mesures de ce mois n’ont pas pu être lues.",
        en="The month's figures could not be read.",
    )
    graphs_left_out = Text(
        fr="Ce rapport est établi sans les graphes.", en="This report is made without graphs."
    )
    graphs_not_bought = Text(
        fr="Les graphes ne font pas partie du Service souscrit (article 3.3).",
        en="Graphs are not part of the subscribed service (article 3.3).",
    )
