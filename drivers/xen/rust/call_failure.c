// SPDX-License-Identifier: GPL-2.0
/*
 * Functions of the grant table and of memory reservations that a test can have
 * fail. Only in a kernel with CONFIG_FAULT_INJECTION.
 */

#include <linux/errno.h>
#include <xen/grant_table.h>
#include <xen/mem-reservation.h>
#include <xen/xen.h>

#include "call_failure.h"

/*
 * The hypercall fails. In a PV domain memory for the machine frame of one page
 * may be missing: its grant alone is refused then.
 */
int xen_rust_gnttab_map_refs(struct gnttab_map_grant_ref *map_ops,
			     struct gnttab_map_grant_ref *kmap_ops,
			     struct page **pages, unsigned int count)
{
	if (xen_rust_call_fails())
		return -EFAULT;
	if (xen_pv_domain() && xen_rust_call_fails()) {
		map_ops->status = GNTST_general_error;
		if (count == 1)
			return 0;
		return gnttab_map_refs(map_ops + 1, kmap_ops ? kmap_ops + 1 : NULL,
				       pages + 1, count - 1);
	}
	return gnttab_map_refs(map_ops, kmap_ops, pages, count);
}

int xen_rust_gnttab_unmap_refs(struct gnttab_unmap_grant_ref *unmap_ops,
			       struct gnttab_unmap_grant_ref *kunmap_ops,
			       struct page **pages, unsigned int count)
{
	if (xen_rust_call_fails())
		return -EFAULT;
	return gnttab_unmap_refs(unmap_ops, kunmap_ops, pages, count);
}

/* Most calls take pages from a pool, and allocate nothing that could fail. */
int xen_rust_gnttab_alloc_pages(int nr_pages, struct page **pages)
{
	if (xen_rust_call_fails())
		return -ENOMEM;
	return gnttab_alloc_pages(nr_pages, pages);
}

int xen_rust_gnttab_alloc_grant_references(u16 count, grant_ref_t *pprivate_head)
{
	if (xen_rust_call_fails())
		return -ENOSPC;
	return gnttab_alloc_grant_references(count, pprivate_head);
}

/* These two return the number of frames that the hypervisor has taken or given. */

int xen_rust_xenmem_reservation_increase(int count, xen_pfn_t *frames)
{
	if (xen_rust_call_fails())
		return 0;
	return xenmem_reservation_increase(count, frames);
}

int xen_rust_xenmem_reservation_decrease(int count, xen_pfn_t *frames)
{
	if (xen_rust_call_fails())
		return 0;
	return xenmem_reservation_decrease(count, frames);
}
