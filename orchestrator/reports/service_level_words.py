"""The texts of the service level's report, in both languages side by side. The French words are the contract's."""

from __future__ import annotations

from orchestrator.contract.service_level import Why
from orchestrator.reports.words import Text, Words


class ServiceLevelWords(Words):
    """The texts in one language."""

    level_title = Text(fr="Niveau de service, {month} : {client}", en="Service level of {month}: {client}")
    level_month = Text(fr="Mois", en="Month")
    level_objective = Text(fr="Objectif de Disponibilité du Service", en="Objective")
    level_objective_value = Text(
        fr="99,85 % du mois ; est comptée l’indisponibilité du lundi au vendredi, de 8 h à 18 h, hors jours fériés "
        "et hors maintenance planifiée (article 6)",
        en="99.85% of the month; downtime counts Monday to Friday, 08:00 to 18:00, without public holidays and planned "
        "maintenance (article 6)",
    )
    level_minutes = Text(fr="Minutes totales dans le mois", en="Minutes of the month")
    level_state = Text(fr="État", en="State")
    level_final = Text(fr="définitif", en="final")
    level_provisional = Text(
        fr="provisoire : le mois n’est pas terminé, calcul arrêté au {moment}",
        en="provisional: the month is not over, computed up to {moment}",
    )

    availability_part = Text(fr="Disponibilité", en="Availability")
    availability = Text(fr="Disponibilité", en="Availability")
    objective = Text(fr="Objectif", en="Objective")
    counted_time = Text(fr="Indisponibilité comptée", en="Downtime that counts")
    excused_time = Text(fr="Indisponibilité excusée", en="Excused downtime")
    over_covered = Text(fr="Sur la période couverte (indicatif)", en="Over the covered hours (informative)")
    credit = Text(fr="Avoir", en="Credit")
    met = Text(fr="atteint", en="met")
    missed = Text(fr="non atteint", en="missed")
    level_not_observed = Text(fr="non mesurée : aucune observation", en="not measured: no observation")
    in_probation = Text(
        fr="sans engagement : période probatoire (article 4.2)",
        en="no service level: probation (article 4.2)",
    )
    not_in_service = Text(fr="pas en service ce mois-ci", en="not in service this month")
    gone = Text(fr="{machine} (ne figure plus au contrat)", en="{machine} (no longer in the subscription)")
    covered_note = Text(
        fr="Les pourcentages sont arrondis vers le bas. Le pourcentage sur la période couverte est donné à titre "
        "indicatif et ne sert pas au calcul des avoirs.",
        en="Percentages are rounded down. The percentage over the covered hours is informative and is never used for "
        "credits.",
    )

    outages_part = Text(fr="{machine} : indisponibilités", en="{machine}: outages")
    no_outages = Text(fr="Aucune indisponibilité n’est enregistrée.", en="No outage is recorded.")
    reckoning = Text(
        fr="({minutes} min − {counted}) / {minutes} min × 100 = {percent}",
        en="({minutes} min − {counted}) / {minutes} min × 100 = {percent}",
    )
    outage_number = Text(fr="N°", en="No.")
    begins = Text(fr="Du", en="From")
    ends = Text(fr="Au", en="To")
    lasts = Text(fr="Durée", en="Duration")
    accounted = Text(fr="Prise en compte", en="Accounted for")
    outage_said = Text(
        fr="Indisponibilité n° {number}, du {start} {end}, {notified}",
        en="Outage {number}, {start} {end}, {notified}",
    )
    outage_reference = Text(fr=", référence {reference}", en=", reference {reference}")
    notified_by_client = Text(fr="notifiée par le Client le {moment}", en="notified by the client, {moment}")
    notified_by_supervision = Text(
        fr="notifiée par la supervision le {moment}", en="notified by supervision, {moment}"
    )
    notified_by_other = Text(fr="notifiée par {who} le {moment}", en="notified by {who}, {moment}")
    notified_by_nobody = Text(fr="jamais notifiée", en="never notified")
    until = Text(fr="au {moment}", en="to {moment}")
    now_going_on = Text(fr="à ce jour (en cours)", en="to now (still going on)")

    counts = Text(fr="comptée", en="counts")
    counted_already = Text(fr="déjà comptée avec le n° {by}", en="counted already with {by}")
    not_notified = Text(fr="non notifiée : non comptée", en="not notified: does not count")
    not_in_contract = Text(
        fr="hors contrat, ou avant la création de la machine",
        en="outside the contract's term, or before the machine was created",
    )
    not_covered = Text(
        fr="hors période couverte (nuit, week-end, jour férié)",
        en="outside the covered hours (night, weekend, public holiday)",
    )
    probation = Text(fr="période probatoire (article 4.2)", en="probation (article 4.2)")
    suspended = Text(fr="Service suspendu (article 9)", en="suspended (article 9)")
    maintenance = Text(
        fr="maintenance planifiée n° {by}{reference} (iii)", en="planned maintenance {by}{reference} (iii)"
    )
    planned_update = Text(
        fr="mise à jour automatique dans la fenêtre convenue (article 3.8.3)",
        en="automatic update in the agreed window (article 3.8.3)",
    )
    excused = Text(
        fr="Événement Excusable n° {by}{reference} : {cause}", en="excusable event {by}{reference}: {cause}"
    )
    cause_i = Text(
        fr="(i) équipement ou service non fourni par le Prestataire",
        en="(i) equipment or service not supplied by the provider",
    )
    cause_ii = Text(fr="(ii) acte ou omission du Client", en="(ii) the client's act or omission")
    cause_iii = Text(fr="(iii) maintenance planifiée", en="(iii) planned maintenance")
    cause_iv = Text(
        fr="(iv) trafic excédant la capacité du Service", en="(iv) traffic above the capacity of the service"
    )
    cause_v = Text(fr="(v) autre opérateur de télécommunication", en="(v) another telecommunication operator")
    cause_vi = Text(
        fr="(vi) indisponibilité du Client ou défaut de coopération",
        en="(vi) the client unavailable, or not cooperating",
    )
    cause_force_majeure = Text(fr="force majeure", en="force majeure")

    excused_part = Text(fr="Indisponibilité excusée, par cause", en="Excused downtime, by cause")
    cause = Text(fr="Cause", en="Cause")

    gaps_part = Text(fr="Périodes sans observation", en="Times without observation")
    gaps_said = Text(
        fr="Pendant ces heures couvertes, l’état des Machines Virtuelles n’a pas été observé : il n’est compté ni "
        "comme disponible ni comme indisponible.",
        en="In these covered hours nobody observed the machines: they are counted neither as up nor as down.",
    )
    gaps_all = Text(
        fr="{machine} : aucune observation au cours du mois.",
        en="{machine}: no observation in the whole month.",
    )
    gaps_more = Text(fr="et {n} autres périodes", en="and {n} more")

    credits_part = Text(fr="Avoirs", en="Credits")
    no_credits = Text(fr="Aucun avoir n’est ouvert pour ce mois.", en="No credit is open for this month.")
    credits_note = Text(
        fr="Un avoir est émis sur demande du Client. Les avoirs émis sur trente jours consécutifs sont plafonnés à "
        "20 % des frais mensuels du Service défaillant (article 6).",
        en="A credit is issued on the client's request. Credits issued in any thirty consecutive days are capped at "
        "20% of the monthly fee of the failing service (article 6).",
    )
    credit_share = Text(fr="Taux", en="Rate")
    credit_fee = Text(fr="Montant mensuel", en="Monthly fee")
    credit_amount = Text(fr="Montant de l’avoir", en="Amount")
    credit_state = Text(fr="État", en="State")
    credit_open = Text(fr="ouvert : à demander par le Client", en="open: the client may ask for it")
    credit_requested = Text(fr="demandé le {day} (n° {number})", en="requested on {day} (record {number})")
    credit_issued = Text(fr="émis le {day} (n° {number})", en="issued on {day} (record {number})")
    credit_lapsed = Text(fr=", plafonné : {lapsed} non dus", en=", capped: {lapsed} lapsed")

    corrections_part = Text(fr="Corrections", en="Corrections")
    corrections_note = Text(
        fr="Les enregistrements ne sont jamais modifiés : une correction est un nouvel enregistrement.",
        en="Records are never edited: a correction is a new record.",
    )
    record = Text(fr="Enregistrement", en="Record")
    replaces = Text(fr="Remplace", en="Replaces")
    recorded_on = Text(fr="Le", en="On")
    correction_reason = Text(fr="Motif", en="Reason")

    unreadable_part = Text(fr="Enregistrements illisibles", en="Unreadable records")
    unreadable_said = Text(
        fr="Ces enregistrements n’ont pas pu être lus et sont sans effet sur ce calcul :",
        en="These records could not be read and have no effect on this computation:",
    )

    def cause_named(self, cause: str) -> str:
        """The words of a cause of article 6."""
        return str(getattr(self, f"cause_{cause.replace('-', '_')}", cause))

    def accounted_as(self, why: Why) -> str:
        """What becomes of a part of an outage; with placeholders where records explain it."""
        return str(getattr(self, _WHY[why]))


_WHY = {
    Why.COUNTS: "counts",
    Why.COUNTED_ALREADY: "counted_already",
    Why.NOT_NOTIFIED: "not_notified",
    Why.NOT_IN_SERVICE: "not_in_contract",
    Why.NOT_COVERED: "not_covered",
    Why.PROBATION: "probation",
    Why.SUSPENDED: "suspended",
    Why.MAINTENANCE: "maintenance",
    Why.EXCUSED: "excused",
}
