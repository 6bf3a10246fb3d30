"""TLS as people write it: in endpoint strings, in tables of listeners and upstreams; files are tried at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from twistproxy.configuring.reading import Reader
from twistproxy.errors import ConfigurationError
from twistproxy.loader.strings import PluginString, formatPluginString, parsePluginString
from twistproxy.settings import parseYesNo
from twistproxy.text.suggest import didYouMean
from twistproxy.tls.config import CertificateFiles, ClientCertificates, ServerTLS, UpstreamTLS
from twistproxy.tls.contexts import clientContext
from twistproxy.tls.store import CertificateStore

SERVER_KEYS: Final = ("cert", "key", "chain", "certs", "certificates", "client-ca", "client-cert", "min-version")
"""What a listener's TLS is told by."""

_TCP_OPTIONS: Final = ("interface", "backlog")
_SSL_ARGUMENTS: Final = ("port", "privateKey", "certKey", "sslmethod", "interface", "backlog", "extraCertChain", "dhParameters")
_SSL_FILES: Final = frozenset({"privateKey", "certKey", "extraCertChain"})
_ONLY_PYOPENSSL: Final = frozenset({"sslmethod", "dhParameters"})
"""What of Twisted's C{ssl:} the standard library's C{ssl} has not, or not so."""


def splitTLS(endpoint: str) -> tuple[str, Mapping[str, Any] | None]:
    """An endpoint string without TLS, and the words of TLS over it; None for none of ours.

    C{tls:PORT:...}, and what Twisted's C{ssl:} can say, are TCP with TLS of our own.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    tag = endpoint.partition(":")[0]
    if tag not in ("tls", "ssl"):
        return endpoint, None
    spec = parsePluginString(endpoint)
    if tag == "tls":
        if len(spec.args) != 1 or not spec.args[0].isdigit():
            raise ValueError(f"{endpoint!r} is not tls:PORT:cert=FILE:key=FILE, or tls:PORT:certs=DIRECTORY")
        words = {name: value for name, value in spec.options.items() if name in SERVER_KEYS}
        if near := [name for name in spec.options if name not in SERVER_KEYS and name not in _TCP_OPTIONS]:
            raise ValueError(f"tls has no option {near[0]!r}{didYouMean(near[0], [*SERVER_KEYS, *_TCP_OPTIONS])}")
    else:
        if spec.options.keys() & _ONLY_PYOPENSSL:
            return endpoint, None
        options = {**dict(zip(_SSL_ARGUMENTS, spec.args, strict=False)), **spec.options}
        spec = PluginString("ssl", (options.pop("port", ""),), options)
        key = options.get("privateKey", "server.pem")
        words = {"cert": options.get("certKey", key), "key": key}
        if "extraCertChain" in options:
            words["chain"] = options["extraCertChain"]
    rest = {name: value for name, value in spec.options.items() if name not in words and name not in _SSL_FILES}
    return formatPluginString("tcp", spec.args, rest), words


def tableOfTLS(reader: Reader, where: str, value: Any, said: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The table beside an endpoint.

    @param said: what the endpoint itself says of TLS: a mistake, if it does.
    """
    if not isinstance(value, Mapping):
        reader.wrong(where, f"is a table: write [{where}]")
        return None
    if said is not None:
        reader.wrong(where, "the endpoint says TLS already: write tcp:PORT beside this table")
    reader.keys(where, value, SERVER_KEYS)
    return value


def readServerTLS(reader: Reader, where: str, table: Mapping[str, Any]) -> ServerTLS | None:
    """TLS towards clients; the mistakes, those in its files included, are with the reader."""
    before = len(reader.problems)
    texts: dict[str, str] = {}
    for name, value in table.items():
        if name == "certificates":
            continue
        if isinstance(value, str) and value:
            texts[name] = value
        else:
            reader.wrong(f"{where}.{name}", f"{name} is text, not {value!r}")
    pairs = [table] if "cert" in table or "key" in table else []
    listed = table.get("certificates", [])
    pairs += listed if isinstance(listed, list) else [listed]
    certificates = tuple(each for each in (_files(reader, where, pair) for pair in pairs) if each is not None)
    directory = reader.path(texts["certs"]) if "certs" in texts else ""
    if not pairs and "certs" not in table:
        reader.wrong(where, "TLS needs certificates: cert=FILE:key=FILE, or certs=DIRECTORY")
    clientCA = reader.path(texts["client-ca"]) if "client-ca" in texts else ""
    mode = texts.get("client-cert", "require" if clientCA else "none")
    if mode not in get_args(ClientCertificates):
        reader.wrong(where, f"client-cert is one of {', '.join(get_args(ClientCertificates))}, not {mode!r}")
    elif mode != "none" and not clientCA:
        reader.wrong(where, f"client-cert={mode} needs client-ca=FILE: the authorities that issue clients' certificates")
    version = texts.get("min-version", "1.2")
    if version not in ("1.2", "1.3"):
        reader.wrong(where, f"min-version is 1.2 or 1.3, not {version!r}")
    if len(reader.problems) > before:
        return None
    config = ServerTLS(certificates, directory, clientCA, mode, version)  # type: ignore[arg-type]
    try:
        CertificateStore(config)
    except ConfigurationError as error:
        reader.wrong(where, *error.problems)
        return None
    return config


def readUpstreamTLS(reader: Reader, where: str, table: Mapping[str, Any]) -> UpstreamTLS | None:
    """TLS towards an upstream; the mistakes, those in its files included, are with the reader."""
    before = len(reader.problems)
    insecure = table.get("insecure", False)
    if isinstance(insecure, str):
        try:
            insecure = parseYesNo(insecure)
        except ValueError as error:
            reader.wrong(where, f"insecure: {error}")
    elif not isinstance(insecure, bool):
        reader.wrong(where, f"insecure is yes or no, not {insecure!r}")
    texts = {name: value for name, value in table.items() if name != "insecure"}
    for name, value in texts.items():
        if not isinstance(value, str) or not value:
            reader.wrong(where, f"{name} is text, not {value!r}")
    if "key" in texts and "cert" not in texts:
        reader.wrong(where, "a key needs its certificate: cert=FILE")
    if insecure and "ca" in texts:
        reader.wrong(where, "insecure verifies nothing: ca says whom to trust; leave out one of the two")
    if len(reader.problems) > before:
        return None
    paths = {name: reader.path(texts[name]) for name in ("ca", "cert", "key") if name in texts}
    tls = UpstreamTLS(texts.get("server-name", ""), **paths, isInsecure=bool(insecure))
    try:
        clientContext(tls)
    except ConfigurationError as error:
        reader.wrong(where, *error.problems)
        return None
    return tls


def _files(reader: Reader, where: str, pair: Any) -> CertificateFiles | None:
    """A certificate's files: C{cert} and C{key}, which may be one file."""
    if not isinstance(pair, Mapping):
        reader.wrong(where, 'certificates are tables: { cert = "cert.pem", key = "key.pem" }')
        return None
    cert, key, chain = pair.get("cert"), pair.get("key"), pair.get("chain", "")
    if not isinstance(cert, str) or not cert:
        reader.wrong(where, "a key needs its certificate: cert=FILE")
        return None
    key = cert if key is None else key
    if not isinstance(key, str) or not isinstance(chain, str):
        reader.wrong(where, "key and chain are names of files")
        return None
    return CertificateFiles(reader.path(cert), reader.path(key), reader.path(chain) if chain else "")
