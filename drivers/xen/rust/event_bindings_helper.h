/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Input of bindgen for the bindings of the port operations of event channels.
 */

#include <linux/types.h>
#include <xen/interface/event_channel.h>

#include "../events/events_internal.h"
#include "event_helpers.h"
