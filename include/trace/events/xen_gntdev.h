/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM xen_gntdev

#if !defined(_TRACE_XEN_GNTDEV_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_XEN_GNTDEV_H

#include <linux/tracepoint.h>

/* A region was mapped, or not if @error is set. */
TRACE_EVENT(xen_gntdev_map,
	TP_PROTO(u64 index, unsigned int count, bool writable, int error),
	TP_ARGS(index, count, writable, error),
	TP_STRUCT__entry(
		__field(u64, index)
		__field(unsigned int, count)
		__field(bool, writable)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->index = index;
		__entry->count = count;
		__entry->writable = writable;
		__entry->error = error;
	),
	TP_printk("index=%#llx count=%u writable=%d error=%d",
		  __entry->index, __entry->count, __entry->writable, __entry->error)
);

/* Grants were unmapped, except @refused ones that the hypervisor refused. */
TRACE_EVENT(xen_gntdev_unmap,
	TP_PROTO(unsigned int count, unsigned int refused, bool user),
	TP_ARGS(count, refused, user),
	TP_STRUCT__entry(
		__field(unsigned int, count)
		__field(unsigned int, refused)
		__field(bool, user)
	),
	TP_fast_assign(
		__entry->count = count;
		__entry->refused = refused;
		__entry->user = user;
	),
	TP_printk("count=%u refused=%u at=%s", __entry->count, __entry->refused,
		  __entry->user ? "process" : "kernel")
);

/* The unmapping of @count frames is deferred: some are still referenced. */
TRACE_EVENT(xen_gntdev_defer,
	TP_PROTO(unsigned int count),
	TP_ARGS(count),
	TP_STRUCT__entry(
		__field(unsigned int, count)
	),
	TP_fast_assign(
		__entry->count = count;
	),
	TP_printk("count=%u", __entry->count)
);

/* A batch of segments was copied. */
TRACE_EVENT(xen_gntdev_copy,
	TP_PROTO(unsigned int segments, unsigned int operations, unsigned int pages),
	TP_ARGS(segments, operations, pages),
	TP_STRUCT__entry(
		__field(unsigned int, segments)
		__field(unsigned int, operations)
		__field(unsigned int, pages)
	),
	TP_fast_assign(
		__entry->segments = segments;
		__entry->operations = operations;
		__entry->pages = pages;
	),
	TP_printk("segments=%u operations=%u pages=%u",
		  __entry->segments, __entry->operations, __entry->pages)
);

/* The peer was notified of an unmap: by a cleared byte, or by an event. */
TRACE_EVENT(xen_gntdev_notify_byte,
	TP_PROTO(u64 offset),
	TP_ARGS(offset),
	TP_STRUCT__entry(
		__field(u64, offset)
	),
	TP_fast_assign(
		__entry->offset = offset;
	),
	TP_printk("offset=%#llx", __entry->offset)
);

TRACE_EVENT(xen_gntdev_notify_event,
	TP_PROTO(unsigned int port),
	TP_ARGS(port),
	TP_STRUCT__entry(
		__field(unsigned int, port)
	),
	TP_fast_assign(
		__entry->port = port;
	),
	TP_printk("port=%u", __entry->port)
);

/* Grants of @domain were exported as a dma-buf, or not if @error is set. */
TRACE_EVENT(xen_gntdev_dmabuf_export,
	TP_PROTO(unsigned int domain, unsigned int count, unsigned int flags,
		 unsigned int offset, int error),
	TP_ARGS(domain, count, flags, offset, error),
	TP_STRUCT__entry(
		__field(unsigned int, domain)
		__field(unsigned int, count)
		__field(unsigned int, flags)
		__field(unsigned int, offset)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->domain = domain;
		__entry->count = count;
		__entry->flags = flags;
		__entry->offset = offset;
		__entry->error = error;
	),
	TP_printk("domain=%u count=%u flags=%#x offset=%#x error=%d", __entry->domain,
		  __entry->count, __entry->flags, __entry->offset, __entry->error)
);

/* An exported dma-buf has no users left: its grants will be unmapped. */
TRACE_EVENT(xen_gntdev_dmabuf_release,
	TP_PROTO(unsigned int domain, unsigned int count),
	TP_ARGS(domain, count),
	TP_STRUCT__entry(
		__field(unsigned int, domain)
		__field(unsigned int, count)
	),
	TP_fast_assign(
		__entry->domain = domain;
		__entry->count = count;
	),
	TP_printk("domain=%u count=%u", __entry->domain, __entry->count)
);

/* The pages of a dma-buf were granted to @domain, or not if @error is set. */
TRACE_EVENT(xen_gntdev_dmabuf_import,
	TP_PROTO(unsigned int domain, unsigned int count, unsigned int offset, int error),
	TP_ARGS(domain, count, offset, error),
	TP_STRUCT__entry(
		__field(unsigned int, domain)
		__field(unsigned int, count)
		__field(unsigned int, offset)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->domain = domain;
		__entry->count = count;
		__entry->offset = offset;
		__entry->error = error;
	),
	TP_printk("domain=%u count=%u offset=%#x error=%d", __entry->domain,
		  __entry->count, __entry->offset, __entry->error)
);

/* The grants of an import were revoked; @domain has @mapped still mapped. */
TRACE_EVENT(xen_gntdev_dmabuf_import_release,
	TP_PROTO(unsigned int domain, unsigned int count, unsigned int mapped),
	TP_ARGS(domain, count, mapped),
	TP_STRUCT__entry(
		__field(unsigned int, domain)
		__field(unsigned int, count)
		__field(unsigned int, mapped)
	),
	TP_fast_assign(
		__entry->domain = domain;
		__entry->count = count;
		__entry->mapped = mapped;
	),
	TP_printk("domain=%u count=%u mapped=%u", __entry->domain, __entry->count,
		  __entry->mapped)
);

/* Time in the kernel's grant table functions, most of it in the hypercall. */
TRACE_EVENT(xen_gntdev_hypercall,
	TP_PROTO(unsigned int command, unsigned int count, u64 nanoseconds),
	TP_ARGS(command, count, nanoseconds),
	TP_STRUCT__entry(
		__field(unsigned int, command)
		__field(unsigned int, count)
		__field(u64, nanoseconds)
	),
	TP_fast_assign(
		__entry->command = command;
		__entry->count = count;
		__entry->nanoseconds = nanoseconds;
	),
	TP_printk("command=%u count=%u nanoseconds=%llu",
		  __entry->command, __entry->count, __entry->nanoseconds)
);

#endif /* _TRACE_XEN_GNTDEV_H */

#include <trace/define_trace.h>
