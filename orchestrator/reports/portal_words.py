"""The texts of a client's pages, in both languages side by side. The French words are the contract's."""

from __future__ import annotations

from orchestrator.reports.portal_act_words import ActWords
from orchestrator.reports.words import Counted, Text


class PortalWords(ActWords):
    """The texts in one language."""

    portal_title = Text(fr="Vos Services : {client}", en="Your services: {client}")
    portal_home = Text(fr="Vos Services", en="Your services")
    portal_history = Text(fr="Historique", en="History")
    portal_reports = Text(fr="Rapports", en="Reports")
    portal_level = Text(fr="Niveau de service", en="Service level")
    portal_requests = Text(fr="Demandes", en="Requests")
    portal_other_language = Text(fr="English", en="Français")
    portal_unread = Text(
        fr="Une partie de l’infrastructure n’a pas pu être lue au dernier relevé : l’état affiché est celui du relevé "
        "précédent.",
        en="A part of the infrastructure could not be read at the last look: its state is that of the look before.",
    )
    portal_trouble = Text(
        fr="Cette page ne peut pas être établie pour le moment. Réessayez dans quelques minutes ; si cela dure, "
        "contactez le Prestataire.",
        en="This page cannot be made right now. Try again in a few minutes; if it lasts, please ask the provider.",
    )
    portal_old_form = Text(
        fr="Ce formulaire est trop ancien, ou n’est pas l’un des nôtres : rien n’a été modifié. Revenez en arrière, "
        "rechargez la page et réessayez.",
        en="This form is too old, or not one of ours: nothing was changed. Go back, reload the page and try again.",
    )
    portal_ended_title = Text(fr="Contrat terminé", en="Contract ended")
    portal_ended = Text(
        fr="Votre contrat est terminé : le délai de trente jours ouvrés de l’article 10 est écoulé. Il n’y a plus rien "
        "à consulter ici.",
        en="Your contract has ended: the thirty working days of article 10 are over. There is nothing left to see "
        "here.",
    )
    portal_file_away = Text(
        fr="Votre contrat ne peut pas être lu pour le moment : les demandes ne sont pas possibles. Contactez le "
        "Prestataire si cela dure.",
        en="Your contract cannot be read right now: requests are not possible. Please ask the provider if it lasts.",
    )

    portal_attention = Text(fr="À votre attention", en="For your attention")
    portal_all_well = Text(fr="Rien ne demande votre attention.", en="Nothing needs your attention.")
    note_suspended = Text(
        fr="Les Services sont suspendus depuis le {day} (article 9) : les Machines Virtuelles sont arrêtées, rien "
        "n’est effacé. Vous pouvez consulter ces pages ; les demandes ne sont pas possibles.",
        en="The services are suspended since {day} (article 9): the machines are stopped, nothing is erased. You can "
        "read these pages; requests are not possible.",
    )
    note_default = Text(
        fr="Les Services sont arrêtés pour défaut de paiement (article 10).",
        en="The services are stopped for default of payment (article 10).",
    )
    note_ending = Counted(
        fr=(
            "Votre contrat prend fin : il reste {n} jour ouvré pour copier vos données (article 10).",
            "Votre contrat prend fin : il reste {n} jours ouvrés pour copier vos données (article 10).",
        ),
        en=(
            "Your contract ends: {n} working day is left to copy your data (article 10).",
            "Your contract ends: {n} working days are left to copy your data (article 10).",
        ),
    )
    note_no_backup = Text(fr="{machine} : aucune bonne Sauvegarde.", en="{machine}: there is no good backup.")
    note_old_backup = Text(
        fr="{machine} : la dernière bonne Sauvegarde est du {moment}.",
        en="{machine}: the last good backup is of {moment}.",
    )
    note_state = Text(fr="{machine} : {state}.", en="{machine}: {state}.")
    note_restart = Text(
        fr="{machine} : des réglages attendent le prochain redémarrage.",
        en="{machine}: settings wait for its next restart.",
    )
    note_quote = Text(
        fr="Le devis {reference} prend fin le {day}.", en="The quote {reference} ends on {day}."
    )
    note_credit = Text(
        fr="{month} : l’Objectif de Disponibilité du Service n’a pas été atteint pour {machine}. Vous pouvez demander "
        "un avoir (article 6).",
        en="{month}: the objective was missed for {machine}. You may ask for a credit (article 6).",
    )
    note_answered = Text(
        fr="Votre demande n° {number} a reçu une réponse.", en="Your request {number} was answered."
    )

    portal_machines = Text(fr="Machines Virtuelles", en="Machines")
    portal_no_machines = Text(fr="Aucune Machine Virtuelle.", en="No machines.")
    portal_machine = Text(fr="Machine Virtuelle", en="Machine")
    portal_offer = Text(fr="Service", en="Service")
    portal_state = Text(fr="État", en="State")
    portal_memory = Text(fr="RAM", en="RAM")
    portal_storage = Text(fr="Stockage", en="Storage")
    portal_address = Text(fr="Adresse", en="Address")
    portal_last_backup = Text(fr="Dernière bonne Sauvegarde", en="Last good backup")
    portal_search = Text(fr="Rechercher une Machine Virtuelle", en="Search for a machine")
    portal_pages = Text(fr="Pages", en="Pages")
    portal_earlier = Text(fr="Plus ancien", en="Older")
    portal_newest = Text(fr="Plus récent", en="Newest")

    state_running = Text(fr="en marche", en="running")
    state_stopped = Text(fr="arrêtée", en="stopped")
    state_unknown = Text(fr="état inconnu", en="state not known")
    state_suspended = Text(fr="suspendue", en="suspended")
    state_retired = Text(
        fr="retirée du contrat, données conservées", en="taken out of the contract, data kept"
    )
    state_missing = Text(fr="pas encore créée", en="not created yet")

    offer_essential = Text(fr="Cloud VM Essentiel", en="Cloud VM Essentiel")
    offer_advanced = Text(fr="Cloud VM Avancé", en="Cloud VM Avancé")
    offer_datacenter = Text(fr="Cloud Datacenter", en="Cloud Datacenter")

    portal_contract = Text(fr="Contrat", en="Contract")
    contract_reference = Text(fr="Référence du contrat", en="Contract reference")
    contract_since = Text(fr="Début du contrat", en="Contract start")
    contract_standing = Text(fr="État du contrat", en="State of the contract")
    contract_data_centre = Text(fr="DataCenter", en="Data centre")
    contract_managed = Text(fr="Infogérance", en="Managed services")
    contract_probation = Text(fr="Phase Probatoire", en="Probation")
    contract_probation_until = Text(
        fr="jusqu’au {last} ; niveau de service à partir du {first} (article 4.2)",
        en="until {last}; service level from {first} (article 4.2)",
    )
    contract_last_day = Text(fr="Dernier jour", en="Last day")
    contract_days_left = Counted(
        fr=("{n} jour ouvré restant", "{n} jours ouvrés restants"),
        en=("{n} working day left", "{n} working days left"),
    )
    contract_free = Text(fr="Changements standard gratuits du mois", en="Free standard changes of the month")
    contract_free_used = Text(
        fr="{used} utilisés sur {agreed}, {left} restants", en="{used} of {agreed} used, {left} left"
    )
    contract_not_managed = Text(fr="non souscrite", en="not subscribed")
    level_supervision = Text(fr="niveau Supervision", en="level supervision")
    level_full = Text(fr="infogérance complète", en="level full")
    standing_active_client = Text(fr="en vigueur", en="in force")
    standing_suspended_client = Text(
        fr="suspendu depuis le {day} (article 9)", en="suspended since {day} (article 9)"
    )
    standing_default_client = Text(
        fr="arrêté pour défaut de paiement (article 10)", en="stopped for default of payment (article 10)"
    )
    standing_ending_client = Text(
        fr="prend fin : notification reçue le {day} (article 10)",
        en="ends: notice received on {day} (article 10)",
    )

    portal_quotes = Text(fr="Devis acceptés", en="Accepted quotes")
    portal_no_quotes = Text(fr="Aucun devis.", en="No quotes.")
    quote_reference = Text(fr="Devis", en="Quote")
    quote_machines = Text(fr="Pour", en="For")
    quote_all = Text(fr="toutes les Machines Virtuelles", en="all machines")
    quote_until = Text(fr="Valable jusqu’au", en="Valid until")

    portal_level_month = Text(fr="Niveau de service : {month}", en="Service level: {month}")
    level_owed = Text(fr="Objectif", en="Owed")
    level_owed_value = Text(fr="99,85 %", en="99.85%")
    level_delivered = Text(fr="Disponibilité", en="Delivered")
    level_verdict = Text(fr="Résultat", en="Result")
    level_so_far = Text(fr="provisoire : le mois n’est pas terminé", en="provisional: the month is not over")
    level_no_machines = Text(
        fr="Aucun Service n’est mesuré ce mois-ci.", en="No service is measured in this month."
    )
    level_unread = Text(
        fr="Le niveau de service ne peut pas être calculé pour le moment.",
        en="The service level cannot be computed right now.",
    )
    level_other_months = Text(fr="Autres mois", en="Other months")
    level_ask_credit = Text(fr="Demander l’avoir", en="Ask for the credit")
    level_details = Text(fr="Calcul détaillé", en="The reckoning")

    portal_resources = Text(fr="Ressources", en="Resources")
    portal_disk = Text(fr="Disque", en="Disk")
    portal_size = Text(fr="Taille", en="Size")
    portal_in_backup = Text(fr="Dans la Sauvegarde", en="In the backup")
    said_yes = Text(fr="oui", en="yes")
    said_no = Text(fr="non", en="no")
    portal_image = Text(fr="Système", en="System")
    portal_addresses = Text(fr="Adresses", en="Addresses")
    portal_waiting = Text(
        fr="Des réglages attendent le prochain redémarrage, depuis le {moment}.",
        en="Settings wait for the next restart, since {moment}.",
    )
    portal_waiting_unknown = Text(
        fr="Des réglages attendent le prochain redémarrage.", en="Settings wait for the next restart."
    )

    portal_firewall = Text(fr="Firewall basic (article 3.6)", en="Basic firewall (article 3.6)")
    firewall_closed = Text(
        fr="Tout ce qui n’est pas listé est fermé en entrée.",
        en="Everything that is not listed is closed from outside.",
    )
    firewall_differs = Text(
        fr="Les règles demandées ne sont pas encore toutes chargées.",
        en="Not all of the rules that were asked for are loaded yet.",
    )
    firewall_unloaded = Text(
        fr="Les règles demandées ne sont pas encore chargées.",
        en="The rules that were asked for are not loaded yet.",
    )
    firewall_no_rules = Text(fr="Aucun port n’est ouvert.", en="No port is open.")
    firewall_direction = Text(fr="Sens", en="Direction")
    firewall_in = Text(fr="entrée", en="in")
    firewall_out = Text(fr="sortie", en="out")
    firewall_what = Text(fr="Protocole et port", en="Protocol and port")
    firewall_others = Text(fr="Depuis ou vers", en="From or to")
    firewall_any = Text(fr="partout", en="anywhere")
    firewall_provider = Text(
        fr="Prestataire (administration et Supervision)", en="provider (administration and supervision)"
    )
    firewall_all_out = Text(fr="En sortie, tout est autorisé.", en="Outgoing traffic is not limited.")

    portal_snapshots = Text(fr="Snapshots", en="Snapshots")
    portal_no_snapshots = Text(fr="Aucun Snapshot.", en="No snapshots.")
    portal_snapshots_note = Text(
        fr="Deux Snapshots au plus, conservés sept jours (articles 3.2 et 3.3).",
        en="At most two snapshots, kept seven days (articles 3.2 and 3.3).",
    )
    snapshot_name = Text(fr="Nom", en="Name")
    snapshot_taken_at = Text(fr="Créé", en="Taken")
    snapshot_expires = Text(fr="Expire", en="Expires")
    snapshot_no_expiry = Text(fr="sans échéance", en="does not expire")
    snapshot_kind = Text(fr="Motif", en="Reason")
    snapshot_declared = Text(fr="planifié", en="planned")
    snapshot_on_demand = Text(fr="sur demande", en="on demand")
    snapshot_update = Text(fr="avant une mise à jour", en="before an update")
    snapshot_broken = Text(fr="incomplet", en="incomplete")

    portal_backups = Text(fr="Sauvegarde (article 3.5)", en="Backup (article 3.5)")
    portal_backup_off = Text(
        fr="La Sauvegarde n’est pas activée pour cette Machine Virtuelle.",
        en="This machine's backup is off.",
    )
    portal_backup_unknown = Text(
        fr="Les plateformes de Sauvegarde n’ont pas toutes pu être lues : la liste peut être incomplète.",
        en="Not all backup platforms could be read: the list may be incomplete.",
    )
    backup_retention = Text(fr="Durée de Rétention", en="Retention")
    backup_days = Counted(
        fr=("{n} jour calendaire", "{n} jours calendaires"), en=("{n} calendar day", "{n} calendar days")
    )
    backup_volumetry = Text(fr="Volumétrie de la Machine Virtuelle", en="Volume of the machine's backups")
    backup_total = Text(fr="Volumétrie totale de vos Sauvegardes", en="Volume of all your backups")
    backup_bytes = Text(fr="{size} ({bytes} octets)", en="{size} ({bytes} bytes)")
    backup_none = Text(fr="aucune", en="none")
    backup_never_tested = Text(fr="aucun à ce jour", en="none so far")
    backup_taken = Text(fr="Réalisée", en="Made")
    backup_kept_until = Text(fr="Conservée jusqu’au", en="Kept until")
    backup_stays = Text(fr="conservée au-delà", en="kept longer")
    backup_test = Text(fr="Test de restauration", en="Restore test")
    backup_good = Text(fr="bonne", en="good")
    backup_bad = Text(fr="inutilisable", en="not usable")
    test_sound = Text(fr="réussi le {day}", en="passed on {day}")
    test_unsound = Text(fr="échec le {day}", en="failed on {day}")
    backup_list = Text(fr="Sauvegardes conservées", en="Backups that are kept")

    portal_graphs = Text(fr="Consommation", en="Usage")
    portal_open_console = Text(fr="Ouvrir la console", en="Open the console")

    history_when = Text(fr="Date", en="When")
    history_who = Text(fr="Par", en="Who")
    history_what = Text(fr="Action", en="What")
    history_why = Text(fr="Motif", en="Why")
    history_result = Text(fr="Résultat", en="Result")
    history_empty = Text(fr="Aucune action enregistrée.", en="Nothing was recorded.")
    history_all = Text(fr="Tout l’Historique", en="The whole history")
    history_of = Text(fr="Historique de {machine}", en="History of {machine}")

    reports_monthly = Text(fr="Rapports mensuels", en="Monthly reports")
    portal_see = Text(fr="Voir", en="See")
    reports_pdf = Text(fr="PDF", en="PDF")
    reports_none = Text(fr="Aucun mois complet à ce jour.", en="No month is complete so far.")
    reports_reversibility = Text(
        fr="Plan de réversibilité (article 10)", en="Reversibility plan (article 10)"
    )
    reports_reversibility_note = Text(
        fr="Établi à la fin du contrat : ce que vous recevez, et comment le copier.",
        en="Drawn up when the contract ends: what you receive, and how to copy it.",
    )
    reports_no_reversibility = Text(
        fr="Il n’y a pas de plan de réversibilité : personne n’a mis fin au contrat.",
        en="There is no reversibility plan: nobody ended the contract.",
    )
    reports_busy = Text(
        fr="Trop de documents sont établis en ce moment : réessayez dans une minute.",
        en="Too many documents are being made right now: try again in a minute.",
    )
    reports_no_pdf = Text(
        fr="Le PDF ne peut pas être établi : lisez la page.",
        en="The PDF cannot be made: read the page instead.",
    )

    requests_new = Text(fr="Nouvelle demande", en="New request")
    requests_kind = Text(fr="Objet", en="What")
    requests_machine = Text(fr="Machine Virtuelle", en="Machine")
    requests_all_machines = Text(fr="Toutes", en="All of them")
    requests_text = Text(fr="Votre demande", en="Your request")
    requests_send = Text(fr="Envoyer la demande", en="Send the request")
    requests_open = Text(fr="Demandes en cours", en="Open requests")
    requests_closed = Text(fr="Demandes clôturées", en="Closed requests")
    requests_none_open = Text(fr="Aucune demande en cours.", en="No open requests.")
    requests_none_closed = Text(fr="Aucune demande clôturée.", en="No closed requests.")
    requests_number = Text(fr="N°", en="No.")
    requests_client = Text(fr="Client", en="client")
    requests_by = Text(fr="Par", en="By")
    requests_answer = Text(fr="Réponse", en="Answer")
    requests_due = Text(fr="Échéance des 72 heures ouvrées", en="72 working hours are over")
    requests_impossible = Text(
        fr="Aucune demande n’est possible pour le moment.", en="No request is possible right now."
    )
    requests_delay_note = Text(
        fr="Une demande est enregistrée dès son envoi : les délais de l’article 3.8.3 courent de cet instant. Le "
        "Prestataire la réalise et y répond ici.",
        en="A request is registered when it is sent: the delays of article 3.8.3 count from there. The provider "
        "carries it out and answers here.",
    )
    requests_credit_note = Text(
        fr="Un avoir se demande depuis la page du niveau de service.",
        en="A credit is asked for on the page of the service level.",
    )
    ask_update = Text(
        fr="Installation des mises à jour (article 3.8.3)", en="Installing updates (article 3.8.3)"
    )
    ask_change = Text(fr="Changement (ressources, Firewall, clés…)", en="Change (resources, firewall, keys…)")
    ask_hardware = Text(
        fr="Nouveau matériel (soumis à approbation)", en="New hardware (needs the provider's approval)"
    )
    ask_restart = Text(fr="Redémarrage", en="Restart")
    ask_snapshot = Text(fr="Snapshot", en="Snapshot")
    ask_credit = Text(fr="Avoir", en="Credit")
    ask_credit_of = Text(fr="Avoir pour {month}", en="Credit for {month}")
    answer_done = Text(fr="réalisée", en="done")
    answer_nothing_due = Text(fr="rien à installer", en="nothing was due")
    answer_refused = Text(fr="refusée", en="refused")
    answer_withdrawn = Text(fr="retirée", en="withdrawn")
    answer_yes = Text(fr="approuvée", en="approved")
    answer_no = Text(fr="non approuvée", en="not approved")

    asked_done = Text(
        fr="Votre demande est enregistrée : n° {number}.", en="Your request is registered: {number}."
    )
    asked_already = Text(
        fr="Cette demande est déjà enregistrée et en cours : son délai court depuis la première.",
        en="This was asked for already and is open: its delay counts from the first one.",
    )
    asked_no_text = Text(fr="Décrivez votre demande.", en="Please describe your request.")
    asked_long_text = Text(
        fr="Votre demande est trop longue : {most} caractères au plus.",
        en="Your request is too long: {most} characters at most.",
    )
    asked_odd_text = Text(
        fr="Votre demande contient des caractères qui ne peuvent pas être enregistrés.",
        en="Your request has characters that cannot be recorded.",
    )
    asked_machine = Text(fr="Choisissez une Machine Virtuelle.", en="Choose a machine.")
    asked_refused = Text(
        fr="Votre demande n’a pas pu être enregistrée.", en="Your request could not be registered."
    )
    asked_too_many = Text(
        fr="Trop de demandes ont été envoyées aujourd’hui : contactez le Prestataire.",
        en="Too many requests were sent today: please ask the provider.",
    )
    asked_no_credit = Text(
        fr="Aucun avoir n’est ouvert pour ce mois, ou il a déjà été demandé.",
        en="No credit is open for this month, or it was asked for already.",
    )

    refusal_ended = Text(
        fr="Votre contrat est terminé (article 10).", en="Your contract has ended (article 10)."
    )
    refusal_suspended = Text(
        fr="Les Services sont suspendus (article 9) : aucune demande n’est possible.",
        en="The services are suspended (article 9): no request is possible.",
    )
    refusal_offer = Text(
        fr="Ce n’est pas une fonctionnalité du Service souscrit (article 3).",
        en="This is not a feature of the subscribed service (article 3).",
    )
    refusal_unmanaged = Text(
        fr="C’est une prestation de l’Infogérance, qui n’est pas souscrite (article 3.8).",
        en="This is part of the managed services, which are not subscribed (article 3.8).",
    )
    refusal_level = Text(
        fr="En infogérance complète, le Prestataire administre seul la Machine Virtuelle (article 3.8.2).",
        en="At level full the provider administers the machine alone (article 3.8.2).",
    )
