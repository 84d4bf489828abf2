/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Input of bindgen for the bindings that the kernel crate lacks: Xen's public
 * interface, the grant table API, MMU interval notifiers, the gntdev UAPI, and
 * the shims of this folder.
 */

#include <linux/dma-buf.h>
#include <linux/dma-map-ops.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/poll.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#include <xen/events.h>
#include <xen/grant_table.h>
#include <xen/interface/grant_table.h>
#include <xen/mem-reservation.h>
#include <uapi/xen/gntdev.h>
#include <uapi/xen/gntdev_dmabuf_v2.h>

#include "call_failure.h"
#include "helpers.h"
#include "trace.h"

/*
 * bindgen cannot evaluate function-like macros. A constant makes the compiler
 * do it; the build strips the prefix from the generated name.
 */
const __u32 RUST_CONST_HELPER_IOCTL_GNTDEV_MAP_GRANT_REF = IOCTL_GNTDEV_MAP_GRANT_REF;
const __u32 RUST_CONST_HELPER_IOCTL_GNTDEV_UNMAP_GRANT_REF = IOCTL_GNTDEV_UNMAP_GRANT_REF;
const __u32 RUST_CONST_HELPER_IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR =
	IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR;
const __u32 RUST_CONST_HELPER_IOCTL_GNTDEV_SET_UNMAP_NOTIFY = IOCTL_GNTDEV_SET_UNMAP_NOTIFY;
const __u32 RUST_CONST_HELPER_IOCTL_GNTDEV_GRANT_COPY = IOCTL_GNTDEV_GRANT_COPY;
const __u32 RUST_CONST_HELPER_IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS =
	IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS;
const __u32 RUST_CONST_HELPER_IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED =
	IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED;
const __u32 RUST_CONST_HELPER_IOCTL_GNTDEV_DMABUF_IMP_TO_REFS =
	IOCTL_GNTDEV_DMABUF_IMP_TO_REFS;
const __u32 RUST_CONST_HELPER_IOCTL_GNTDEV_DMABUF_IMP_RELEASE =
	IOCTL_GNTDEV_DMABUF_IMP_RELEASE;
const __u32 RUST_CONST_HELPER_IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS_V2 =
	IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS_V2;
const __u32 RUST_CONST_HELPER_IOCTL_GNTDEV_DMABUF_IMP_TO_REFS_V2 =
	IOCTL_GNTDEV_DMABUF_IMP_TO_REFS_V2;
const __u32 RUST_CONST_HELPER_EPOLLIN = (__force __u32)EPOLLIN;
const __u32 RUST_CONST_HELPER_EPOLLRDNORM = (__force __u32)EPOLLRDNORM;
const __u32 RUST_CONST_HELPER_EPOLLERR = (__force __u32)EPOLLERR;
/* SERIES 7.2/7.3: the enumeration is an integer in Rust, or a structure around one. */
const int RUST_CONST_HELPER_DMA_BIDIRECTIONAL = DMA_BIDIRECTIONAL;
const int RUST_CONST_HELPER_DMA_TO_DEVICE = DMA_TO_DEVICE;
const int RUST_CONST_HELPER_DMA_FROM_DEVICE = DMA_FROM_DEVICE;
const __u32 RUST_CONST_HELPER_FOLL_WRITE = FOLL_WRITE;
const __u32 RUST_CONST_HELPER_VM_FAULT_OOM = (__force __u32)VM_FAULT_OOM;
const __u32 RUST_CONST_HELPER_VM_FAULT_SIGBUS = (__force __u32)VM_FAULT_SIGBUS;
const __u32 RUST_CONST_HELPER_VM_FAULT_NOPAGE = (__force __u32)VM_FAULT_NOPAGE;
const grant_handle_t RUST_CONST_HELPER_INVALID_GRANT_HANDLE = INVALID_GRANT_HANDLE;
