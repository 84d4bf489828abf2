/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR MIT) */
/*
 * The forms of /dev/xen/gntdev's dma-buf ioctls that carry a data offset: where
 * in the buffer the data begin, in bytes from the start of the first page.
 *
 * As with the other forms, the number of an ioctl has the size of its structure
 * with one element of @refs, however many there are.
 */

#ifndef __LINUX_PUBLIC_GNTDEV_DMABUF_V2_H__
#define __LINUX_PUBLIC_GNTDEV_DMABUF_V2_H__

#include <linux/types.h>

/*
 * IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS with an offset. Devices see the buffer from
 * there on; @data_ofs must be below @count pages. The buffer begins with the
 * page that it is in: pages before that are not mapped.
 */
#define IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS_V2 \
	_IOC(_IOC_NONE, 'G', 13, \
	     sizeof(struct ioctl_gntdev_dmabuf_exp_from_refs_v2) + sizeof(__u32))
struct ioctl_gntdev_dmabuf_exp_from_refs_v2 {
	/* IN: GNTDEV_DMA_FLAG_XXX. */
	__u32 flags;
	/* IN: the number of elements of @refs. */
	__u32 count;
	/* IN: where the data begin, in bytes. */
	__u32 data_ofs;
	/* OUT: file descriptor of the dma-buf. */
	__u32 fd;
	/* IN: the domain that granted the pages. */
	__u32 domid;
	/* IN: the grant references. */
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
	/* IN: the number of pages of the buffer. */
	__u32 count;
	/* IN: the domain that the pages are granted to. */
	__u32 domid;
	/* Ignored. */
	__u32 reserved;
	/* OUT: where in the first page the data begin, in bytes. */
	__u32 data_ofs;
	/* OUT: the grant references. */
	__u32 refs[];
};

#endif /* __LINUX_PUBLIC_GNTDEV_DMABUF_V2_H__ */
