"""How certificates are verified: the same under every Python, and whatever the environment says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.proxmox.answers import NoAnswer

if TYPE_CHECKING:
    import ssl


def trusting(ca_file: Path | None, *, verify: bool) -> ssl.SSLContext:
    """The context of connections that trust whom a site file says.

    Args:
        ca_file: whom (PEM); the system's certificates if None. The environment (``SSL_CERT_FILE``) has no say.
        verify: False trusts anybody.

    Raises:
        NoAnswer: the file cannot be used.
    """
    import ssl

    if not verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if ca_file is None:
        return without_form_checks(_trusting_the_system())
    if not ca_file.is_file():
        raise NoAnswer(
            f"the server's certificate cannot be checked: {ca_file}: no such file", sent=False, untrusted=True
        )
    try:
        return trusting_file(ca_file)
    except OSError as error:
        text = (
            f"the server's certificate cannot be checked: {ca_file} cannot be used: {error.strerror or error}"
        )
        raise NoAnswer(text, sent=False, untrusted=True) from None


def trusting_file(ca_file: Path) -> ssl.SSLContext:
    """The context of connections that trust the certificates of a file: CAs, or a server's own.

    From 3.13 on, Python takes a server's own certificate there without its CA; earlier ones are told to.

    Raises:
        OSError: the file cannot be used.
    """
    import ssl

    context = without_form_checks(ssl.create_default_context(cafile=str(ca_file)))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _trusting_the_system() -> ssl.SSLContext:
    """Where OpenSSL was built to look; what the environment names instead does not count."""
    import ssl

    paths = ssl.get_default_verify_paths()
    file, folder = Path(paths.openssl_cafile), Path(paths.openssl_capath)
    if file.is_file():
        return ssl.create_default_context(cafile=str(file))
    if folder.is_dir():
        return ssl.create_default_context(capath=str(folder))
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody


def without_form_checks(context: ssl.SSLContext) -> ssl.SSLContext:
    """Let a context accept certificates that are right but for their form, and return it.

    Who signed, for which host, and until when is verified as ever. From 3.13 on, Python also wants all that RFC 5280
    says of a certificate's form. The CAs of clusters that were set up before pve-cluster of March 2026 have no
    ``keyUsage`` (Proxmox bug 6701), so they would all be refused, and such a CA lasts ten years.
    """
    import ssl

    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
