// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints of gntdev, and shims over the static inlines that fire them.
 */

#include <linux/ktime.h>

#define CREATE_TRACE_POINTS
#include <trace/events/xen_gntdev.h>

#include "trace.h"

void xen_rust_trace_map(u64 index, unsigned int count, bool writable, int error)
{
	trace_xen_gntdev_map(index, count, writable, error);
}

void xen_rust_trace_unmap(unsigned int count, unsigned int refused, bool user)
{
	trace_xen_gntdev_unmap(count, refused, user);
}

void xen_rust_trace_defer(unsigned int count)
{
	trace_xen_gntdev_defer(count);
}

void xen_rust_trace_copy(unsigned int segments, unsigned int operations, unsigned int pages)
{
	trace_xen_gntdev_copy(segments, operations, pages);
}

void xen_rust_trace_notify_byte(u64 offset)
{
	trace_xen_gntdev_notify_byte(offset);
}

void xen_rust_trace_notify_event(unsigned int port)
{
	trace_xen_gntdev_notify_event(port);
}

void xen_rust_trace_dmabuf_export(unsigned int domain, unsigned int count, unsigned int flags,
				  unsigned int offset, int error)
{
	trace_xen_gntdev_dmabuf_export(domain, count, flags, offset, error);
}

void xen_rust_trace_dmabuf_release(unsigned int domain, unsigned int count)
{
	trace_xen_gntdev_dmabuf_release(domain, count);
}

void xen_rust_trace_dmabuf_import(unsigned int domain, unsigned int count, unsigned int offset,
				  int error)
{
	trace_xen_gntdev_dmabuf_import(domain, count, offset, error);
}

void xen_rust_trace_dmabuf_import_release(unsigned int domain, unsigned int count,
					  unsigned int mapped)
{
	trace_xen_gntdev_dmabuf_import_release(domain, count, mapped);
}

/* Returns 0 if the event is disabled, so that the clock is not read. */
u64 xen_rust_trace_hypercall_begin(void)
{
	return trace_xen_gntdev_hypercall_enabled() ? ktime_get_ns() : 0;
}

void xen_rust_trace_hypercall_end(u64 begin, unsigned int command, unsigned int count)
{
	if (begin)
		trace_xen_gntdev_hypercall(command, count, ktime_get_ns() - begin);
}
