# SPDX-License-Identifier: GPL-2.0
"""The lines that let a kernel with KASAN boot on Xen.

Instrumented code reads the shadow of each address that it uses. On Xen the kernel runs C code
before there is a shadow, and in a PV domain nobody makes one.
"""

from .overlay import Addition, Hook

SUPPORT = "arch/x86/xen/kasan.c"

# Objects with code that runs in a PV domain before the first shadow is there.
EARLY = {
    "arch/x86/xen/Makefile": ("enlighten", "enlighten_pv", "irq", "kasan", "mmu_pv", "multicalls",
                              "p2m"),
    "drivers/xen/Makefile": ("features",),
}

ADDITION = Addition(
    "qemu-test/kernels/kasan",
    (
        *(Hook(makefile, f"KASAN_SANITIZE_{name}.o := n\n", None, SUPPORT)
          for makefile, names in EARLY.items() for name in names),
        Hook("arch/x86/xen/Makefile", "obj-$(CONFIG_XEN_PV) += kasan.o\n", None, SUPPORT),
        Hook("arch/x86/xen/xen-ops.h", "#include <xen/kasan.h>\n", "#endif /* XEN_OPS_H */\n",
             SUPPORT),
        Hook("arch/x86/platform/pvh/enlighten.c", "#include <xen/kasan.h>\n",
             "#include <xen/interface/hvm/start_info.h>\n", SUPPORT),
        Hook("arch/x86/platform/pvh/enlighten.c", "\txen_kasan_pvh_early_init();\n",
             "\tif (pvh_start_info.magic != XEN_HVM_START_MAGIC_VALUE) {\n", SUPPORT),
        # The table of machine frames is known from here on.
        Hook("arch/x86/xen/enlighten_pv.c", "\txen_kasan_pv_early_init();\n",
             "\tcpuid_scan_cpu(&boot_cpu_data);\n", SUPPORT),
        Hook("arch/x86/xen/mmu_pv.c", "\txen_kasan_copy_shadow(init_top_pgt, pgd);\n",
             "\t/* Make pagetable pieces RO */\n", SUPPORT),
        # Many entries point to the tables of the early shadow. Such a table is announced to Xen
        # once, and a walk over all kernel tables does not follow each entry.
        Hook("arch/x86/xen/mmu_pv.c", "\tif (xen_kasan_is_early_table(pfn)) return;\n",
             "\ttrace_xen_mmu_alloc_ptpage(mm, pfn, level, pinned);\n", SUPPORT),
        Hook("arch/x86/xen/mmu_pv.c",
             "\t\tif (xen_kasan_is_early_table(PFN_DOWN(__pa(pmd)))) continue;\n",
             "\t\txen_pmd_walk(mm, pmd, func, last && i == nr - 1, limit);\n", SUPPORT),
        Hook("arch/x86/mm/kasan_init_64.c", "#include <xen/kasan.h>\n",
             "#include <asm/cpu_entry_area.h>\n", SUPPORT),
        Hook("arch/x86/mm/kasan_init_64.c", "\txen_kasan_pin(early_top_pgt);\n",
             "\tload_cr3(early_top_pgt);\n", SUPPORT),
        Hook("arch/x86/mm/kasan_init_64.c", "\txen_kasan_unpin(early_top_pgt);\n",
             "\tinit_task.kasan_depth = 0;\n", SUPPORT),
    ),
)
