/* SPDX-License-Identifier: GPL-2.0 */
/* Shadow memory of KASAN in PV and PVH domains, of the kernel for tests alone. */
#ifndef _XEN_KASAN_H
#define _XEN_KASAN_H

#include <linux/pgtable.h>

/*
 * The first shadow, before any code that is checked runs: in the page tables that a PVH domain
 * starts with, and in those that Xen gives a PV domain.
 */
void xen_kasan_pvh_early_init(void);
void xen_kasan_pv_early_init(void);
/* The entries for the shadow, to a top-level table that is not in use or not watched by Xen. */
void xen_kasan_copy_shadow(pgd_t *to, const pgd_t *from);
/* Make a table of the kernel's image one that may be loaded, for a while. Nothing on bare metal. */
void xen_kasan_pin(pgd_t *pgd);
void xen_kasan_unpin(pgd_t *pgd);
/* True for a table of the first shadow: one that many entries share, and that is never pinned. */
bool xen_kasan_is_early_table(unsigned long pfn);

#endif
