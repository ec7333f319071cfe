"""The words of the console's page, in both languages of clients."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from orchestrator.interface.console_tickets import Why
from orchestrator.web.console_socket import (
    BY_MACHINE,
    IDLE,
    NO_TERMINAL,
    REVOKED,
    TAKEN_OVER,
    TOO_LONG,
    UNREACHABLE,
)

Language = Literal["fr", "en"]

WORDS: Mapping[Language, Mapping[str, str]] = MappingProxyType(
    {
        "en": {
            "title": "Console of",
            "back": "Back to the machine",
            "open": "Open the console",
            "screen": "Screen",
            "serial": "Serial terminal",
            "shows": "What is shown",
            "del": "Ctrl-Alt-Del",
            "paste": "Paste…",
            "full": "Full screen",
            "close": "Close",
            "text": "Text to type into the machine",
            "type": "Type it",
            "cancel": "Cancel",
            "leave": "Ctrl+Shift+F6 takes the keyboard out of the console.",
            "recorded": "Opening and closing are recorded in the history, with your name and your address.",
            "script": "A console needs JavaScript.",
            "opening": "Opening…",
            "opened": "Open.",
            "closed": "Closed.",
            "signed-out": "Your session has ended: sign in again.",
            "unreachable": "The console could not be opened.",
            "fallback": "This Proxmox VE gives no serial terminal to API tokens; its text screen is shown instead.",
        },
        "fr": {
            "title": "Console de",
            "back": "Retour à la machine",
            "open": "Ouvrir la console",
            "screen": "Écran",
            "serial": "Terminal série",
            "shows": "Affichage",
            "del": "Ctrl-Alt-Suppr",
            "paste": "Coller…",
            "full": "Plein écran",
            "close": "Fermer",
            "text": "Texte à saisir dans la machine",
            "type": "Saisir",
            "cancel": "Annuler",
            "leave": "Ctrl+Maj+F6 rend le clavier à la page.",
            "recorded": "Ouverture et fermeture sont inscrites dans l’historique, avec votre nom et votre adresse.",
            "script": "La console a besoin de JavaScript.",
            "opening": "Ouverture…",
            "opened": "Ouverte.",
            "closed": "Fermée.",
            "signed-out": "Votre session est terminée : connectez-vous de nouveau.",
            "unreachable": "La console n’a pas pu être ouverte.",
            "fallback": "Le terminal série n’est pas disponible ici ; son écran texte est affiché à la place.",
        },
    }
)
"""On the page."""

END_WORDS: Mapping[Language, Mapping[int, str]] = MappingProxyType(
    {
        "en": {
            BY_MACHINE: "The machine, or its hypervisor, closed the console.",
            NO_TERMINAL: "Proxmox VE gives no serial terminal to API tokens before qemu-server 9.1.7.",
            UNREACHABLE: "The console could not be opened, or broke off.",
            IDLE: "Closed: nothing was typed for a while.",
            TOO_LONG: "Closed: it was open for the longest time that is allowed.",
            REVOKED: "Closed: your session has ended, or you may no longer have this console.",
            TAKEN_OVER: "Closed: the console was opened elsewhere.",
        },
        "fr": {
            BY_MACHINE: "La machine ou son hyperviseur a fermé la console.",
            NO_TERMINAL: "Le terminal série n’est pas disponible ici.",
            UNREACHABLE: "La console n’a pas pu être ouverte, ou a été interrompue.",
            IDLE: "Fermée : rien n’a été saisi depuis un moment.",
            TOO_LONG: "Fermée : la durée maximale est atteinte.",
            REVOKED: "Fermée : votre session est terminée, ou cette console ne vous est plus ouverte.",
            TAKEN_OVER: "Fermée : la console a été ouverte ailleurs.",
        },
    }
)
"""By the code with which the socket was closed."""

REFUSAL_WORDS: Mapping[Language, Mapping[Why, str]] = MappingProxyType(
    {
        "en": {
            Why.TICKET: "This console was opened already, or too late: open it again.",
            Why.BUSY: "This console is open elsewhere: wait until it is closed.",
            Why.TOO_MANY: "Too many consoles are open: close one, or try again later.",
            Why.STOPPED: "The machine does not run, so it has no console.",
            Why.NOTHING_SHOWN: "This machine has neither a screen nor a serial port.",
            Why.NOT_ALLOWED: "Your contract does not include the console of this machine, or not now.",
            Why.NOT_OFFERED: "Consoles are not available for this machine: ask your provider.",
            Why.UNREACHABLE: "The console cannot be opened at the moment: try again later.",
        },
        "fr": {
            Why.TICKET: "Cette console a déjà été ouverte, ou trop tard : ouvrez-la de nouveau.",
            Why.BUSY: "Cette console est ouverte ailleurs : attendez qu’elle soit fermée.",
            Why.TOO_MANY: "Trop de consoles sont ouvertes : fermez-en une, ou réessayez plus tard.",
            Why.STOPPED: "La machine est arrêtée : elle n’a pas de console.",
            Why.NOTHING_SHOWN: "Cette machine n’a ni écran ni port série.",
            Why.NOT_ALLOWED: "Votre contrat ne comprend pas la console de cette machine, ou pas en ce moment.",
            Why.NOT_OFFERED: "La console n’est pas disponible pour cette machine : adressez-vous à votre prestataire.",
            Why.UNREACHABLE: "La console ne peut pas être ouverte pour le moment : réessayez plus tard.",
        },
    }
)
"""What a client is told; what was wrong exactly is for the provider's log."""
