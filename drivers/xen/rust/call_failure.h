/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Injected failures of calls of the hypervisor and of the grant table, which
 * none of the kernel's fault injection capabilities reaches.
 */

#ifndef _XEN_RUST_CALL_FAILURE_H
#define _XEN_RUST_CALL_FAILURE_H

#include <linux/atomic.h>
#include <linux/fault-inject.h>
#include <linux/limits.h>
#include <linux/types.h>
#include <xen/grant_table.h>
#include <xen/interface/xen.h>

#ifdef CONFIG_FAULT_INJECTION

/*
 * Returns true if the caller is to return an error instead of making a call.
 *
 * The probability of a failure is 0: only /proc/PID/task/TID/fail-nth causes
 * one, whose count a call shares with the allocations of the same task. Unlike
 * the default, a failure is not reported in the log.
 */
static inline bool xen_rust_call_fails(void)
{
	static struct fault_attr calls = {
		.times = ATOMIC_INIT(-1),
		.require_end = ULONG_MAX,
	};

	return should_fail(&calls, 1);
}

/*
 * The functions of <xen/grant_table.h> and <xen/mem-reservation.h> that have
 * these names without "xen_rust_", unless they are to fail.
 */
int xen_rust_gnttab_map_refs(struct gnttab_map_grant_ref *map_ops,
			     struct gnttab_map_grant_ref *kmap_ops,
			     struct page **pages, unsigned int count);
int xen_rust_gnttab_unmap_refs(struct gnttab_unmap_grant_ref *unmap_ops,
			       struct gnttab_unmap_grant_ref *kunmap_ops,
			       struct page **pages, unsigned int count);
int xen_rust_gnttab_alloc_pages(int nr_pages, struct page **pages);
int xen_rust_gnttab_alloc_grant_references(u16 count, grant_ref_t *pprivate_head);
int xen_rust_xenmem_reservation_increase(int count, xen_pfn_t *frames);
int xen_rust_xenmem_reservation_decrease(int count, xen_pfn_t *frames);

#else

static inline bool xen_rust_call_fails(void)
{
	return false;
}

#endif /* CONFIG_FAULT_INJECTION */

#endif /* _XEN_RUST_CALL_FAILURE_H */
