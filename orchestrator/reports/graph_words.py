"""What graphs say, in French and in English: names, figures with their units, times in Paris."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.contract.calendar import day_in_paris, paris_time
from orchestrator.proxmox.measurements import Timeframe
from orchestrator.reports.language import Speech
from orchestrator.reports.series import GraphName, LineName, MachineGraphs, Statistics, Unit
from orchestrator.reports.words import Language

_NO_BREAK = "\u00a0"


@dataclass(frozen=True, kw_only=True)
class GraphWords:
    """The texts of one language.

    Attributes:
        title: with the names of client and machine.
        percent, decimal_point: how figures are written.
        bytes, bits: units, each 1,024 (1,000) times the one before.
    """

    title: str
    graphs: Mapping[GraphName, str]
    lines: Mapping[LineName, str]
    stopped: str
    no_data: str
    grey: str
    dashed: str
    statistics: str
    mean_and_most: str
    of_capacity: str
    largest: str
    nothing: str
    from_to: str
    between: str
    percent: str
    decimal_point: str
    bytes: Sequence[str]
    bits: Sequence[str]
    per_second: str = "/s"

    def reason(self, reason: Literal["stopped", "no data"]) -> str:
        """Why there is a gap."""
        return self.stopped if reason == "stopped" else self.no_data


WORDS: Mapping[Language, GraphWords] = {
    "fr": GraphWords(
        title="Consommation de {machine}",
        graphs={
            "vcpu": "vCPU (part de l’ensemble)",
            "memory": "RAM (utilisée, de la RAM configurée)",
            "storage": "Stockage (utilisé, de la taille)",
            "disk": "Disques",
            "network": "Réseau",
        },
        lines={"used": "utilisé", "read": "lecture", "written": "écriture", "in": "entrée", "out": "sortie"},
        stopped="arrêtée",
        no_data="pas de données",
        grey="en gris\u00a0: arrêtée ({time})",
        dashed="en tirets\u00a0: pas de données ({time})",
        statistics="min. {least}, moy. {mean}, max. {most}",
        mean_and_most="moy. {mean}, max. {most}",
        of_capacity="moy. {mean} de {capacity}",
        largest="la plus grande valeur de chaque intervalle",
        nothing="aucune mesure",
        from_to="du {start} au {end}",
        between=f"{_NO_BREAK}; ",
        percent=f"{_NO_BREAK}%",
        decimal_point=",",
        bytes=("o", "Kio", "Mio", "Gio", "Tio"),
        bits=("bit", "kbit", "Mbit", "Gbit", "Tbit"),
    ),
    "en": GraphWords(
        title="Resource usage of {machine}",
        graphs={
            "vcpu": "vCPU (share of all)",
            "memory": "RAM (used, of the configured RAM)",
            "storage": "Storage (used, of its size)",
            "disk": "Disks",
            "network": "Network",
        },
        lines={"used": "used", "read": "read", "written": "written", "in": "in", "out": "out"},
        stopped="stopped",
        no_data="no data",
        grey="grey: stopped ({time})",
        dashed="dashed: no data ({time})",
        statistics="min {least}, mean {mean}, max {most}",
        mean_and_most="mean {mean}, max {most}",
        of_capacity="mean {mean} of {capacity}",
        largest="the largest value of each interval",
        nothing="no measurements",
        from_to="from {start} to {end}",
        between="; ",
        percent="%",
        decimal_point=".",
        bytes=("B", "KiB", "MiB", "GiB", "TiB"),
        bits=("bit", "kbit", "Mbit", "Gbit", "Tbit"),
    ),
}


def figure(value: float, unit: Unit, language: Language) -> str:
    """A value with its unit: ``50.0%``, ``3.0 GiB``, ``1.2 Mbit/s``."""
    words = WORDS[language]
    if unit == "percent":
        return f"{_decimal(value, words)}{words.percent}"
    step, names = (1000.0, words.bits) if unit == "bits_per_second" else (1024.0, words.bytes)
    place = 0
    while value >= step - step / 2000 and place < len(names) - 1:
        value /= step
        place += 1
    per = "" if unit == "bytes" else words.per_second
    return f"{_decimal(value, words)}{_NO_BREAK}{names[place]}{per}"


def _decimal(value: float, words: GraphWords) -> str:
    text = f"{value:.0f}" if value >= 99.95 or value == 0 else f"{value:.1f}"
    return text.replace(".", words.decimal_point)


def statistics_words(found: Statistics | None, unit: Unit, language: Language) -> str:
    """A line in three figures."""
    words = WORDS[language]
    if found is None:
        return words.nothing
    least, mean, most = (figure(value, unit, language) for value in (found.least, found.mean, found.most))
    return words.statistics.format(least=least, mean=mean, most=most)


def tick_words(moment: dt.datetime, timeframe: Timeframe, language: Language) -> str:
    """What stands below a mark of the axis, in Paris: ``06:00``, ``23 nov.``, ``nov.``."""
    if timeframe in ("hour", "day"):
        return paris_time(moment).split()[1]
    parts = Speech(language).short_day(day_in_paris(moment)).split(_NO_BREAK)
    return parts[1] if timeframe == "year" else _NO_BREAK.join(parts[:2])


def span_words(start: dt.datetime, end: dt.datetime, language: Language) -> str:
    """From when to when, in Paris, with the zone: half past two comes twice in one night of October."""
    speech = Speech(language)
    return WORDS[language].from_to.format(start=speech.moment(start), end=speech.moment(end))


def gaps_words(graphs: MachineGraphs, language: Language) -> str:
    """How long there are no figures, and how that is drawn; empty if there are all."""
    words, speech = WORDS[language], Speech(language)
    said = []
    for reason, text in (("stopped", words.grey), ("no data", words.dashed)):
        seconds = sum((gap.end - gap.start).total_seconds() for gap in graphs.gaps if gap.reason == reason)
        if seconds:
            said.append(text.format(time=speech.duration(seconds)))
    return words.between.join(said)


def description(graphs: MachineGraphs, language: Language) -> str:
    """The graphs in words, for whoever cannot see them."""
    words = WORDS[language]
    if not graphs.slots:
        return words.nothing
    said = [span_words(graphs.slots[0].start, graphs.slots[-1].end, language)]
    if graphs.consolidation == "MAX":
        said.append(words.largest)
    for graph in graphs.graphs:
        for line in graph.lines:
            text = f"{words.graphs[graph.name]}, {words.lines[line.name]}: "
            text += statistics_words(graphs.statistics(line), graph.unit, language)
            share = graphs.share(graph, line)
            said.append(text + (f" ({figure(share.mean, 'percent', language)})" if share else ""))
    said += [f"{words.reason(gap.reason)} {span_words(gap.start, gap.end, language)}" for gap in graphs.gaps]
    return words.between.join(said)
