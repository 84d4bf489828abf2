# SPDX-License-Identifier: GPL-2.0
"""Coverage of drivers/xen by the suites, from the blocks of instructions that the emulator has
translated: no instrumentation, and the kernel that the suites test anyway.

    blocks      blocks of instructions, in the emulator's log and in files
    placement   the addresses at which guests have the driver's module
    line_table  line tables, and the conditional jumps of the code
    lines       lines and jumps that have run
    measure     the objects of a kernel, and the boots that ran them
    report      the table, and the lines that have not run
"""
