"""split and canary."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.unit.builtin import DirectorTestCase, asked
from twistproxy.directors.canary import Canary
from twistproxy.directors.split import Split

POOLS = ("blue", "green", "red")


class SplitTests(DirectorTestCase):
    def shares(self, written: Any, count: int) -> str:
        director = self.build(written, pools=POOLS)
        return "".join(director.direct(asked(), asked().outbound)[0] for _ in range(count))

    def test_exactAndEvenlySpread(self) -> None:
        self.assertEqual(self.shares("split:blue=5:green=1:red=1", 14), "bbgbrbb" * 2)
        self.assertEqual(self.shares({"use": "split", "blue": 3, "green": 1}, 8), "bbgb" * 2)

    def test_noWeightNoShare(self) -> None:
        self.assertEqual(self.shares("split:blue=0:green=2", 5), "ggggg")
        self.assertEqual(Counter(self.direct("split:blue=0:green=9:key=client", asked(), pools=POOLS) for _ in range(9)),
                         {"green": 9})  # fmt: skip

    def byKey(self, written: str) -> dict[int, str]:
        director = self.build(written, pools=POOLS)
        chosen = {}
        for number in range(2000):
            request = asked(b"/", (b"Cookie", b"a=b; id=%d" % number))
            chosen[number] = director.direct(request, request.outbound)
            self.assertEqual(director.direct(request, request.outbound), chosen[number])
        return chosen

    def test_theSameKeyGetsTheSamePool(self) -> None:
        counts = Counter(self.byKey(r"split:blue=9:green=1:key=cookie\:id").values())
        self.assertIn(counts["green"], range(150, 250))

    def test_aGrowingShareTakesAndGivesNone(self) -> None:
        before = self.byKey(r"split:blue=9:green=1:key=cookie\:id")
        after = self.byKey(r"split:blue=5:green=5:key=cookie\:id")
        moves = {(before[each], after[each]) for each in before if before[each] != after[each]}
        self.assertEqual(moves, {("blue", "green")})

    def test_withoutTheKeyOneByOne(self) -> None:
        self.assertEqual(self.shares(r"split:blue=1:green=1:key=header\:X-Id", 4), "bgbg")

    def test_inAProgram(self) -> None:
        self.assertEqual(Split(a=1).direct(asked(), asked().outbound), "a")

    def test_aPoolMayHaveAnyName(self) -> None:
        director = self.build("split:context=1:self=1", pools=("context", "self"))
        self.assertEqual({director.direct(asked(), asked().outbound) for _ in range(2)}, {"context", "self"})

    def test_mistakes(self) -> None:
        for written in ("split", "split:blue=0"):
            self.refuses(written, "split: needs pools with weights, as in split:blue=9:green=1", pools=POOLS)
        self.refuses("split:blue=1:gren=1", "split: there is no pool 'gren'; did you mean 'green'?", pools=POOLS)
        self.refuses("split:blue=-1", "split: a weight is not negative", pools=POOLS)
        self.refuses("split:blue=x", "split: blue: 'x' is not a whole number", pools=POOLS)
        self.refuses(
            "split:blue=1:key=cooky", "split: key: 'cooky' is none of client, user, host, path, target, header:NAME, "
            "cookie:NAME, query:NAME; did you mean 'cookie'?", pools=POOLS,
        )  # fmt: skip


class CanaryTests(DirectorTestCase):
    def goes(self, written: Any, *headers: tuple[bytes, bytes]) -> Any:
        return self.direct(written, asked(b"/", *headers), pools=POOLS)

    def test_byHeader(self) -> None:
        written = "canary:green:header=X-Canary"
        self.assertEqual(self.goes(written, (b"x-canary", b"anything")), "green")
        for headers in ([], [(b"X-Canary", b"")], [(b"X-Other", b"1")]):
            self.assertIs(self.goes(written, *headers), None)

    def test_byCookie(self) -> None:
        written = "canary:green:cookie=beta:value=yes,always"
        for cookie, pool in [
            (b"a=1; beta=yes", "green"),
            (b"beta=always; b", "green"),
            (b"beta=no", None),
            (b"beta=Yes", None),
            (b"xbeta=yes", None),
            (b"beta", None),
        ]:
            self.assertEqual(self.goes(written, (b"Cookie", cookie)), pool)

    def test_byEither(self) -> None:
        written = {"use": "canary", "pool": "green", "header": "X-Beta", "cookie": "beta", "value": "1"}
        self.assertEqual(self.goes(written, (b"X-Beta", b"1")), "green")
        self.assertEqual(self.goes(written, (b"X-Beta", b"0"), (b"Cookie", b"beta=1")), "green")
        self.assertIs(self.goes(written, (b"X-Beta", b"0"), (b"Cookie", b"beta=0")), None)

    def test_inAProgram(self) -> None:
        request = asked(b"/", (b"X-A", b"1"))
        self.assertEqual(Canary("a", header="X-A").direct(request, request.outbound), "a")

    def test_mistakes(self) -> None:
        self.refuses("canary:green", "canary: needs header=NAME or cookie=NAME", pools=POOLS)
        self.refuses("canary:gren:header=X", "canary: there is no pool 'gren'; did you mean 'green'?", pools=POOLS)
        self.refuses("canary:green:cookie=a b", "canary: 'a b' is not the name of a header or cookie", pools=POOLS)
