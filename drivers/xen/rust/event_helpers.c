// SPDX-License-Identifier: GPL-2.0
/*
 * Shims over static inlines and macros that bindgen cannot call, for the port
 * operations of event channels.
 */

#include <linux/cleanup.h>
#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/mm.h>
#include <linux/numa.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <xen/events.h>
#include <xen/page.h>
#include <xen/xen.h>
#include <xen/xen-ops.h>
#include <asm/xen/hypercall.h>

#include "../events/events_internal.h"
#include "call_failure.h"
#include "event_helpers.h"

int xen_rust_init_control(void *control_block, unsigned int cpu)
{
	struct evtchn_init_control operation = {
		.control_gfn = virt_to_gfn(control_block),
		.vcpu = xen_vcpu_nr(cpu),
	};

	if (xen_rust_call_fails())
		return -ENOMEM;
	return HYPERVISOR_event_channel_op(EVTCHNOP_init_control, &operation);
}

int xen_rust_expand_array(void *event_words)
{
	struct evtchn_expand_array operation = {
		.array_gfn = virt_to_gfn(event_words),
	};

	if (xen_rust_call_fails())
		return -ENOMEM;
	return HYPERVISOR_event_channel_op(EVTCHNOP_expand_array, &operation);
}

int xen_rust_unmask(evtchn_port_t port)
{
	struct evtchn_unmask operation = { .port = port };

	return HYPERVISOR_event_channel_op(EVTCHNOP_unmask, &operation);
}

/*
 * Has the hypervisor look at a pending event of an interrupt once more, and put
 * it into the queue of the vCPU that it is bound to now.
 *
 * The event may be masked for reasons that only events_base.c knows, and may be
 * in delivery on that vCPU. So this uses the operation that moves the interrupt
 * to another CPU, here to the one where it already is: with the descriptor
 * locked, it masks and unmasks the event, the latter only if no other reason is
 * left.
 *
 * do_mask() and do_unmask() with EVT_MASK_REASON_TEMPORARY are all of it that
 * is needed, but they are private to events_base.c, which is not changed.
 * irq_retrigger() calls them too, but makes an event pending that the handler
 * may have acknowledged meanwhile. irq_set_affinity() would count as a choice
 * of the user, and disable_irq() must not race with free_irq().
 */
void xen_rust_relink(evtchn_port_t port)
{
	struct irq_chip *chip;
	struct irq_desc *desc;
	unsigned int cpu;

	/* Both the port's interrupt and its descriptor are freed by RCU. */
	guard(rcu)();
	desc = irq_to_desc(irq_from_evtchn(port));
	if (!desc)
		return;
	guard(raw_spinlock_irqsave)(&desc->lock);
	/* Another interrupt may have taken over the descriptor. */
	if (irq_from_evtchn(port) != irq_desc_get_irq(desc))
		return;
	cpu = cpu_from_evtchn(port);
	chip = irq_desc_get_chip(desc);
	/* Timers and IPIs cannot be moved; those of a dead CPU end with it. */
	if (cpu_online(cpu) && chip->irq_set_affinity)
		chip->irq_set_affinity(irq_desc_get_irq_data(desc),
				       cpumask_of(cpu), false);
}

#ifdef CONFIG_FAULT_INJECTION
/* The kernel injects no failure into allocations that take no lock. */
bool xen_rust_page_fails(void)
{
	return xen_rust_call_fails();
}
#endif

/*
 * A page of zeroes, or NULL. Unlike GFP_ATOMIC this is allowed under a raw
 * spinlock with PREEMPT_RT, too; it gives up if it would have to wait.
 */
void *xen_rust_page_nolock(void)
{
	struct page *page = alloc_pages_nolock(0, NUMA_NO_NODE, 0);

	return page ? page_address(page) : NULL;
}

static void fill_page_reserve(struct work_struct *work)
{
	xen_rust_fill_page_reserve();
}

static DECLARE_WORK(page_reserve_work, fill_page_reserve);

void xen_rust_schedule_page_reserve(void)
{
	schedule_work(&page_reserve_work);
}

/* Ports are set up with the lock of all bindings held, or that of a descriptor. */
static DEFINE_RAW_SPINLOCK(event_array_lock);

unsigned long xen_rust_lock_event_array(void)
	__acquires(&event_array_lock)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&event_array_lock, flags);
	return flags;
}

void xen_rust_unlock_event_array(unsigned long flags)
	__releases(&event_array_lock)
{
	raw_spin_unlock_irqrestore(&event_array_lock, flags);
}
