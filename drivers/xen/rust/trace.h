/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shims over the tracepoints of gntdev.
 */

#ifndef _XEN_RUST_TRACE_H
#define _XEN_RUST_TRACE_H

#include <linux/types.h>

void xen_rust_trace_map(u64 index, unsigned int count, bool writable, int error);
void xen_rust_trace_unmap(unsigned int count, unsigned int refused, bool user);
void xen_rust_trace_defer(unsigned int count);
void xen_rust_trace_copy(unsigned int segments, unsigned int operations, unsigned int pages);
void xen_rust_trace_notify_byte(u64 offset);
void xen_rust_trace_notify_event(unsigned int port);
void xen_rust_trace_dmabuf_export(unsigned int domain, unsigned int count, unsigned int flags,
				  unsigned int offset, int error);
void xen_rust_trace_dmabuf_release(unsigned int domain, unsigned int count);
void xen_rust_trace_dmabuf_import(unsigned int domain, unsigned int count, unsigned int offset,
				  int error);
void xen_rust_trace_dmabuf_import_release(unsigned int domain, unsigned int count,
					  unsigned int mapped);
u64 xen_rust_trace_hypercall_begin(void);
void xen_rust_trace_hypercall_end(u64 begin, unsigned int command, unsigned int count);

#endif /* _XEN_RUST_TRACE_H */
