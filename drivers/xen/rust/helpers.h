/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shims over static inlines and macros that bindgen cannot call.
 */

#ifndef _XEN_RUST_HELPERS_H
#define _XEN_RUST_HELPERS_H

#include <linux/mmu_notifier.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct page;

bool xen_rust_domain(void);
bool xen_rust_pv_domain(void);
unsigned long xen_rust_page_address(struct page *page);
phys_addr_t xen_rust_page_physical(struct page *page);
u64 xen_rust_page_gfn(struct page *page);
int xen_rust_page_count(struct page *page);
u64 xen_rust_pte_machine_address(pte_t *pte);
int xen_rust_grant_table_op(unsigned int command, void *operations, unsigned int count);
bool xen_rust_range_blockable(const struct mmu_notifier_range *range);
bool xen_rust_fatal_signal_pending(void);
void xen_rust_cond_resched(void);
void xen_rust_notify_remote(unsigned int port);
void xen_rust_init_delayed_work(struct delayed_work *work, work_func_t function);

#endif /* _XEN_RUST_HELPERS_H */
