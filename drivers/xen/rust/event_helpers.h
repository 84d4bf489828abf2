/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shims for the port operations of event channels.
 */

#ifndef _XEN_RUST_EVENT_HELPERS_H
#define _XEN_RUST_EVENT_HELPERS_H

#include <linux/types.h>
#include <xen/interface/event_channel.h>

/* The C implementation, which has another name while the Rust one is built in. */
int xen_evtchn_fifo_c_init(void);

int xen_rust_init_control(void *control_block, unsigned int cpu);
int xen_rust_expand_array(void *event_words);
int xen_rust_unmask(evtchn_port_t port);
void xen_rust_relink(evtchn_port_t port);

#ifdef CONFIG_FAULT_INJECTION
/* True if a test has no page be there for the event array. Any context. */
bool xen_rust_page_fails(void);
#endif

/* A page of zeroes, or NULL. Any context but that of an interrupt. */
void *xen_rust_page_nolock(void);
/* Fills the reserve of pages for the event array, in Rust. May sleep. */
void xen_rust_fill_page_reserve(void);
/* Schedules the work item that fills the reserve. Any context. */
void xen_rust_schedule_page_reserve(void);

unsigned long xen_rust_lock_event_array(void);
void xen_rust_unlock_event_array(unsigned long flags);

#endif /* _XEN_RUST_EVENT_HELPERS_H */
