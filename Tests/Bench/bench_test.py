#!/usr/bin/env python3
"""What scripts/bench concludes and draws, without measuring anything. Prints `N passed, N failed`."""
import sys
import unittest
import xml.dom.minidom

import comparison
import document
import guard
import measure
import plot
import scaling
import servers
import workloads


class GuardTests(unittest.TestCase):
    def test_a_third_less_is_too_little(self):
        self.assertFalse(guard.falls_short(0.6, [0.40, 0.39, 0.41]))
        self.assertTrue(guard.falls_short(0.6, [0.39, 0.39, 0.60]))

    def test_more_than_recorded_is_well(self):
        self.assertTrue(guard.verdict(0.5, [[0.9, 0.9, 0.9]]))

    def test_what_falls_short_is_tried_again_before_it_fails(self):
        short, good = [0.1, 0.1, 0.1], [0.5, 0.5, 0.5]
        self.assertIsNone(guard.verdict(0.5, [short]))
        self.assertIsNone(guard.verdict(0.5, [short] * (guard.ROUNDS - 1)))
        self.assertIs(guard.verdict(0.5, [short] * guard.ROUNDS), False)
        self.assertIs(guard.verdict(0.5, [short, short, good]), True)

    def test_what_is_guarded_is_measured(self):
        for name in workloads.GUARDED:
            self.assertEqual(workloads.named(name).name, name)


class MeasureTests(unittest.TestCase):
    def test_ratios_are_of_one_round(self):
        self.assertEqual(measure.ratios([1, 6], [2, 4]), [0.5, 1.5])
        self.assertEqual(measure.ratios([1, 6], [0, 4]), [1.5])
        self.assertEqual(measure.spread([0.5, 2, 1]), (1, 0.5, 2))

    def words(self, workload, loadgen=None, words=()):
        server = servers.Server("test")
        self.addCleanup(server.remove)
        server.process, server.words = type("Process", (), {"pid": 7, "poll": lambda self: 0, "wait": lambda self: 0})(), list(words)
        return measure.words(server, workloads.named(workload), 3, loadgen)

    def test_both_load_generators_are_told_the_same(self):
        ours, theirs = self.words("e2e 100B P2 C2"), self.words("e2e 100B P2 C2", "other")
        self.assertEqual(ours[1], "e2e")
        self.assertEqual(theirs[:5], ["other", "--proto", "stomp", "--work", "e2e"])
        for words in (ours, theirs):
            self.assertIn("--producers 2 --consumers 2", " ".join(words))
            self.assertIn("--seconds 3 --warmup 1", " ".join(words))

    def test_a_word_that_is_in_no_name_is_told(self):
        self.assertEqual([w.name for w in workloads.matching("drain")], ["drain 1024B C2"])
        with self.assertRaisesRegex(SystemExit, "no workload has 'publish 1 KiB' in its name; there are 'publish"):
            workloads.matching("publish 1 KiB")

    def test_each_run_has_a_destination_of_its_own(self):
        destination = lambda words: words[words.index("--dest") + 1]  # noqa: E731
        first, second = self.words("publish 100B P1"), self.words("publish 100B P1")
        self.assertNotEqual(destination(first), destination(second))
        self.assertTrue(destination(self.words("fanout 100B x10")).startswith("/topic/"))

    def test_what_is_counted_has_no_time(self):
        self.assertNotIn("--seconds", self.words("drain 1024B C2"))

    def test_others_say_in_their_way_that_nothing_is_stored(self):
        self.assertIn("persistent:false", self.words("rtt 100B unstored", "other"))
        self.assertNotIn("--no-persistent", self.words("rtt 100B unstored", "other"))

    def test_every_floor_that_is_named_is_known(self):
        for workload in workloads.WORKLOADS:
            self.assertIn(workload.floor, servers.FLOORS)


class ScalingTests(unittest.TestCase):
    def test_many_producers_have_no_more_on_the_way(self):
        for count in (1, 10, 1000, 5000):
            words = scaling.connections(count)
            window = words[words.index("--window") + 1]
            self.assertTrue(1 <= window and window * count <= scaling.IN_FLIGHT)

    def test_large_bodies_have_few_on_the_way(self):
        for size in (16, 1024, 1 << 20, 16 << 20):
            words = scaling.sizes(size)
            window = words[words.index("--window") + 1]
            self.assertTrue(1 <= window <= 1000 and 2 * window * size <= scaling.IN_FLIGHT_BYTES)


class DocumentTests(unittest.TestCase):
    TEXT = "a\n<!-- scripts/bench writes: x -->\nold\n<!-- end of: x -->\nb\n"

    def test_only_what_is_between_the_markers_is_replaced(self):
        new = document.replaced(self.TEXT, "x", "new")
        self.assertEqual(new, self.TEXT.replace("old", "new"))
        self.assertEqual(document.replaced(new, "x", "new\n"), new)

    def test_missing_markers_are_told(self):
        for text in ("", self.TEXT + self.TEXT, self.TEXT.replace("end of", "end")):
            with self.assertRaises(ValueError):
                document.replaced(text, "x", "new")

    def test_the_document_has_every_marker(self):
        with open(document.PATH) as file:
            text = file.read()
        for name in ("comparison", "latency", "footprint", "scaling"):
            self.assertIn("\n".join(document.marks(name)), document.replaced(text, name, ""))

    def test_a_table_has_a_head(self):
        self.assertEqual(document.table([["a", "b"], [1, 2]]), "| a | b |\n| --- | --- |\n| 1 | 2 |")


class PlotTests(unittest.TestCase):
    def parsed(self, svg, name):
        return xml.dom.minidom.parseString(svg).getElementsByTagName(name)

    def test_a_bar_is_as_long_as_its_value(self):
        svg = plot.bars([("one", [("a", 0.5, 0.4, 0.6), ("b <&>", 1.0, 0.9, 1.1)])], "title")
        widths = [float(bar.getAttribute("width")) for bar in self.parsed(svg, "rect") if bar.getAttribute("height") == "13"]
        self.assertEqual(len(widths), 2)
        self.assertAlmostEqual(widths[0] * 2, widths[1], delta=0.2)

    def test_a_curve_has_all_its_points_within_the_page(self):
        svg = plot.curves([("title", "x", {"a": [(1, 0), (100_000, 9)], "b": [(10, 3)]}), ("flat", "x", {"a": [(5, 0)]})])
        page = self.parsed(svg, "svg")[0]
        circles = self.parsed(svg, "circle")
        self.assertEqual(len(circles), 4)
        for circle in circles:
            self.assertTrue(0 < float(circle.getAttribute("cx")) < float(page.getAttribute("width")))
            self.assertTrue(0 < float(circle.getAttribute("cy")) < float(page.getAttribute("height")))

    def test_marks_are_round(self):
        self.assertEqual([plot.step(most) for most in (1, 1.2, 9, 2_000_000)], [0.2, 0.25, 2, 500_000])
        self.assertEqual([plot.short(value) for value in (0, 16, 1500, 2.5e6)], ["0", "16", "1.5k", "2.5M"])


class ComparisonTests(unittest.TestCase):
    def test_a_table_has_rates_and_ratios_with_their_spread(self):
        options = type("Options", (), {"runs": 2})
        compared = comparison.Comparison(options, ["floor", "brokerd", "nats"])
        workload = workloads.named("publish 100B P1")
        compared.results[workload.name] = {
            "floor": [{"rate": 100}, {"rate": 200}], "brokerd": [{"rate": 50}, {"rate": 150}], "nats": [None, None]}
        rows = comparison.table(compared, [workload])
        self.assertEqual(rows[1], ["publish 100B P1", "150", "100", "", "0.62 (0.50 to 0.75)", ""])
        self.assertEqual(len(rows[0]), len(rows[1]))


def main():
    result = unittest.TextTestRunner(verbosity=0).run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__]))
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
