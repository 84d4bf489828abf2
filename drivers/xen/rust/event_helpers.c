// SPDX-License-Identifier: GPL-2.0
/*
 * Shims over static inlines and macros that bindgen cannot call, for the port
 * operations of event channels.
 */

#include <xen/page.h>
#include <xen/xen.h>
#include <xen/xen-ops.h>
#include <asm/xen/hypercall.h>

#include "event_helpers.h"

int xen_rust_init_control(void *control_block, unsigned int cpu)
{
	struct evtchn_init_control operation = {
		.control_gfn = virt_to_gfn(control_block),
		.vcpu = xen_vcpu_nr(cpu),
	};

	return HYPERVISOR_event_channel_op(EVTCHNOP_init_control, &operation);
}

int xen_rust_expand_array(void *event_words)
{
	struct evtchn_expand_array operation = {
		.array_gfn = virt_to_gfn(event_words),
	};

	return HYPERVISOR_event_channel_op(EVTCHNOP_expand_array, &operation);
}

int xen_rust_unmask(evtchn_port_t port)
{
	struct evtchn_unmask operation = { .port = port };

	return HYPERVISOR_event_channel_op(EVTCHNOP_unmask, &operation);
}
