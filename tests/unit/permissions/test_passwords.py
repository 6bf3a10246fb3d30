"""L{twistproxy.permissions.passwords}: hashes as htpasswd makes them."""

from __future__ import annotations

import bcrypt
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.permissions.passwords import apr1, checkHash, matches

BCRYPT = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4))


class TestPasswords(SynchronousTestCase):
    def test_apr1(self) -> None:
        """As C{openssl passwd -apr1 -salt r31.....} has them."""
        for password, text in (
            ("myPassword", b"HqJZimcKQFAMYayBlzkrA/"), ("", b"iQoXxeL5pW.kaXVrniDCU0"), ("a" * 15, b"ZSnAnYhQX3fn/OhC.NA8c1"),
            ("a" * 16, b"jbFsHgqADQ5ZSoQ20WMFG1"), ("a" * 17, b"serACFnFTASeaMnHO4/kp1"), ("x" * 100, b"KSvewVT9SXsuCmeOSgRet/"),
            ("\N{LATIN SMALL LETTER E WITH ACUTE}" * 40, b"hT.PuCwW7PDl25xGYNFcK1"),
        ):  # fmt: skip
            hashed = b"$apr1$r31.....$" + text
            self.assertEqual(apr1(password.encode(), b"r31....."), hashed)
            self.assertTrue(matches(password.encode(), hashed))
            self.assertFalse(matches(password.encode() + b"x", hashed))

    def test_bcrypt(self) -> None:
        self.assertTrue(matches(b"open sesame", BCRYPT))
        for wrong in (b"open barley", b"", b"open sesame\0"):
            self.assertFalse(matches(wrong, BCRYPT))

    def test_whatIsTooLongIsNotHashed(self) -> None:
        self.assertFalse(matches(b"x" * 1025, apr1(b"x" * 1025, b"salt")))

    def test_hashes(self) -> None:
        for good in (BCRYPT.decode(), BCRYPT.decode().replace("$2b$", "$2y$"), apr1(b"x", b"salt").decode()):
            checkHash(good)
        for bad in ("", "secret", "{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=", "$apr1$toolongsalt$" + "x" * 22, "$apr1$a$" + "x" * 21,
                    BCRYPT.decode()[:-1], "$6$a$b", BCRYPT.decode().replace("$04$", "$31$")):  # fmt: skip
            self.assertRaises(ValueError, checkHash, bad)
