"""A certificate authority valid for an hour, and a server certificate from it, made by the openssl command."""

import os
import subprocess


class Authority:
    """`root` (the CA's PEM), `chain` and `key` of a server named localhost, 127.0.0.1, ::1 and `names`."""

    def __init__(self, directory, names=()):
        self.root = os.path.join(directory, "root.pem")
        self.chain = os.path.join(directory, "server.pem")
        self.key = os.path.join(directory, "server.key")
        root_key = os.path.join(directory, "root.key")
        request = os.path.join(directory, "server.csr")
        extensions = os.path.join(directory, "extensions.cnf")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        _openssl("req", "-x509", *curve, "-keyout", root_key, "-out", self.root, "-days", "2",
                 "-subj", "/CN=Turnpike interop root", "-addext", "basicConstraints=critical,CA:TRUE",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        _openssl("req", *curve, "-keyout", self.key, "-out", request, "-subj", "/CN=localhost")
        with open(extensions, "w", encoding="ascii") as file:
            file.write("basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n"
                       f"subjectAltName={','.join([*(f'DNS:{name}' for name in names), 'DNS:localhost,IP:127.0.0.1,IP:::1'])}\n")
        _openssl("x509", "-req", "-in", request, "-CA", self.root, "-CAkey", root_key, "-set_serial", "2",
                 "-days", "2", "-extfile", extensions, "-out", self.chain)
        os.chmod(self.key, 0o644)


def trust_in_nss(directory, root):
    """Makes an NSS database that trusts the CA `root`, for a browser's verifier."""
    os.makedirs(directory, exist_ok=True)
    database = f"sql:{directory}"
    _run("certutil", "-N", "-d", database, "--empty-password")
    _run("certutil", "-A", "-d", database, "-n", "turnpike-interop", "-t", "C,,", "-i", root)


def _openssl(*arguments):
    _run("openssl", *arguments)


def _run(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:2])} failed: {result.stderr.strip()}")
