// SPDX-License-Identifier: GPL-2.0
/*
 * Shims over static inlines and macros that bindgen cannot call.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/dma-buf.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/vmalloc.h>
#include <xen/events.h>
#include <xen/interface/grant_table.h>
#include <xen/interface/xen.h>
#include <xen/page.h>
#include <xen/xen.h>
#include <asm/xen/hypercall.h>
#ifdef CONFIG_X86
#include <asm/cpuid/api.h>
#include <asm/xen/cpuid.h>
#include <asm/xen/hypervisor.h>
#endif

#include "call_failure.h"
#include "helpers.h"

/* SERIES 7.2/7.3: the place of this in a Rust crate differs. */
struct module *xen_rust_this_module(void)
{
	return THIS_MODULE;
}

bool xen_rust_domain(void)
{
	return xen_domain();
}

bool xen_rust_pv_domain(void)
{
	return xen_pv_domain();
}

domid_t xen_rust_unmappable_domid(void)
{
#ifdef CONFIG_X86
	if (!xen_pv_domain()) {
		u32 base = xen_cpuid_base();
		u32 leaf = base + 4;

		if (cpuid_eax(base) >= leaf && (cpuid_eax(leaf) & XEN_HVM_CPUID_DOMID_PRESENT))
			return cpuid_ecx(leaf);
		return DOMID_SELF;
	}
#endif
	return DOMID_INVALID;
}

void xen_rust_report_own_grant(domid_t domain)
{
	pr_warn_ratelimited("%s (%d) maps a grant of this domain (%u): not supported here\n",
			    current->comm, task_pid_nr(current), domain);
}

void xen_rust_report_refused_unmaps(unsigned int count, grant_handle_t first, s16 status)
{
	pr_err_ratelimited("Xen refused to unmap %u grants, the first with handle %u: status %d\n",
			   count, first, status);
}

unsigned long xen_rust_page_address(struct page *page)
{
	return (unsigned long)pfn_to_kaddr(page_to_pfn(page));
}

phys_addr_t xen_rust_page_physical(struct page *page)
{
	return page_to_phys(page);
}

u64 xen_rust_page_gfn(struct page *page)
{
	return xen_page_to_gfn(page);
}

int xen_rust_page_count(struct page *page)
{
	return page_count(page);
}

void xen_rust_clear_page_private(struct page *page)
{
	set_page_private(page, 0);
}

u64 xen_rust_pte_machine_address(pte_t *pte)
{
	return arbitrary_virt_to_machine(pte).maddr;
}

int xen_rust_grant_table_op(unsigned int command, void *operations, unsigned int count)
{
	if (xen_rust_call_fails())
		return -EFAULT;
	return HYPERVISOR_grant_table_op(command, operations, count);
}

bool xen_rust_range_blockable(const struct mmu_notifier_range *range)
{
	return mmu_notifier_range_blockable(range);
}

void xen_rust_interval_set_seq(struct mmu_interval_notifier *notifier, unsigned long sequence)
{
	mmu_interval_set_seq(notifier, sequence);
}

bool xen_rust_interval_read_retry(struct mmu_interval_notifier *notifier, unsigned long sequence)
{
	return mmu_interval_read_retry(notifier, sequence);
}

bool xen_rust_fault_is_write(const struct vm_fault *fault)
{
	return fault->flags & FAULT_FLAG_WRITE;
}

/*
 * Without lockdep the kernel has no function that answers instead of warning.
 * The answer is exact for a caller that holds the lock in either way.
 */
bool xen_rust_mmap_write_locked(const struct mm_struct *mm)
{
#ifdef CONFIG_PREEMPT_RT
	return rw_base_is_write_locked(&mm->mmap_lock.rwbase);
#else
	return atomic_long_read(&mm->mmap_lock.count) & RWSEM_WRITER_LOCKED;
#endif
}

bool xen_rust_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

void xen_rust_cond_resched(void)
{
	cond_resched();
}

void xen_rust_notify_remote(unsigned int port)
{
	notify_remote_via_evtchn(port);
}

/*
 * All callers share one lock class: both works of the module are alike.
 */
void xen_rust_init_delayed_work(struct delayed_work *work, work_func_t function)
{
	INIT_DELAYED_WORK(work, function);
}

int xen_rust_set_dma_mask(struct device *device)
{
	return dma_coerce_mask_and_coherent(device, DMA_BIT_MASK(64));
}

bool xen_rust_dma_coherent(struct device *device)
{
	return dev_is_dma_coherent(device);
}

void xen_rust_set_dma_ops(struct device *device, const struct dma_map_ops *operations)
{
	set_dma_ops(device, operations);
}

struct page *xen_rust_address_to_page(const void *address)
{
	return is_vmalloc_addr(address) ? vmalloc_to_page(address) : virt_to_page(address);
}

void xen_rust_flush_translations(void)
{
#ifdef CONFIG_XEN_PV
	struct mmuext_op flush = { .cmd = MMUEXT_TLB_FLUSH_ALL };

	if (xen_pv_domain())
		WARN_ON(HYPERVISOR_mmuext_op(&flush, 1, NULL, DOMID_SELF));
#endif
}

/* The kernel passes over a sparse range when /proc/kcore is read. */
void *xen_rust_vmap(struct page **pages, unsigned int count, bool sparse)
{
	return vmap(pages, count, sparse ? VM_SPARSE : VM_MAP, PAGE_KERNEL);
}

/*
 * Both functions return the next entry: they are called for each page of a
 * buffer, and a second call for each would take measurable time.
 */
struct scatterlist *xen_rust_sg_read_dma(struct scatterlist *entry, u64 *address,
					 unsigned int *length)
{
	*address = sg_dma_address(entry);
	*length = sg_dma_len(entry);
	return sg_next(entry);
}

struct scatterlist *xen_rust_sg_map_physical(struct scatterlist *entry)
{
	sg_dma_address(entry) = sg_phys(entry);
	sg_dma_len(entry) = entry->length;
	return sg_next(entry);
}

void xen_rust_sync_for_cpu(struct device *device, struct sg_table *table,
			   enum dma_data_direction direction)
{
	dma_sync_sgtable_for_cpu(device, table, direction);
}

void xen_rust_sync_for_device(struct device *device, struct sg_table *table,
			      enum dma_data_direction direction)
{
	dma_sync_sgtable_for_device(device, table, direction);
}

/*
 * As the framework waits before a CPU accesses a buffer: for devices that
 * write, and for all devices if the CPU is to write.
 */
int xen_rust_wait_for_fences(struct dma_buf *buffer, enum dma_data_direction access)
{
	bool write = access == DMA_BIDIRECTIONAL || access == DMA_TO_DEVICE;
	long left = dma_resv_wait_timeout(buffer->resv, dma_resv_usage_rw(write), true,
					  MAX_SCHEDULE_TIMEOUT);

	return left < 0 ? left : 0;
}

bool xen_rust_frames_valid(u64 first, u64 end)
{
	u64 frame = first;

	while (frame < end) {
		if (!pfn_valid(frame))
			return false;
#ifdef CONFIG_SPARSEMEM
		/* Either all frames of a subsection are valid or none. */
		frame = ALIGN(frame + 1, PAGES_PER_SUBSECTION);
#else
		frame++;
#endif
	}
	return true;
}

u64 xen_rust_frame_gfn(u64 frame)
{
	return pfn_to_gfn(frame);
}

static DEFINE_PER_CPU(long[XEN_RUST_TOTALS], xen_rust_totals);

void xen_rust_change_total(unsigned int total, long difference)
{
	this_cpu_add(xen_rust_totals[total], difference);
}

long xen_rust_total(unsigned int total)
{
	long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(xen_rust_totals, cpu)[total]);
	return sum;
}

static int xen_rust_debugfs_open(struct inode *inode, struct file *file)
{
	return single_open(file, inode->i_private, NULL);
}

static const struct file_operations xen_rust_debugfs_operations = {
	.owner = THIS_MODULE,
	.open = xen_rust_debugfs_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = single_release,
};

/*
 * Returns the entry to remove later: the file, or the folder if this function
 * made it. An error of the folder becomes one of the file.
 */
struct dentry *xen_rust_debugfs_create_file(const char *folder, const char *name,
					    int (*show)(struct seq_file *seq, void *unused))
{
	struct dentry *existing = debugfs_lookup(folder, NULL);
	struct dentry *parent = existing;
	struct dentry *file;

	if (IS_ERR_OR_NULL(existing))
		parent = debugfs_create_dir(folder, NULL);
	file = debugfs_create_file(name, 0444, parent, show, &xen_rust_debugfs_operations);
	if (IS_ERR_OR_NULL(existing))
		return parent;
	dput(existing);
	return file;
}

void xen_rust_debugfs_remove(struct dentry *entry)
{
	debugfs_remove(entry);
}
