"""A checker that finds nothing proves nothing: every kind of broken promise is made here once."""
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, HERE)
import wire  # noqa: E402
from ledger import Ledger  # noqa: E402
from message import DEAD, NEVER, body_of  # noqa: E402


def frame(message, redelivered=False, body=None, name=None, given=None, count=None, **headers):
    """A MESSAGE as the broker should write it, but for what is said otherwise."""
    lines = [b"x-name:" + wire.escape(name or message.name)]
    lines.append(b"message-id:" + wire.escape(given or f"{message.queue} {message.name}"))
    if redelivered:
        lines.append(b"redelivered:true")
    if count is not None:
        lines.append(b"delivery-count:%d" % count)
    lines += [wire.escape(key.replace("_", "-")) + b":" + wire.escape(value) for key, value in headers.items()]
    return wire.Frame("MESSAGE", lines, body if body is not None else body_of(message.name))


def grave_frame(message, reason, count=1, **more):
    headers = {"dead_letter_reason": reason, "original_destination": message.queue,
               "original_message_id": f"{message.queue} {message.name}", **more}
    return frame(message, given=f"dead {message.name}", count=count, **headers)


class LedgerTest(unittest.TestCase):
    def setUp(self):
        self.ledger = Ledger(limits={"/queue/w": 3})

    def stored(self, queue="/queue/q"):
        message = self.ledger.new_message("p", queue)
        self.ledger.stored(message)
        return message

    def decide(self, *messages, dead=(), horizon=None):
        """A look that found just these."""
        present = {}
        for message in messages:
            present.setdefault(message.queue, set()).add(message.name)
        for message in dead:
            present.setdefault(message.queue + ".dlq", set()).add(message.name)
        for subscription in self.ledger.subscriptions:
            present.setdefault(subscription, set())
        self.ledger.broker_ended()
        self.ledger.decide(present, horizon or time.time())

    def found(self, *words):
        self.assertEqual(len(self.ledger.violations), 1, self.ledger.violations)
        for word in words:
            self.assertIn(word, self.ledger.violations[0])

    def fine(self):
        self.assertEqual(self.ledger.violations, [])


class KeepingTest(LedgerTest):
    def test_a_receipted_message_that_is_missing_is_lost(self):
        self.stored()
        self.decide()
        self.found("lost")

    def test_an_unreceipted_message_may_be_there_or_not(self):
        here, gone = self.ledger.new_message("p", "/queue/q"), self.ledger.new_message("p", "/queue/q")
        self.decide(here)
        self.fine()
        self.ledger.delivered("/queue/q", frame(gone))
        self.found("earlier life")

    def test_a_delivered_message_that_is_missing_is_lost_also_without_receipt(self):
        message = self.ledger.new_message("p", "/queue/q")
        self.ledger.delivered("/queue/q", frame(message))
        self.decide()
        self.found("lost")

    def test_what_a_browser_was_shown_counts_as_seen(self):
        message = self.ledger.new_message("p", "/queue/q")
        self.ledger.shown("/queue/q", frame(message))
        self.decide()
        self.found("lost")

    def test_an_acknowledged_message_must_not_come_back(self):
        for see in (self.ledger.delivered, self.ledger.shown):
            self.ledger.violations.clear()
            message = self.stored()
            self.ledger.acking([message])
            self.ledger.gone([message])
            see("/queue/q", frame(message, redelivered=True))
            self.found("came back")

    def test_an_acknowledgement_without_receipt_may_have_counted_or_not(self):
        first, second = self.stored(), self.stored()
        self.ledger.acking([first, second])
        self.decide(second)
        self.fine()
        self.decide()
        self.found("lost", second.name)

    def test_invented_and_changed_messages_are_seen(self):
        message = self.stored()
        for got in (frame(message, body=body_of(message.name)[:-1]), frame(message, name="other")):
            self.ledger.violations.clear()
            self.ledger.delivered("/queue/q", got)
            self.found("changed")
        nobodys = wire.Frame("MESSAGE", [], b"nobody sent this\n")
        for queue, got in (("/queue/r", frame(message)), ("/queue/q", nobodys)):
            self.ledger.violations.clear()
            self.ledger.delivered(queue, got)
            self.found("invented")

    def test_a_second_delivery_in_one_life_must_be_marked(self):
        message = self.stored()
        self.ledger.delivered("/queue/q", frame(message))
        self.ledger.delivered("/queue/q", frame(message, redelivered=True))
        self.fine()
        self.ledger.delivered("/queue/q", frame(message))
        self.found("redelivered")

    def test_a_message_keeps_its_message_id(self):
        message = self.stored()
        self.ledger.delivered("/queue/q", frame(message))
        self.ledger.delivered("/queue/q", frame(message, redelivered=True, given="another"))
        self.found("twice")

    def test_no_two_messages_have_one_message_id(self):
        self.ledger.delivered("/queue/q", frame(self.stored(), given="one"))
        self.ledger.delivered("/queue/q", frame(self.stored(), given="one"))
        self.found("has the message-id of")

    def transaction(self, commit=True):
        source = self.stored()
        transaction = self.ledger.begin()
        targets = [self.ledger.new_message("m", queue, transaction) for queue in ("/queue/r", "/queue/s")]
        self.ledger.acking([source], transaction)
        if commit:
            self.ledger.committing(transaction)
        return source, targets, transaction

    def test_a_transaction_happens_as_a_whole_or_not_at_all(self):
        source, targets, _ = self.transaction()
        self.decide(*targets)
        again, _, _ = self.transaction()
        self.decide(again, *targets)
        self.fine()

    def test_half_a_transaction_is_seen(self):
        for part in range(3):
            self.setUp()
            source, targets, _ = self.transaction()
            self.decide(*[targets[:1], [*targets, source], []][part])
            self.assertIn("half a transaction", self.ledger.violations[0])

    def test_a_transaction_without_commit_must_have_no_effect(self):
        _, targets, _ = self.transaction(commit=False)
        self.ledger.delivered("/queue/r", frame(targets[0]))
        self.found("before its transaction")

    def test_a_receipted_commit_must_be_whole(self):
        _, targets, transaction = self.transaction()
        self.ledger.committed(transaction)
        self.decide(targets[0])
        self.found("lost", targets[1].name)


class RefusingTest(LedgerTest):
    def refused(self, message, count=1, for_good=False, not_before=0.0, receipt=True):
        dying = self.ledger.refusing([(message, count)], for_good)
        if receipt:
            self.ledger.refused([(message, count)], dying, not_before)

    def take(self, message, got):
        self.ledger.delivered("/queue/w.dlq", got)

    def test_a_refused_message_dies_once(self):
        message = self.stored("/queue/w")
        self.ledger.delivered("/queue/w", frame(message))
        self.refused(message, for_good=True)
        self.take(message, grave_frame(message, "rejected"))
        self.decide(dead=[message])
        self.fine()

    def test_a_dead_message_is_not_lost(self):
        for count, for_good in ((1, True), (3, False)):
            self.setUp()
            self.refused(self.stored("/queue/w"), count, for_good)
            self.decide()
            self.found("lost", DEAD)

    def test_a_dead_message_is_not_in_its_queue_as_well(self):
        message = self.stored("/queue/w")
        self.refused(message, for_good=True, receipt=False)
        self.decide(message, dead=[message])
        self.found("in its queue and in the dead-letter queue")

    def test_a_dead_message_does_not_come_back(self):
        message = self.stored("/queue/w")
        self.refused(message, for_good=True)
        self.ledger.delivered("/queue/w", frame(message, redelivered=True, count=2))
        self.found("came back from the dead")

    def test_what_was_among_the_dead_stays_there(self):
        message = self.stored("/queue/w")
        self.refused(message, for_good=True)
        self.decide(message)  # it has not been moved yet
        self.take(message, grave_frame(message, "rejected"))
        self.fine()
        self.decide(message)
        self.found("came back from the dead")

    def test_a_refusal_without_receipt_may_have_counted_or_not(self):
        first, second = self.stored("/queue/w"), self.stored("/queue/w")
        for message in (first, second):
            self.refused(message, for_good=True, receipt=False)
        self.decide(first, dead=[second])
        self.ledger.delivered("/queue/w", frame(first))
        self.fine()
        self.decide(first)
        self.found("lost", second.name)

    def test_a_message_dies_of_refusal_or_of_its_limit_only(self):
        for reason, count, word in (("rejected", 1, "without being refused"), ("delivery-limit", 2, "too early"),
                                    ("expired", 1, "without being refused")):
            self.ledger.violations.clear()
            message = self.stored("/queue/w")
            self.take(message, grave_frame(message, reason, count))
            self.found("died", word)
        self.ledger.violations.clear()
        message = self.stored("/queue/w")
        self.take(message, grave_frame(message, "delivery-limit", 3))
        self.fine()

    def test_a_dead_message_says_where_it_is_from(self):
        for header in ("original_destination", "original_message_id"):
            self.ledger.violations.clear()
            message = self.stored("/queue/w")
            self.ledger.delivered("/queue/w", frame(message))
            self.refused(message, for_good=True)
            self.take(message, grave_frame(message, "rejected", **{header: "elsewhere"}))
            self.found("changed", header.replace("_", "-"))

    def test_a_dead_message_is_there_once(self):
        message = self.stored("/queue/w")
        self.refused(message, for_good=True)
        self.take(message, grave_frame(message, "rejected"))
        self.ledger.shown("/queue/w.dlq", frame(message, given="another", dead_letter_reason="rejected",
                                                original_destination="/queue/w"))
        self.found("twice")

    def test_the_count_of_deliveries_goes_on(self):
        message = self.stored("/queue/w")
        self.refused(message, count=1)
        self.ledger.delivered("/queue/w", frame(message, redelivered=True, count=2))
        self.fine()
        self.ledger.delivered("/queue/w", frame(message, redelivered=True, count=1))
        self.found("count went back")

    def test_the_count_of_deliveries_has_an_end(self):
        self.ledger.delivered("/queue/w", frame(self.stored("/queue/w"), redelivered=True, count=4))
        self.found("more often than its limit")

    def test_a_refused_message_waits(self):
        message = self.stored("/queue/w")
        self.refused(message, not_before=time.time() + 60)
        self.ledger.shown("/queue/w", frame(message))
        self.fine()
        self.ledger.delivered("/queue/w", frame(message, redelivered=True, count=2))
        self.found("before the end of its wait")


class DelayTest(LedgerTest):
    def delayed(self, seconds, receipt=True):
        message = self.ledger.new_message("p", "/queue/q", delay=seconds)
        if receipt:
            self.ledger.stored(message)
        return message

    def test_a_delayed_message_does_not_come_before_its_time(self):
        for see in (self.ledger.delivered, self.ledger.shown):
            self.ledger.violations.clear()
            see("/queue/q", frame(self.delayed(60)))
            self.found("before it was due")
            self.ledger.violations.clear()
            see("/queue/q", frame(self.delayed(0)))
            self.fine()

    def test_a_delayed_message_is_lost_when_its_time_has_come(self):
        early, late = self.delayed(0), self.delayed(60)
        self.decide(early)
        self.fine()
        self.decide(early, horizon=time.time() + 61)
        self.found("lost", late.name)

    def test_an_unreceipted_one_is_decided_over_when_it_is_due(self):
        there, late, never = (self.delayed(60, receipt=False) for _ in range(3))
        self.decide()
        self.decide(there, horizon=time.time() + 61)
        self.decide(there, late, horizon=time.time() + 72)
        self.fine()
        self.assertEqual(never.state, NEVER)
        self.decide(late, horizon=time.time() + 72)
        self.found("lost", there.name)

    def test_its_time_counts_from_when_it_certainly_arrived(self):
        message = self.ledger.new_message("p", "/queue/q", delay=60)
        horizon = time.time() + 60
        time.sleep(0.002)
        self.ledger.stored(message)
        self.decide(horizon=horizon)
        self.fine()


class PublishingTest(LedgerTest):
    def subscription(self, name="a", pattern="/topic/t.>"):
        self.ledger.subscribing(f"/dsub/{name}", pattern)
        self.ledger.subscribed(f"/dsub/{name}")
        return f"/dsub/{name}"

    def copies(self, publication):
        return [m for m in self.ledger.messages.values() if m.name == publication.name]

    def test_a_confirmed_publication_is_in_every_subscription(self):
        self.subscription("a"), self.subscription("b"), self.subscription("c", "/topic/other")
        publication = self.ledger.publishing("p", "/topic/t.x", ["/queue/q"])
        copies = self.copies(publication)
        self.assertEqual([m.queue for m in copies], ["/dsub/a", "/dsub/b", "/queue/q"])
        self.ledger.published(publication)
        self.decide(*copies)
        self.fine()
        self.decide(*copies[1:])
        self.found("lost", "/dsub/a")

    def test_an_unconfirmed_publication_is_everywhere_or_nowhere(self):
        self.subscription("a"), self.subscription("b")
        self.decide(*self.copies(self.ledger.publishing("p", "/topic/t.x")))
        self.ledger.publishing("p", "/topic/t.y")
        present = [m for m in self.ledger.messages.values() if m.name.endswith("x/1")]
        self.decide(*present)
        self.fine()
        copies = self.copies(self.ledger.publishing("p", "/topic/t.z"))
        self.decide(*present, copies[0])
        self.assertIn("half a transaction", self.ledger.violations[0])

    def test_a_subscription_stays(self):
        place = self.subscription()
        self.ledger.decide({})
        self.found("lost: the durable subscription", place)

    def test_an_ended_subscription_stays_away(self):
        place = self.subscription()
        self.ledger.ending(place)
        self.ledger.ended(place)
        self.decide()
        self.found("came back after its end")

    def test_what_was_in_a_subscription_ends_with_it(self):
        place = self.subscription()
        publication = self.ledger.publishing("p", "/topic/t.x")
        copy = self.copies(publication)[0]
        self.ledger.published(publication)
        self.ledger.ending(place)
        self.ledger.decide({})
        self.fine()
        self.ledger.shown(place, frame(copy))
        self.found("came back")

    def test_an_end_without_receipt_may_have_counted_or_not_but_not_half(self):
        place = self.subscription()
        publication = self.ledger.publishing("p", "/topic/t.x")
        self.ledger.published(publication)
        self.ledger.ending(place)
        self.decide()
        self.found("lost", publication.name)

    def test_a_subscription_holds_nothing_older_than_itself(self):
        old = self.ledger.publishing("p", "/topic/t.x")
        self.ledger.published(old)
        meanwhile = self.ledger.publishing("p", "/topic/t.x")
        place = self.subscription()
        for publication in (meanwhile, old):
            self.fine()
            publication.queue = place
            self.ledger.delivered(place, frame(publication))
        self.found("older than its subscription", old.name)

    def test_a_subscription_takes_its_topic_only(self):
        place = self.subscription(pattern="/topic/t.x")
        for topic in ("/topic/t", "/topic/t.xy", "/topic/t.x.y"):
            self.ledger.violations.clear()
            publication = self.ledger.publishing("p", topic)
            publication.queue = place
            self.ledger.delivered(place, frame(publication))
            self.found("invented")


class ResendingTest(LedgerTest):
    def test_what_did_not_come_to_be_may_be_sent_again(self):
        message = self.ledger.new_message("p", "/queue/q")
        self.decide()
        self.ledger.resending(message)
        self.ledger.stored(message)
        self.decide(message)
        self.fine()
        self.decide()
        self.found("lost")

    def test_what_was_there_is_not_there_twice(self):
        message = self.stored()
        self.ledger.delivered("/queue/q", frame(message))
        self.ledger.resending(message)
        self.ledger.stored(message)
        self.ledger.delivered("/queue/q", frame(message, given="second", redelivered=True))
        self.found("twice")

    def test_what_was_acknowledged_does_not_come_again(self):
        message = self.stored()
        self.ledger.acking([message])
        self.ledger.gone([message])
        self.ledger.resending(message)
        self.ledger.stored(message)
        self.ledger.delivered("/queue/q", frame(message, given="second"))
        self.found("came back")


if __name__ == "__main__":
    unittest.main()
