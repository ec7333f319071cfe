"""How certificates are verified: the same under every Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


def without_form_checks(context: ssl.SSLContext) -> ssl.SSLContext:
    """Let a context accept certificates that are right but for their form, and return it.

    Who signed, for which host, and until when is verified as ever. From 3.13 on, Python also wants all that RFC 5280
    says of a certificate's form. The CAs of clusters that were set up before pve-cluster of March 2026 have no
    ``keyUsage`` (Proxmox bug 6701), so they would all be refused, and such a CA lasts ten years.
    """
    import ssl

    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
