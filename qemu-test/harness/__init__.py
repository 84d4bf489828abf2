# SPDX-License-Identifier: GPL-2.0
"""The test harness: boots Xen with guests in an emulator, runs suites there and counts results.

A module imports only modules of its own line or of lines above it:

    choices, results         words that options, suites and guests share; the result of one test
    clock, limits, children  time limits that a busy machine does not trip, and child processes
    boot_log, ktap, unittest_ktap, log_check, newc, elf, kernel_modules, picture, terminal
                             formats of text and of files; the person's terminal
    spec, ending, guest_arguments
                             one boot as it is asked for, as it ended, and as guests are told
    monitor, architecture/   the emulator, by the processor that it emulates
    inspection, machine, verdict
                             one emulator process from its start to its end, and the reason for that
    guest_kernel, guest_image, boot
                             the files that a machine starts from; boot() itself
    event_cost, bench_table  readers of output
    engine/                  suites as jobs: registry, scheduler, report
    suites/                  one file a family of suites
    commands/                the command lines of qemu-test/run, boot, run-suites and bench

A new suite is a file in suites/, as `engine.registry` says; another processor is a file or a folder
in architecture/.
"""
