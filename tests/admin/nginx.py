"""A real nginx in front of the admin service, as the operating system's package manager installs it."""

import contextlib
import http.client
import re
import shutil
import socket
import ssl
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.demo.processes import free_port
from tests.processes import ROOT, wait_until

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

CONFIGURATION = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
{user}
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem;
    {servers}
}}
"""
# What docs/admin-api.md has the proxy tell.
TELLING = "".join(re.findall(r"^ *proxy_set_header .*;\n", (ROOT / "docs/admin-api.md").read_text(), re.MULTILINE))
SERVER = "server {{ listen 127.0.0.1:{port} ssl; location / {{ proxy_pass {address}; {telling} }} }}\n"


class Proxy:
    """One port for each service behind it."""

    def __init__(self, ports, certificate):
        self.ports = ports
        self._trust = ssl.create_default_context(cafile=certificate)

    def ask(self, port, path, method="GET", source="127.0.0.1", headers=None, body=None):
        connection = http.client.HTTPSConnection(
            "localhost", port, timeout=120, source_address=(source, 0), context=self._trust
        )
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            answer.text = answer.read().decode()
            return answer


@contextmanager
def proxy(folder, *services):
    """Of each service its address, and whether it is told for whom it is asked."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    write_certificate(folder)
    ports = [free_port() for _ in services]
    servers = "".join(
        SERVER.format(port=port, address=address, telling=TELLING if tells else "")
        for port, (address, tells) in zip(ports, services, strict=True)
    )
    configuration = folder / "nginx.conf"
    user = "user root;" if folder.stat().st_uid == 0 else ""
    configuration.write_text(CONFIGURATION.format(folder=folder, servers=servers, user=user))
    process = subprocess.Popen([NGINX, "-c", configuration, "-e", folder / "error.log", "-g", "master_process off;"])
    try:
        wait_until(lambda: process.poll() is not None or all(map(listens, ports)))
        assert process.poll() is None, (folder / "error.log").read_text()
        yield Proxy(ports, folder / "cert.pem")
    finally:
        process.kill()
        process.wait()


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def write_certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    unencrypted = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
    )
