"""What graphs say, in French and in English: names, figures with their units, times in Paris."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Literal

from orchestrator.contract.calendar import day_in_paris, paris_time
from orchestrator.proxmox.measurements import Timeframe
from orchestrator.reports.language import Speech
from orchestrator.reports.series import GraphName, LineName, MachineGraphs, Statistics, Unit
from orchestrator.reports.spelling import (
    NO_BREAK,
    Language,
    padded,
    percent_exact,
    short_day_of_month,
    short_month,
)
from orchestrator.reports.words import Text, Words


class GraphWords(Words):
    """The texts of one language."""

    graphs_title = Text(fr="Consommation de {machine}", en="Resource usage of {machine}")
    graph_vcpu = Text(fr="vCPU (part de l’ensemble)", en="vCPU (share of all)")
    graph_memory = Text(fr="RAM (utilisée, de la RAM configurée)", en="RAM (used, of the configured RAM)")
    graph_storage = Text(fr="Stockage (utilisé, de la taille)", en="Storage (used, of its size)")
    graph_disk = Text(fr="Disques", en="Disks")
    graph_network = Text(fr="Réseau", en="Network")
    line_used = Text(fr="utilisé", en="used")
    line_read = Text(fr="lecture", en="read")
    line_written = Text(fr="écriture", en="written")
    line_in = Text(fr="entrée", en="in")
    line_out = Text(fr="sortie", en="out")
    graph_stopped = Text(fr="arrêtée", en="stopped")
    graph_no_data = Text(fr="pas de données", en="no data")
    graph_grey = Text(fr="en gris : arrêtée ({time})", en="grey: stopped ({time})")
    graph_dashed = Text(fr="en tirets : pas de données ({time})", en="dashed: no data ({time})")
    graph_statistics = Text(
        fr="min. {least}, moy. {mean}, max. {most}", en="min {least}, mean {mean}, max {most}"
    )
    mean_and_most = Text(fr="moy. {mean}, max. {most}", en="mean {mean}, max {most}")
    of_capacity = Text(fr="moy. {mean} de {capacity}", en="mean {mean} of {capacity}")
    largest = Text(fr="la plus grande valeur de chaque intervalle", en="the largest value of each interval")
    no_measurements = Text(fr="aucune mesure", en="no measurements")
    figures_statistics_caption = Text(fr="Consommation en chiffres", en="Resource usage in figures")
    figures_periods_caption = Text(fr="Moyenne de chaque période", en="Mean of each period")
    figures_graph_column = Text(fr="mesure", en="measure")
    figures_period_begins = Text(fr="à partir de", en="from")
    figures_period_ends = Text(fr="jusqu’à", en="to")
    figures_gaps_caption = Text(fr="Périodes sans mesures", en="Times without figures")
    figures_gap_reason = Text(fr="raison", en="why")
    figures_gap_lasts = Text(fr="durée", en="lasted")
    figures_gaps_more = Text(fr="et {n} autres", en="and {n} more")
    figures_least = Text(fr="minimum", en="minimum")
    figures_mean = Text(fr="moyenne", en="mean")
    figures_most = Text(fr="maximum", en="maximum")
    figures_there_is = Text(fr="configuré", en="configured")
    figures_away = Text(
        fr="Les mesures ne peuvent pas être lues en ce moment.",
        en="The figures cannot be read at the moment.",
    )
    from_to = Text(fr="du {start} au {end}", en="from {start} to {end}")
    between_parts = Text(fr=" ; ", en="; ")
    bit_units = Text(fr="bit kbit Mbit Gbit Tbit", en="bit kbit Mbit Gbit Tbit")
    per_second = Text(fr="/s", en="/s")

    def graph(self, name: GraphName) -> str:
        """What a graph shows."""
        return str(getattr(self, f"graph_{name}"))

    def line(self, name: LineName) -> str:
        """What a line of a graph shows."""
        return str(getattr(self, f"line_{name}"))

    def gap(self, reason: Literal["stopped", "no data"]) -> str:
        """Why there is a gap."""
        return self.graph_stopped if reason == "stopped" else self.graph_no_data


def figure(value: float, unit: Unit, language: Language) -> str:
    """A value with its unit: ``50.0%``, ``3.0 GiB``, ``1.2 Mbit/s``."""
    words = GraphWords(language)
    if unit == "percent":
        return percent_exact(_rounded(value), language)
    bits = unit == "bits_per_second"
    step, names = (1000.0, words.bit_units.split()) if bits else (1024.0, words.size_units.split())
    place = 0
    while value >= step - step / 2000 and place < len(names) - 1:
        value /= step
        place += 1
    per = "" if unit == "bytes" else words.per_second
    return f"{padded(_rounded(value), language)}{NO_BREAK}{names[place]}{per}"


def _rounded(value: float) -> Decimal:
    """Three figures: a decimal place below a hundred, none above, and none of nothing."""
    return Decimal(f"{value:.0f}" if value >= 99.95 or value == 0 else f"{value:.1f}")


def statistics_words(found: Statistics | None, unit: Unit, language: Language) -> str:
    """A line in three figures."""
    words = GraphWords(language)
    if found is None:
        return words.no_measurements
    least, mean, most = (figure(value, unit, language) for value in (found.least, found.mean, found.most))
    return words.graph_statistics.format(least=least, mean=mean, most=most)


def tick_words(moment: dt.datetime, timeframe: Timeframe, language: Language) -> str:
    """What stands below a mark of the axis, in Paris: ``06:00``, ``23 nov.``, ``nov.``."""
    if timeframe in ("hour", "day"):
        return paris_time(moment).split()[1]
    day = day_in_paris(moment)
    return short_month(day, language) if timeframe == "year" else short_day_of_month(day, language)


def span_words(start: dt.datetime, end: dt.datetime, language: Language) -> str:
    """From when to when, in Paris, with the zone: half past two comes twice in one night of October."""
    speech = Speech(language)
    return GraphWords(language).from_to.format(start=speech.moment(start), end=speech.moment(end))


def gaps_words(graphs: MachineGraphs, language: Language) -> str:
    """How long there are no figures, and how that is drawn; empty if there are all."""
    words, speech = GraphWords(language), Speech(language)
    said = []
    for reason, text in (("stopped", words.graph_grey), ("no data", words.graph_dashed)):
        seconds = sum((gap.end - gap.start).total_seconds() for gap in graphs.gaps if gap.reason == reason)
        if seconds:
            said.append(text.format(time=speech.duration(seconds)))
    return words.between_parts.join(said)


def description(graphs: MachineGraphs, language: Language) -> str:
    """The graphs in words, for whoever cannot see them."""
    words = GraphWords(language)
    if not graphs.slots:
        return words.no_measurements
    said = [span_words(graphs.slots[0].start, graphs.slots[-1].end, language)]
    if graphs.consolidation == "MAX":
        said.append(words.largest)
    for graph in graphs.graphs:
        for line in graph.lines:
            text = f"{words.graph(graph.name)}, {words.line(line.name)}: "
            text += statistics_words(graphs.statistics(line), graph.unit, language)
            share = graphs.share(graph, line)
            said.append(text + (f" ({figure(share.mean, 'percent', language)})" if share else ""))
    said += [f"{words.gap(gap.reason)} {span_words(gap.start, gap.end, language)}" for gap in graphs.gaps]
    return words.between_parts.join(said)
