"""A certificate authority of the tests' own, and the certificates it signs; all as PEM files."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOST = IPv4Address("127.0.0.1")
VALID = timedelta(days=1)


class Authority:
    """Signs certificates; whoever trusts `certificate` trusts them.

    Args:
        folder: where the files go.
        name: of the authority, and of its file.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self.certificate = folder / f"{name}.pem"
        signed = (
            _unsigned(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, SHA256())
        )
        self.certificate.write_bytes(signed.public_bytes(Encoding.PEM))

    def issue(self, name: str) -> Path:
        """A new key and the certificate of ``name`` at 127.0.0.1, in one file; a client or server may use it."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _unsigned(_name(name), self._name, key.public_key())
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(HOST)]), critical=False)
            .sign(self._key, SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = self._folder / f"{name}.pem"
        path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
        return path


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _unsigned(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)  # clocks of machines differ
        .not_valid_after(now + VALID)
    )
