# SPDX-License-Identifier: GPL-2.0
"""The test harness: boots Xen with guests in an emulator, runs suites there and counts results.

A module imports only modules that stand above it in this list:

    choices, results         words that options, suites and guests share; the result of one test
    clock, limits, children  time limits that a busy machine does not trip, and child processes
    boot_log, newc, elf      file formats; `kernel_modules`, `picture` and `ktap` likewise
    spec, ending             one boot as it is asked for, and as it ended
    architecture/            emulators, by the processor that they emulate
    monitor, machine         one emulator process from its start to its end
    guest_kernel, guest_image, boot
                             the files that a machine starts from; boot() itself
    log_check, event_path, bench_table
                             readers of logs and of output
    engine/                  suites as jobs: registry, scheduler, report
    suites/                  one file a family of suites
    commands/                the command lines of qemu-test/boot, run-suites and bench
"""
