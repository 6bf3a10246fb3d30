"""Tests of L{twistproxy.errors}."""

from __future__ import annotations

from http import HTTPStatus

from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from twistproxy import errors
from twistproxy.errors import (
    ALL_KINDS,
    BAD_REQUEST,
    BODY_TOO_LARGE,
    CLIENT_CLOSED,
    BodyTooLarge,
    ConfigurationError,
    Fault,
    ProxyError,
)


class TableTests(SynchronousTestCase):
    def test_everyKindIsInTheTable(self) -> None:
        kinds = [value for value in vars(errors).values() if isinstance(value, errors.ErrorKind)]
        self.assertEqual(list(ALL_KINDS), kinds)
        self.assertIn(BAD_REQUEST, ALL_KINDS)

    def test_reasonsAreWordsForLogsAndMetrics(self) -> None:
        for kind in ALL_KINDS:
            self.assertRegex(kind.reason, r"\A[a-z]+(_[a-z]+)*\Z")

    def test_onlyPluginErrorsShareAReason(self) -> None:
        reasons = [kind.reason for kind in ALL_KINDS if kind.reason != "plugin_error"]
        self.assertEqual(len(set(reasons)), len(reasons))

    def test_sentencesAreSentences(self) -> None:
        for kind in ALL_KINDS:
            self.assertRegex(kind.sentence, r"\A[A-Z].*\.\Z")

    def test_statusesTellWhoseFaultItWas(self) -> None:
        for kind in ALL_KINDS:
            if kind is not CLIENT_CLOSED:
                HTTPStatus(kind.status)
            allowed = {
                Fault.CLIENT: {*range(400, 500), 501, 505},
                Fault.UPSTREAM: {502, 504},
                Fault.PROXY: {500, 502, 503},
            }[kind.fault]
            self.assertIn(kind.status, allowed, kind.reason)

    def test_onlyAnUpstreamCanBeReplacedByAnother(self) -> None:
        for kind in ALL_KINDS:
            if kind.retryable:
                self.assertIs(kind.fault, Fault.UPSTREAM)

    def test_theTableCannotBeChanged(self) -> None:
        self.assertRaises(FrozenInstanceError, setattr, BAD_REQUEST, "status", 200)


class ErrorTests(SynchronousTestCase):
    def test_shownWithReasonAndDetail(self) -> None:
        error = ProxyError(BAD_REQUEST, "no Host")
        self.assertEqual((str(error), error.kind, error.detail), ("client_protocol_error: no Host", BAD_REQUEST, "no Host"))
        self.assertEqual(str(ProxyError(CLIENT_CLOSED)), "client_closed")

    def test_bodyTooLargeIsOne(self) -> None:
        self.assertIsInstance(BodyTooLarge(BODY_TOO_LARGE), ProxyError)

    def test_configurationErrorsAreListed(self) -> None:
        error = ConfigurationError("one", "two")
        self.assertEqual((error.problems, str(error)), (("one", "two"), "one\ntwo"))
