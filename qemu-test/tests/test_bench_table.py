# SPDX-License-Identifier: GPL-2.0
"""The benchmark's table says what was measured, and refuses what was not."""

import unittest

from harness import bench_table
from xenrust.failure import Failure


def output(rust=50.0, rounds=3, names=bench_table.DRIVERS):
    lines = [f"sample {number} {driver} {name} {time}"
             for number in range(rounds)
             for driver, time in (("C", 100.0), ("Rust", rust + number))
             for name in names]
    return lines + [f"inside {name} 40.0" for name in names]


class Parsing(unittest.TestCase):
    def test_samples_stay_in_the_order_of_rounds(self):
        measured = bench_table.parse("\n".join(output()))
        self.assertEqual(measured.samples["copy-from-64", "Rust"], [50.0, 51.0, 52.0])
        self.assertEqual(measured.inside["map-unmap-1"], 40.0)

    def test_other_output_is_refused(self):
        for line in ("", "sample 1 C copy-from-64", "sample 1 D copy-from-64 3",
                     "sample 1 C copy-from-65 3", "sample 1 C copy-from-64 fast"):
            with self.subTest(line), self.assertRaises(Failure):
                bench_table.parse("\n".join([*output(), line, *output()]))

    def test_a_missing_sample_is_refused(self):
        with self.assertRaises(Failure):
            bench_table.parse("\n".join(output()[1:]))

    def test_a_line_that_nobody_measured_is_refused(self):
        names = [name for name in bench_table.DRIVERS if name != "map-unmap-1"]
        with self.assertRaises(Failure):
            bench_table.parse("\n".join(output(names=names)))

    def test_a_line_may_be_skipped_with_a_reason(self):
        names = [name for name in bench_table.DRIVERS if name != "map-unmap-1"]
        lines = output(names=names) + ["skipped map-unmap-1 not here"]
        measured = bench_table.parse("\n".join(lines))
        self.assertIn("map and unmap 1 page: not measured, not here",
                      bench_table.table(measured))

    def test_a_line_may_be_the_rust_driver_s_only_with_a_reason(self):
        lines = [line for line in output() if not line.startswith("sample") or
                 "C export-8 " not in line]
        with self.assertRaises(Failure):
            bench_table.parse("\n".join(lines))
        measured = bench_table.parse("\n".join(lines + ["only-rust export-8 C cannot"]))
        rows = bench_table.table(measured)
        title = bench_table.TITLES["export-8"]
        self.assertIn(f"{title}: Rust driver only, C cannot", rows)
        row = next(row for row in rows if row.startswith(title))
        self.assertEqual(row.removeprefix(title).split(),
                         ["-", "51", "ns", "40", "ns", "-", "-", "-"])

    def test_what_several_boots_measured_is_one_table(self):
        rust = output(rust=50.0, rounds=1, names=bench_table.EXPORTS)
        rust = [line for line in rust if " C " not in line]
        again = [line.replace("50.0", "150.0").replace("40.0", "60.0") for line in rust]
        c = [line.replace(" Rust ", " C ").replace("50.0", "100.0")
             for line in rust if line.startswith("sample")]
        measured = bench_table.parse("\n".join(rust + c + c + again), bench_table.EXPORTS)
        self.assertEqual(measured.ratios("export-64"), [0.5, 1.5])
        self.assertEqual(measured.inside["export-64"], 50.0)
        self.assertEqual(len(bench_table.table(measured)), 1 + len(bench_table.EXPORTS))

    def test_a_line_of_another_section_is_refused(self):
        with self.assertRaises(Failure):
            bench_table.parse("\n".join(output()), bench_table.EXPORTS)

    def test_a_line_that_is_measured_less_often_is_refused(self):
        lines = [line for line in output() if not (line.startswith("sample 1 ") and
                                                   " export-8 " in line)]
        with self.assertRaises(Failure):
            bench_table.parse("\n".join(lines))

    def test_nothing_at_all_is_refused(self):
        with self.assertRaises(Failure):
            bench_table.parse("")


class Rows(unittest.TestCase):
    def row(self, rust, title):
        lines = bench_table.table(bench_table.parse("\n".join(output(rust))))
        return next(line for line in lines if line.startswith(title))

    def test_a_row_has_median_spread_and_goal(self):
        row = self.row(50.0, bench_table.TITLES["copy-from-64"])
        for text in ("100 ns", "51 ns", "40 ns", " 0.510", "0.500..0.520", " 0.6"):
            self.assertIn(text, row)
        self.assertNotIn("missed", row)

    def test_a_missed_goal_says_what_bounds_it(self):
        row = self.row(79.0, bench_table.TITLES["copy-from-64"])
        self.assertIn("missed; 50% of the Rust driver's time is inside the hypercall", row)

    def test_a_missed_goal_may_have_nothing_to_do_with_hypercalls(self):
        lines = [line.replace("inside import-8 40.0", "inside import-8 0.0")
                 for line in output(150.0)]
        rows = bench_table.table(bench_table.parse("\n".join(lines)))
        row = next(row for row in rows if row.startswith(bench_table.TITLES["import-8"]))
        self.assertIn("missed; 0% of the Rust driver's time is inside the hypercall", row)

    def test_a_line_without_goal_misses_none(self):
        self.assertNotIn("missed", self.row(500.0, bench_table.TITLES["insert-among-100"]))

    def test_the_ways_to_show_a_frame_are_compared(self):
        times = {"display-dma-buf": 100.0, "display-kept": 50.0, "display-copy": 200.0}
        lines = [f"sample {number} Rust {name} {time}" for number in range(3)
                 for name, time in times.items()]
        measured = bench_table.parse("\n".join(lines), bench_table.DISPLAY)
        *_, made, kept = bench_table.table(measured)
        self.assertEqual(made.split("driver")[1].split(), ["0.500", "0.500..0.500", "-"])
        self.assertEqual(kept.split("driver")[1].split(), ["0.250", "0.250..0.250", "-"])

    def test_storms_are_shown_as_rates_too(self):
        lines = output(rust=50000.0, names=bench_table.EVENTS, rounds=1)
        lines = [line.replace(" 100.0", " 100000.0") for line in lines if "inside" not in line]
        rows = bench_table.table(bench_table.parse("\n".join(lines), bench_table.EVENTS))
        self.assertIn("events on 64 ports: events per second 10,000 C, 20,000 Rust", rows)
        self.assertEqual(sum("per second" in row for row in rows), len(bench_table.STORMS))
        row = next(row for row in rows if row.startswith(bench_table.TITLES["event-round-trip"]))
        self.assertIn(" 0.500  ", row)

    def test_an_attack_is_compared_with_a_quiet_machine_and_a_busy_one(self):
        factors = {"idle": 1, "busy": 2, "attack": 8}
        lines = [f"sample {number} {driver} event-{other}-{value} {100.0 * factor}"
                 for number in range(3) for driver in ("C", "Rust")
                 for other, factor in factors.items() for value in ("median", "99", "most")]
        lines.append("note Served { events: 3 }")
        rows = bench_table.table(bench_table.parse("\n".join(lines), bench_table.ATTACKED))
        for other, ratio in (("idle", " 8.000 "), ("busy", " 4.000 ")):
            compared = [row for row in rows if row.startswith(f"flooded by {other},")]
            self.assertEqual(len(compared), 6)
            for row in compared:
                self.assertIn(ratio, row)

    def test_growth_compares_a_driver_with_itself(self):
        lines = [line.replace("insert-among-4000 100.0", "insert-among-4000 900.0")
                 for line in output(100.0)]
        rows = bench_table.table(bench_table.parse("\n".join(lines)))
        growth = {row.split(",")[1].split()[0]: row for row in rows if "by among 100" in row}
        self.assertIn(" 9.000 ", growth["C"])
        self.assertIn(" 1.000 ", growth["Rust"])
