"""TLS as people write it, on a command line and in a file."""

from __future__ import annotations

import os
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from tests.support.certificates import issued, pem, write, writeAuthority
from tests.unit.configuring.plugins import somePlugins
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy.commandline import CommandLine, configure
from twistproxy.config import Configuration, ListenerConfig
from twistproxy.configfile import ConfigurationFile
from twistproxy.configtext import configurationText
from twistproxy.discovery.entries import EntryReader
from twistproxy.errors import ConfigurationError
from twistproxy.messages import Upstream
from twistproxy.tls.config import CertificateFiles, ServerTLS, UpstreamTLS

EXAMPLE = '{ cert = "cert.pem", key = "key.pem" }'
LIVE = ServerTLS(directory="live")


class TLSCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = temporaryDirectory(self)
        write(self.directory, issued("a.example"))
        write(self.directory, issued("b.example"), "live/b/fullchain.pem", "live/b/privkey.pem")
        (self.directory / "both.pem").write_bytes(pem(issued("a.example")))
        writeAuthority(self.directory)
        before = os.getcwd()
        os.chdir(self.directory)
        self.addCleanup(os.chdir, before)

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def words(self, *listeners: str, upstreams: tuple[str, ...] = ("http://a",)) -> Configuration:
        return configure(CommandLine(upstreams=list(upstreams), listeners=list(listeners)), somePlugins())

    def problems(self, *listeners: str, upstreams: tuple[str, ...] = ("http://a",)) -> list[str]:
        error = self.assertRaises(ConfigurationError, self.words, *listeners, upstreams=upstreams)
        return [each.replace(str(self.directory), "D") for each in error.problems]

    def file(self, text: str) -> Configuration:
        path = self.directory / "proxy.toml"
        path.write_text(dedent(text))
        return configure(CommandLine(), somePlugins(), ConfigurationFile(str(path)))

    def checkPrinted(self, made: Configuration) -> None:
        """What --print-config says means the same."""
        again = self.file(configurationText(made))
        self.assertEqual((again.listeners, again.pools[0].servers), (made.listeners, made.pools[0].servers))


class TestListeners(TLSCase):
    def listener(self, written: str) -> ListenerConfig:
        made = self.words(written)
        (listener,) = made.listeners
        self.assertTrue(listener.isSecure)
        return listener

    def test_strings(self) -> None:
        files = (CertificateFiles("cert.pem", "key.pem"),)
        for written, endpoint, tls in [
            ("tls:8443:cert=cert.pem:key=key.pem", "tcp:8443", ServerTLS(files)),
            ("tls:8443:cert=both.pem", "tcp:8443", ServerTLS((CertificateFiles("both.pem", "both.pem"),))),
            ("tls:0:certs=live:interface=127.1:backlog=9", "tcp:0:interface=127.1:backlog=9", LIVE),
            (
                "tls:8443:cert=cert.pem:key=key.pem:certs=live:client-ca=ca.pem:min-version=1.3",
                "tcp:8443",
                ServerTLS(files, "live", "ca.pem", "require", "1.3"),
            ),
            (
                "tls:8443:cert=cert.pem:key=key.pem:client-ca=ca.pem:client-cert=request",
                "tcp:8443",
                ServerTLS(files, "", "ca.pem", "request"),
            ),
            ("ssl:8443:privateKey=key.pem:certKey=cert.pem", "tcp:8443", ServerTLS(files)),
            ("ssl:8443:key.pem:cert.pem:interface=127.0.0.1", "tcp:8443:interface=127.0.0.1", ServerTLS(files)),
            ("ssl:port=8443:privateKey=both.pem", "tcp:8443", ServerTLS((CertificateFiles("both.pem", "both.pem"),))),
            (
                "ssl:8443:privateKey=key.pem:certKey=cert.pem:extraCertChain=ca.pem",
                "tcp:8443",
                ServerTLS((CertificateFiles("cert.pem", "key.pem", "ca.pem"),)),
            ),
        ]:
            listener = self.listener(written)
            self.assertEqual((listener.endpoint, listener.tls), (endpoint, tls), written)
            self.checkPrinted(self.file(configurationText(self.words(written))))

    def test_whatIsLeftToTwisted(self) -> None:
        written = "ssl:8443:privateKey=key.pem:certKey=cert.pem:sslmethod=TLSv1_2_METHOD"
        listener = self.listener(written)
        self.assertEqual((listener.endpoint, listener.tls), (written, None))

    def test_tables(self) -> None:
        made = self.file(
            """
            pools.a.upstreams = "http://a"
            [[listeners]]
            endpoint = "tls:8443:cert=cert.pem:key=key.pem"
            [[listeners]]
            endpoint = "unix:/run/x.sock"
            [listeners.tls]
            certificates = [{ cert = "both.pem" }, { cert = "cert.pem", key = "key.pem" }]
            certs = "live"
            client-ca = "ca.pem"
            """
        )
        one, other = made.listeners
        pair = CertificateFiles(self.path("cert.pem"), self.path("key.pem"))
        self.assertEqual((one.endpoint, one.tls), ("tcp:8443", ServerTLS((pair,))))
        both = CertificateFiles(self.path("both.pem"), self.path("both.pem"))
        whole = ServerTLS((both, pair), self.path("live"), self.path("ca.pem"), "require")
        self.assertEqual((other.endpoint, other.tls), ("unix:/run/x.sock", whole))
        self.checkPrinted(made)

    def test_mistakes(self) -> None:
        for written, sentence in [
            ("tls:8443", "TLS needs certificates: cert=FILE:key=FILE, or certs=DIRECTORY"),
            ("tls:x:cert=cert.pem", "'tls:x:cert=cert.pem' is not tls:PORT:cert=FILE:key=FILE, or tls:PORT:certs=DIRECTORY"),
            ("tls:/etc/live", "'tls:/etc/live' is not tls:PORT:cert=FILE:key=FILE, or tls:PORT:certs=DIRECTORY"),
            ("tls:1:crt=cert.pem", "tls has no option 'crt'; did you mean 'cert'?"),
            ("tls:1:key=key.pem", "a key needs its certificate: cert=FILE"),
            ("tls:1:cert=no.pem", "no.pem: No such file or directory"),
            ("tls:1:cert=cert.pem:key=both.pem:min-version=1.1", "min-version is 1.2 or 1.3, not '1.1'"),
            ("tls:1:cert=cert.pem:key=live/b/privkey.pem", "live/b/privkey.pem: is not the private key of cert.pem"),
            ("tls:1:certs=nowhere", "nowhere: No such file or directory"),
            ("tls:1:certs=live/b", "live/b/fullchain.pem: holds no private key (want PEM)"),
            ("tls:1:cert=both.pem:client-ca=key.pem", "key.pem: holds no certificate (want PEM)"),
            ("tls:1:cert=both.pem:client-cert=yes", "client-cert is one of none, request, require, not 'yes'"),
            (
                "tls:1:cert=both.pem:client-cert=require",
                "client-cert=require needs client-ca=FILE: the authorities that issue clients' certificates",
            ),
        ]:
            self.assertEqual(self.problems(written)[0], f"--listen #1: {sentence}", written)

    def test_mistakesInTables(self) -> None:
        for text, sentence in [
            ("tls = 1", "listeners[0].tls: is a table: write [listeners[0].tls]"),
            ('tls = { crt = "a" }', "listeners[0].tls.crt: unknown key; did you mean 'cert'?"),
            ('tls = { certificates = ["a"] }', "listeners[0].endpoint: certificates are tables: " + EXAMPLE),
            ("tls = { cert = 1 }", "listeners[0].endpoint.cert: cert is text, not 1"),
        ]:
            text = f'pools.a.upstreams = "http://a"\n[[listeners]]\nendpoint = "tcp:80"\n{text}'
            error = self.assertRaises(ConfigurationError, self.file, text)
            self.assertIn(f"{self.directory}/proxy.toml: {sentence}", error.problems)
        text = 'pools.a.upstreams = "http://a"\n[[listeners]]\nendpoint = "tls:80:cert=both.pem"\ntls = { cert = "both.pem" }'
        (line,) = self.assertRaises(ConfigurationError, self.file, text).problems
        self.assertIn("the endpoint says TLS already", line)


class TestUpstreams(TLSCase):
    def tls(self, written: str) -> UpstreamTLS:
        made = self.words(upstreams=(written,))
        (server,) = made.pools[0].servers
        self.assertEqual(server.build().tls, server.tls)
        self.checkPrinted(self.file(configurationText(made)))
        return server.tls

    def test_options(self) -> None:
        self.assertEqual(self.tls("https://a"), UpstreamTLS())
        self.assertEqual(self.tls("https://10.0.0.1,server-name=a.example"), UpstreamTLS("a.example"))
        self.assertEqual(
            self.tls("https://10.0.0.1:8443,server-name=a,ca=ca.pem,cert=cert.pem,key=key.pem,weight=3"),
            UpstreamTLS("a", "ca.pem", "cert.pem", "key.pem"),
        )
        self.assertEqual(self.tls("https://a,cert=both.pem"), UpstreamTLS(cert="both.pem"))
        self.assertEqual(self.tls("https://a,insecure=yes"), UpstreamTLS(isInsecure=True))
        self.assertEqual(self.tls("https://a,insecure=no"), UpstreamTLS())

    def test_tables(self) -> None:
        made = self.file('[pools.a]\nupstreams = { url = "https://a", ca = "ca.pem", insecure = false }')
        self.assertEqual(made.pools[0].servers[0].tls, UpstreamTLS(ca=self.path("ca.pem")))

    def test_ofAWholePool(self) -> None:
        made = self.file(
            """
            [pools.a]
            upstreams = ["https://a", "http://b", "https://c,server-name=d", "zookeeper:one"]
            tls = { server-name = "app.internal", ca = "ca.pem" }
            """
        )
        (pool,) = made.pools
        ofPool = UpstreamTLS("app.internal", self.path("ca.pem"))
        self.assertEqual([each.tls for each in pool.servers], [ofPool, UpstreamTLS(), UpstreamTLS("d")])
        self.assertEqual(pool.tls, ofPool)
        self.assertEqual(self.file(configurationText(made)).pools[0].tls, ofPool)
        for text, sentence in [
            ('tls = { sever-name = "a" }', "pools.a.tls.sever-name: unknown key; did you mean 'server-name'?"),
            ('tls = { ca = "no.pem" }', f"pools.a.tls: {self.directory}/no.pem: No such file or directory"),
            ("tls = 1", "pools.a.tls: is a table: write [pools.a.tls]"),
        ]:
            error = self.assertRaises(ConfigurationError, self.file, f'[pools.a]\nupstreams = "https://a"\n{text}')
            self.assertIn(f"{self.directory}/proxy.toml: {sentence}", error.problems)

    def test_whatASourceFinds(self) -> None:
        ofPool, own = UpstreamTLS("app.internal"), UpstreamTLS("own")
        found = Upstream("https://10.0.0.1", 3, {"a": 1}, backup=True, maxConnections=2)
        made = found.secured(ofPool)
        self.assertEqual((made.tls, made.weight, made.metadata, made.backup), (ofPool, 3, {"a": 1}, True))
        self.assertEqual((made.maxConnections, made.url), (2, found.url))
        self.assertNotEqual(made.key, found.key)
        for each in (Upstream("http://10.0.0.1"), Upstream("https://10.0.0.1", tls=own)):
            self.assertIs(each.secured(ofPool), each)
        self.assertIs(found.secured(UpstreamTLS()), found)

    def test_oneServerUnderTwoNames(self) -> None:
        made = self.words(upstreams=("https://10.0.0.1,server-name=a", "https://10.0.0.1,server-name=b"))
        self.assertEqual(len(made.pools[0].servers), 2)
        twice = ("https://10.0.0.1,server-name=a", "https://10.0.0.1/,server-name=a")
        self.assertIn("is in this pool already", self.problems(upstreams=twice)[0])

    def test_mistakes(self) -> None:
        for written, sentence in [
            ("http://a,server-name=b", "server-name is for https upstreams: there is no TLS to http://a"),
            ("unix:/run/a,insecure=yes", "insecure is for https upstreams: there is no TLS to unix:/run/a"),
            ("https://a,ca=no.pem", "no.pem: No such file or directory"),
            ("https://a,ca=key.pem", "key.pem: holds no certificate (want PEM)"),
            ("https://a,key=key.pem", "a key needs its certificate: cert=FILE"),
            ("https://a,cert=cert.pem", "cert.pem: holds no private key (want PEM)"),
            ("https://a,insecure=maybe", "insecure: 'maybe' is neither yes nor no"),
            ("https://a,insecure", "insecure takes a value"),
            ("https://a,insecure=yes,ca=ca.pem", "insecure verifies nothing: ca says whom to trust; leave out one of the two"),
            ("https://a,sever-name=b", "an upstream has no option 'sever-name'; did you mean 'server-name'?"),
        ]:
            self.assertEqual(self.problems(upstreams=(written,))[0], f"--upstream #1: {sentence}", written)

    def test_aRegistryMayNotSayWhomToTrust(self) -> None:
        error = self.assertRaises(ValueError, EntryReader().read, "https://10.0.0.1,insecure=yes")
        self.assertIn("no option 'insecure'", str(error))
