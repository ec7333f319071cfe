"""What a client reads where something about its own account is not done, in both languages side by side."""

from __future__ import annotations

from orchestrator.reports.monthly_words import MonthlyWords
from orchestrator.reports.words import Text


class AccountWords(MonthlyWords):
    """The texts in one language."""

    own_password = Text(
        fr="Ce n’est pas le mot de passe de ce compte : saisissez-le de nouveau.",
        en="This is not the account’s password: type it again.",
    )
    own_many = Text(
        fr="Trop de tentatives : patientez un quart d’heure, ou demandez au Prestataire de réinitialiser le compte.",
        en="There were too many attempts: wait a quarter of an hour, or ask the provider to reset the account.",
    )
    own_provider = Text(
        fr="Ce compte se connecte par le fournisseur d’identité : c’est là que son mot de passe se change.",
        en="This account signs in by the identity provider: change the password there.",
    )
    own_unfit = Text(
        fr="Ce mot de passe ne convient pas : 12 à 256 caractères, pas seulement quelques-uns répétés, sans le nom du "
        "compte, et autre que l’ancien.",
        en="This password does not do: 12 to 256 characters, not a few of them repeated, without the account’s name, "
        "and not the old one.",
    )
    own_twice = Text(
        fr="Le nouveau mot de passe a été saisi de deux façons différentes : saisissez-le de nouveau.",
        en="The new password was typed in two ways: type it again.",
    )
    own_session = Text(
        fr="Cette session n’existe plus : rechargez la page.",
        en="There is no such session any more: reload the page.",
    )
    own_code = Text(
        fr="Ce n’est pas le code du moment : attendez le suivant, et vérifiez l’heure de l’appareil.",
        en="This is not the code of now: wait for the next one, and see that the clock of the device is right.",
    )
    own_key_known = Text(
        fr="Cette clé de sécurité est déjà en place : utilisez-en une autre.",
        en="This security key is set up already: use another one.",
    )
    own_key = Text(
        fr="La réponse de la clé de sécurité ne convient pas, ou a déjà servi : réessayez.",
        en="The security key’s answer does not fit, or was used before: try again.",
    )
    own_factors = Text(
        fr="Ce compte a autant de seconds facteurs que possible : retirez-en un d’abord.",
        en="This account has as many second factors as it may: remove one first.",
    )
    own_factor = Text(
        fr="Ce second facteur n’existe plus : rechargez la page.",
        en="There is no such second factor any more: reload the page.",
    )
    own_unproved = Text(
        fr="Ceci demande une session ouverte avec un second facteur : ajoutez-en un, ou connectez-vous avec.",
        en="This needs a session with a second factor: set one up, or sign in with it.",
    )
