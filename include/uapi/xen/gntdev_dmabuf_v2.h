/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR MIT) */
/*
 * The forms of the dma-buf ioctls of /dev/xen/gntdev that carry a data offset:
 * the offset of the data in the buffer, in bytes from the start of the first
 * page.
 *
 * As with the other forms, the number of an ioctl contains the size of its
 * structure with one element of @refs, for any number of elements.
 */

#ifndef __LINUX_PUBLIC_GNTDEV_DMABUF_V2_H__
#define __LINUX_PUBLIC_GNTDEV_DMABUF_V2_H__

#include <linux/types.h>

/*
 * IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS with an offset. Devices see the buffer from
 * there on; @data_ofs must be below @count pages. The buffer begins with the
 * page that contains the offset: pages before that are not mapped.
 */
#define IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS_V2 \
	_IOC(_IOC_NONE, 'G', 13, \
	     sizeof(struct ioctl_gntdev_dmabuf_exp_from_refs_v2) + sizeof(__u32))
struct ioctl_gntdev_dmabuf_exp_from_refs_v2 {
	/* IN: GNTDEV_DMA_FLAG_XXX. */
	__u32 flags;
	/* IN: number of elements of @refs. */
	__u32 count;
	/* IN: offset of the data, in bytes. */
	__u32 data_ofs;
	/* OUT: file descriptor of the dma-buf. */
	__u32 fd;
	/* IN: domain that granted the pages. */
	__u32 domid;
	/* IN: grant references. */
	__u32 refs[];
};

/*
 * IOCTL_GNTDEV_DMABUF_IMP_TO_REFS for a buffer whose data need not begin at the
 * start of a page.
 */
#define IOCTL_GNTDEV_DMABUF_IMP_TO_REFS_V2 \
	_IOC(_IOC_NONE, 'G', 14, \
	     sizeof(struct ioctl_gntdev_dmabuf_imp_to_refs_v2) + sizeof(__u32))
struct ioctl_gntdev_dmabuf_imp_to_refs_v2 {
	/* IN: file descriptor of the dma-buf. */
	__u32 fd;
	/* IN: number of pages of the buffer. */
	__u32 count;
	/* IN: domain that the pages are granted to. */
	__u32 domid;
	/* Ignored. */
	__u32 reserved;
	/* OUT: offset of the data in the first page, in bytes. */
	__u32 data_ofs;
	/* OUT: grant references. */
	__u32 refs[];
};

#endif /* __LINUX_PUBLIC_GNTDEV_DMABUF_V2_H__ */
