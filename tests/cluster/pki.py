"""A certificate authority for one cluster, and the certificates that it signs.

Keys are P-256: openssl makes such a pair in milliseconds, where 2048-bit RSA takes up to a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cluster.commands import run

__all__ = ["Authority", "KeyPair", "signing_key"]

_DAYS = "365"
_CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
_TIMEOUT = 20.0

# Without a configuration of our own, openssl takes the distribution's, which makes every
# certificate an authority's.
_CONFIGURATION = """\
[req]
distinguished_name = subject
prompt = no
x509_extensions = extensions
[subject]
{subject}
[extensions]
{extensions}
"""


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, both PEM files."""

    certificate: Path
    key: Path


class Authority:
    """The cluster's own CA: everything it signs lies in one folder that only its owner reads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        extensions = ["basicConstraints = critical, CA:TRUE", "keyUsage = critical, keyCertSign"]
        self._pair = self._request("ca", ["CN = ascendllm-test-ca"], extensions, [])

    @property
    def certificate(self) -> Path:
        """What clients hold servers against, and servers clients."""
        return self._pair.certificate

    def server(self, name: str, addresses: Iterable[str], hosts: Iterable[str] = ()) -> KeyPair:
        """A server's certificate, for IP addresses and host names."""
        names = [f"IP:{a}" for a in addresses] + [f"DNS:{h}" for h in hosts]
        extensions = [
            "extendedKeyUsage = serverAuth",
            f"subjectAltName = {', '.join(names)}",
        ]
        return self._signed(name, [f"CN = {name}"], extensions)

    def client(self, name: str, user: str, group: str | None = None) -> KeyPair:
        """A client's certificate: the API server takes CN as its user and O as its group."""
        subject = [f"CN = {user}", *([f"O = {group}"] if group else [])]
        return self._signed(name, subject, ["extendedKeyUsage = clientAuth"])

    def _signed(self, name: str, subject: list[str], extensions: list[str]) -> KeyPair:
        extensions = [
            "basicConstraints = critical, CA:FALSE",
            "keyUsage = critical, digitalSignature",
            *extensions,
        ]
        issuer = ["-CA", str(self._pair.certificate), "-CAkey", str(self._pair.key)]
        return self._request(name, subject, extensions, issuer)

    def _request(
        self, name: str, subject: list[str], extensions: list[str], issuer: list[str]
    ) -> KeyPair:
        pair = KeyPair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        configuration = self._folder / f"{name}.cnf"
        configuration.write_text(
            _CONFIGURATION.format(subject="\n".join(subject), extensions="\n".join(extensions))
        )
        files = ["-config", str(configuration), "-out", str(pair.certificate)]
        keys = [*_CURVE, "-keyout", str(pair.key)]
        command = ["openssl", "req", "-x509", "-sha256", "-days", _DAYS, *files, *keys, *issuer]
        run(command, timeout=_TIMEOUT)
        configuration.unlink()
        return pair


def signing_key(path: Path) -> Path:
    """Make the key that signs ServiceAccount tokens.

    In the older SEC 1 form: of that, the API server reads the public key out of the same file.
    """
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path)])
    path.chmod(0o600)
    return path
