"""A checker that finds nothing proves nothing: every kind of broken promise is made here once."""
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, HERE)
import wire  # noqa: E402
from ledger import Ledger, body_of  # noqa: E402


def frame(message, redelivered=False, body=None, name=None):
    lines = [b"x-name:" + wire.escape(name or message.name)]
    if redelivered:
        lines.append(b"redelivered:true")
    return wire.Frame("MESSAGE", lines, body if body is not None else body_of(message.name))


class LedgerTest(unittest.TestCase):
    def setUp(self):
        self.ledger = Ledger()

    def stored(self, queue="q"):
        message = self.ledger.new_message("p", queue)
        self.ledger.stored(message)
        return message

    def found(self, *words):
        self.assertEqual(len(self.ledger.violations), 1, self.ledger.violations)
        for word in words:
            self.assertIn(word, self.ledger.violations[0])

    def fine(self):
        self.assertEqual(self.ledger.violations, [])

    def test_a_receipted_message_that_is_missing_is_lost(self):
        self.stored()
        self.ledger.decide(set())
        self.found("lost")

    def test_an_unreceipted_message_may_be_there_or_not(self):
        here, gone = self.ledger.new_message("p", "q"), self.ledger.new_message("p", "q")
        self.ledger.decide({here.name})
        self.fine()
        self.ledger.delivered("q", frame(gone))
        self.found("earlier life")

    def test_a_delivered_message_that_is_missing_is_lost_also_without_receipt(self):
        message = self.ledger.new_message("p", "q")
        self.ledger.delivered("q", frame(message))
        self.ledger.decide(set())
        self.found("lost")

    def test_an_acknowledged_message_must_not_come_back(self):
        message = self.stored()
        self.ledger.acking([message])
        self.ledger.gone([message])
        self.ledger.delivered("q", frame(message, redelivered=True))
        self.found("came back")

    def test_an_acknowledgement_without_receipt_may_have_counted_or_not(self):
        first, second = self.stored(), self.stored()
        self.ledger.acking([first, second])
        self.ledger.decide({second.name})
        self.fine()
        self.ledger.decide(set())
        self.found("lost", second.name)

    def test_invented_and_changed_messages_are_seen(self):
        message = self.stored()
        for queue, got in [("q", frame(message, body=body_of(message.name)[:-1])), ("q", frame(message, name="other")),
                           ("r", frame(message))]:
            self.ledger.violations.clear()
            self.ledger.delivered(queue, got)
            self.found("changed")
        self.ledger.violations.clear()
        self.ledger.delivered("q", wire.Frame("MESSAGE", [], b"nobody sent this\n"))
        self.found("invented")

    def test_a_second_delivery_in_one_life_must_be_marked(self):
        message = self.stored()
        self.ledger.delivered("q", frame(message))
        self.ledger.delivered("q", frame(message, redelivered=True))
        self.fine()
        self.ledger.delivered("q", frame(message))
        self.found("redelivered")

    def transaction(self, commit=True):
        source = self.stored()
        transaction = self.ledger.begin()
        targets = [self.ledger.new_message("m", queue, transaction) for queue in ("r", "s")]
        self.ledger.acking([source], transaction)
        if commit:
            self.ledger.committing(transaction)
        return source, targets, transaction

    def test_a_transaction_happens_as_a_whole_or_not_at_all(self):
        source, targets, _ = self.transaction()
        self.ledger.decide({t.name for t in targets})
        again, _, _ = self.transaction()
        self.ledger.decide({again.name, *(t.name for t in targets)})
        self.fine()

    def test_half_a_transaction_is_seen(self):
        for part in range(3):
            self.setUp()
            source, targets, _ = self.transaction()
            present = [{targets[0].name}, {targets[0].name, targets[1].name, source.name}, set()][part]
            self.ledger.decide(present)
            self.assertIn("half a transaction", self.ledger.violations[0])

    def test_a_transaction_without_commit_must_have_no_effect(self):
        _, targets, _ = self.transaction(commit=False)
        self.ledger.delivered("r", frame(targets[0]))
        self.found("before its transaction")

    def test_a_receipted_commit_must_be_whole(self):
        _, targets, transaction = self.transaction()
        self.ledger.committed(transaction)
        self.ledger.decide({targets[0].name})
        self.found("lost", targets[1].name)


if __name__ == "__main__":
    unittest.main()
