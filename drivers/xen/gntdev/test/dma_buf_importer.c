// SPDX-License-Identifier: GPL-2.0
/*
 * Importer of dma-bufs for tests: a device that programs can have read and
 * write the memory of a dma-buf, by the DMA addresses that it was mapped at.
 *
 * /dev/xen-dma-buf-importer imports one dma-buf an open file:
 *
 *   ioctl(IMPORT, fd)    attaches the dma-buf
 *   ioctl(MAP, &map)     maps it for the device, in one of several slots
 *   ioctl(UNMAP, slot)   undoes that
 *   pread(), pwrite()    the device reads and writes; the upper half of the
 *                        offset is the slot
 *
 * Nothing is synchronized for the CPU on the way, as with a device that has no
 * part in its caches. With the slot IMPORTER_CPU the driver itself reads, by
 * dma_buf_vmap(). The device reaches 32 bits of addresses; booted with
 * swiotlb=force the kernel gives it bounce buffers for all memory.
 */

#include <linux/device/faux.h>
#include <linux/dma-buf.h>
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/iosys-map.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/swiotlb.h>
#include <linux/uaccess.h>
#include <xen/page.h>
#include <xen/xen.h>

/*
 * Request for a mapping in a slot. The driver sets flags to the properties of
 * the mapping, IMPORTER_BOUNCES and IMPORTER_ALIGNED.
 */
struct importer_map {
	__u32 slot;
	__u32 direction;
	__u32 flags;
};

#define IMPORTER_IMPORT	_IO('I', 0)
#define IMPORTER_MAP	_IOWR('I', 1, struct importer_map)
#define IMPORTER_UNMAP	_IO('I', 2)

/* All of the memory goes through bounce buffers. */
#define IMPORTER_BOUNCES	1
/* All addresses and lengths of the scatter list are multiples of the page size. */
#define IMPORTER_ALIGNED	2

#define IMPORTER_SLOTS	4
#define IMPORTER_CPU	0xff

struct importer_mapping {
	struct sg_table *table;
	enum dma_data_direction direction;
};

struct importer {
	/* Held by all operations, because the file may be shared. */
	struct mutex lock;
	struct dma_buf *buffer;
	struct dma_buf_attachment *attachment;
	struct importer_mapping mappings[IMPORTER_SLOTS];
};

static struct faux_device *importer_device;

/* Kernel address of the memory at the DMA address @address, or NULL. */
static void *importer_address(dma_addr_t address)
{
	unsigned long frame;

	if (!xen_pv_domain())
		return phys_to_virt(dma_to_phys(&importer_device->dev, address));
	frame = bfn_to_local_pfn(PHYS_PFN(address));
	return pfn_valid(frame) ? pfn_to_kaddr(frame) + offset_in_page(address) : NULL;
}

static bool importer_bounces(dma_addr_t address)
{
	void *bounce = importer_address(address);

	return bounce && swiotlb_find_pool(&importer_device->dev, virt_to_phys(bounce));
}

static __u32 importer_flags(struct sg_table *table)
{
	__u32 flags = IMPORTER_BOUNCES | IMPORTER_ALIGNED;
	struct scatterlist *entry;
	int i;

	for_each_sgtable_dma_sg(table, entry, i) {
		if (!importer_bounces(sg_dma_address(entry)))
			flags &= ~IMPORTER_BOUNCES;
		if (!PAGE_ALIGNED(sg_dma_address(entry) | sg_dma_len(entry)))
			flags &= ~IMPORTER_ALIGNED;
	}
	return flags;
}

static long importer_import(struct importer *importer, int fd)
{
	struct dma_buf_attachment *attachment;
	struct dma_buf *buffer;

	if (importer->attachment)
		return -EBUSY;
	buffer = dma_buf_get(fd);
	if (IS_ERR(buffer))
		return PTR_ERR(buffer);
	attachment = dma_buf_attach(buffer, &importer_device->dev);
	if (IS_ERR(attachment)) {
		dma_buf_put(buffer);
		return PTR_ERR(attachment);
	}
	importer->buffer = buffer;
	importer->attachment = attachment;
	return 0;
}

static long importer_map(struct importer *importer, struct importer_map __user *argument)
{
	struct importer_mapping *mapping;
	struct importer_map map;
	struct sg_table *table;

	if (copy_from_user(&map, argument, sizeof(map)))
		return -EFAULT;
	if (!importer->attachment || map.slot >= IMPORTER_SLOTS || map.direction >= DMA_NONE)
		return -EINVAL;
	mapping = &importer->mappings[map.slot];
	if (mapping->table)
		return -EEXIST;
	table = dma_buf_map_attachment_unlocked(importer->attachment, map.direction);
	if (IS_ERR(table))
		return PTR_ERR(table);
	mapping->table = table;
	mapping->direction = map.direction;
	map.flags = importer_flags(table);
	return copy_to_user(argument, &map, sizeof(map)) ? -EFAULT : 0;
}

static long importer_unmap(struct importer *importer, unsigned long slot)
{
	struct importer_mapping *mapping;

	if (slot >= IMPORTER_SLOTS || !importer->mappings[slot].table)
		return -EINVAL;
	mapping = &importer->mappings[slot];
	dma_buf_unmap_attachment_unlocked(importer->attachment, mapping->table, mapping->direction);
	mapping->table = NULL;
	return 0;
}

static long importer_ioctl(struct file *file, unsigned int request, unsigned long argument)
{
	struct importer *importer = file->private_data;

	guard(mutex)(&importer->lock);
	switch (request) {
	case IMPORTER_IMPORT:
		return importer_import(importer, argument);
	case IMPORTER_MAP:
		return importer_map(importer, (struct importer_map __user *)argument);
	case IMPORTER_UNMAP:
		return importer_unmap(importer, argument);
	default:
		return -ENOTTY;
	}
}

/*
 * Kernel address of the byte at @offset of the memory in @table, or NULL.
 * @length is set to the number of bytes that follow each other from it on.
 */
static void *importer_find(struct sg_table *table, size_t offset, size_t *length)
{
	struct scatterlist *entry;
	int i;

	for_each_sgtable_dma_sg(table, entry, i) {
		if (offset < sg_dma_len(entry)) {
			/* Not past a page, because the next one may be anywhere. */
			dma_addr_t address = sg_dma_address(entry) + offset;

			*length = min(sg_dma_len(entry) - offset,
				      PAGE_SIZE - offset_in_page(address));
			return importer_address(address);
		}
		offset -= sg_dma_len(entry);
	}
	return NULL;
}

static ssize_t importer_read_by_cpu(struct dma_buf *buffer, char __user *to, size_t count,
				    size_t offset)
{
	struct iosys_map map;
	ssize_t done;

	if (!buffer || offset > buffer->size)
		return -EINVAL;
	done = dma_buf_vmap_unlocked(buffer, &map);
	if (done)
		return done;
	done = min(count, buffer->size - offset);
	if (map.is_iomem || copy_to_user(to, map.vaddr + offset, done))
		done = -EFAULT;
	dma_buf_vunmap_unlocked(buffer, &map);
	return done;
}

static ssize_t importer_transfer(struct file *file, char __user *to, const char __user *from,
				 size_t count, loff_t position)
{
	struct importer *importer = file->private_data;
	u32 slot = upper_32_bits(position);
	size_t offset = lower_32_bits(position);
	size_t length, left, done = 0;
	void *address;

	guard(mutex)(&importer->lock);
	if (to && slot == IMPORTER_CPU)
		return importer_read_by_cpu(importer->buffer, to, count, offset);
	if (slot >= IMPORTER_SLOTS || !importer->mappings[slot].table)
		return -EINVAL;
	for (; done < count; done += length) {
		address = importer_find(importer->mappings[slot].table, offset + done, &length);
		if (!address)
			break;
		length = min(length, count - done);
		left = to ? copy_to_user(to + done, address, length)
			  : copy_from_user(address, from + done, length);
		if (left)
			return -EFAULT;
	}
	return done;
}

static ssize_t importer_read(struct file *file, char __user *to, size_t count, loff_t *position)
{
	return importer_transfer(file, to, NULL, count, *position);
}

static ssize_t importer_write(struct file *file, const char __user *from, size_t count,
			      loff_t *position)
{
	return importer_transfer(file, NULL, from, count, *position);
}

static int importer_open(struct inode *inode, struct file *file)
{
	struct importer *importer = kzalloc(sizeof(*importer), GFP_KERNEL);

	if (!importer)
		return -ENOMEM;
	mutex_init(&importer->lock);
	file->private_data = importer;
	return 0;
}

static int importer_release(struct inode *inode, struct file *file)
{
	struct importer *importer = file->private_data;
	unsigned long slot;

	for (slot = 0; slot < IMPORTER_SLOTS; slot++)
		importer_unmap(importer, slot);
	if (importer->attachment) {
		dma_buf_detach(importer->buffer, importer->attachment);
		dma_buf_put(importer->buffer);
	}
	kfree(importer);
	return 0;
}

static const struct file_operations importer_operations = {
	.owner = THIS_MODULE,
	.open = importer_open,
	.release = importer_release,
	.unlocked_ioctl = importer_ioctl,
	.read = importer_read,
	.write = importer_write,
};

static struct miscdevice importer_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "xen-dma-buf-importer",
	.fops = &importer_operations,
	.mode = 0600,
};

static int __init importer_init(void)
{
	int result;

	importer_device = faux_device_create("xen-dma-buf-importer", NULL, NULL);
	if (!importer_device)
		return -ENODEV;
	result = dma_coerce_mask_and_coherent(&importer_device->dev, DMA_BIT_MASK(32));
	if (!result)
		result = misc_register(&importer_misc);
	if (result)
		faux_device_destroy(importer_device);
	return result;
}
module_init(importer_init);

static void __exit importer_exit(void)
{
	misc_deregister(&importer_misc);
	faux_device_destroy(importer_device);
}
module_exit(importer_exit);

MODULE_DESCRIPTION("Importer of dma-bufs for tests");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
