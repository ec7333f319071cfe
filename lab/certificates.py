"""The lab's own certificate authority, the server's certificate, and SSH keys.

All are made once and kept, so that a client that trusts `ca.pem` goes on trusting a lab that was
started again.
"""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.api.access import write_secret

_LIFETIME = datetime.timedelta(days=3650)
_HOUR = datetime.timedelta(hours=1)


def ensure_certificates(folder: Path, name: str, address: str) -> tuple[Path, Path]:
    """Make what is missing; return the server's certificate and its key.

    Args:
        folder: gets `ca.pem`, `server.pem` and `server-key.secret`.
        name: of the lab; stands in the authority's name.
        address: where the API listens; the certificate is also good for 127.0.0.1 and localhost.
    """
    authority, certificate, key = (folder / file for file in ("ca.pem", "server.pem", "server-key.secret"))
    if all(path.exists() for path in (authority, certificate, key)):
        return certificate, key
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _authority(ca_key, f"orchestrator lab {name}")
    server_key = ec.generate_private_key(ec.SECP256R1())
    server = _server(server_key, ca_key, ca, address)
    authority.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    certificate.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    # The authority's key is thrown away: nothing else is ever signed by it.
    write_secret(key, _private_text(server_key))
    return certificate, key


def ensure_ssh_key(folder: Path, name: str) -> tuple[Path, str]:
    """Make an SSH key where it is missing; its path and its public half."""
    private, public = folder / name, folder / f"{name}.pub"
    if not (private.exists() and public.exists()):
        key = ed25519.Ed25519PrivateKey.generate()
        form = serialization.PrivateFormat.OpenSSH
        text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        write_secret(private, text.decode())
        half = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        public.write_text(f"{half.decode()} orchestrator-lab\n")
    return private, public.read_text().strip()


def _authority(key: ec.EllipticCurvePrivateKey, name: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _dated(x509.CertificateBuilder().subject_name(subject).issuer_name(subject), key)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    return builder.sign(key, hashes.SHA256())


def _server(
    key: ec.EllipticCurvePrivateKey,
    ca_key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    address: str,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    addresses = {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address(address)}
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    names += [x509.IPAddress(item) for item in sorted(addresses, key=str)]
    builder = _dated(x509.CertificateBuilder().subject_name(subject).issuer_name(ca.subject), key)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(issuer, critical=False)
    return builder.sign(ca_key, hashes.SHA256())


def _dated(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    # An hour back: clocks of guests and containers are not always together.
    now = datetime.datetime.now(datetime.UTC)
    builder = builder.not_valid_before(now - _HOUR).not_valid_after(now + _LIFETIME)
    return builder.serial_number(x509.random_serial_number()).public_key(key.public_key())


def _private_text(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
