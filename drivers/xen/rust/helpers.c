// SPDX-License-Identifier: GPL-2.0
/*
 * Shims over static inlines and macros that bindgen cannot call.
 */

#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <xen/events.h>
#include <xen/interface/grant_table.h>
#include <xen/page.h>
#include <xen/xen.h>
#include <asm/xen/hypercall.h>
#include <asm/xen/page.h>

#include "helpers.h"

bool xen_rust_domain(void)
{
	return xen_domain();
}

bool xen_rust_pv_domain(void)
{
	return xen_pv_domain();
}

unsigned long xen_rust_page_address(struct page *page)
{
	return (unsigned long)pfn_to_kaddr(page_to_pfn(page));
}

phys_addr_t xen_rust_page_physical(struct page *page)
{
	return page_to_phys(page);
}

u64 xen_rust_page_gfn(struct page *page)
{
	return xen_page_to_gfn(page);
}

int xen_rust_page_count(struct page *page)
{
	return page_count(page);
}

u64 xen_rust_pte_machine_address(pte_t *pte)
{
	return arbitrary_virt_to_machine(pte).maddr;
}

int xen_rust_grant_table_op(unsigned int command, void *operations, unsigned int count)
{
	return HYPERVISOR_grant_table_op(command, operations, count);
}

bool xen_rust_range_blockable(const struct mmu_notifier_range *range)
{
	return mmu_notifier_range_blockable(range);
}

bool xen_rust_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

void xen_rust_cond_resched(void)
{
	cond_resched();
}

void xen_rust_notify_remote(unsigned int port)
{
	notify_remote_via_evtchn(port);
}

/*
 * The lock class of the work is one for all callers: there is one deferred
 * unmap work in the module.
 */
void xen_rust_init_delayed_work(struct delayed_work *work, work_func_t function)
{
	INIT_DELAYED_WORK(work, function);
}
