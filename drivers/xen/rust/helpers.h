/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shims over static inlines and macros that bindgen cannot call.
 */

#ifndef _XEN_RUST_HELPERS_H
#define _XEN_RUST_HELPERS_H

#include <linux/dma-direction.h>
#include <linux/mm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <xen/interface/grant_table.h>
#include <xen/interface/xen.h>

struct dentry;
struct device;
struct dma_buf;
struct dma_map_ops;
struct module;
struct page;
struct scatterlist;
struct seq_file;
struct sg_table;
struct vm_fault;

/* Number of totals that there is room for. */
#define XEN_RUST_TOTALS 16

struct module *xen_rust_this_module(void);
bool xen_rust_domain(void);
bool xen_rust_pv_domain(void);
domid_t xen_rust_unmappable_domid(void);
void xen_rust_report_own_grant(domid_t domain);
void xen_rust_report_refused_unmaps(unsigned int count, grant_handle_t first, s16 status);
unsigned long xen_rust_page_address(struct page *page);
phys_addr_t xen_rust_page_physical(struct page *page);
u64 xen_rust_page_gfn(struct page *page);
int xen_rust_page_count(struct page *page);
void xen_rust_clear_page_private(struct page *page);
u64 xen_rust_pte_machine_address(pte_t *pte);
int xen_rust_grant_table_op(unsigned int command, void *operations, unsigned int count);
bool xen_rust_range_blockable(const struct mmu_notifier_range *range);
void xen_rust_interval_set_seq(struct mmu_interval_notifier *notifier, unsigned long sequence);
bool xen_rust_interval_read_retry(struct mmu_interval_notifier *notifier, unsigned long sequence);
bool xen_rust_fault_is_write(const struct vm_fault *fault);
bool xen_rust_mmap_write_locked(const struct mm_struct *mm);
bool xen_rust_fatal_signal_pending(void);
void xen_rust_cond_resched(void);
void xen_rust_notify_remote(unsigned int port);
void xen_rust_init_delayed_work(struct delayed_work *work, work_func_t function);
int xen_rust_set_dma_mask(struct device *device);
bool xen_rust_dma_coherent(struct device *device);
void xen_rust_set_dma_ops(struct device *device, const struct dma_map_ops *operations);
struct page *xen_rust_address_to_page(const void *address);
void xen_rust_flush_translations(void);
void *xen_rust_vmap(struct page **pages, unsigned int count, bool sparse);
struct scatterlist *xen_rust_sg_read_dma(struct scatterlist *entry, u64 *address,
					 unsigned int *length);
struct scatterlist *xen_rust_sg_map_physical(struct scatterlist *entry);
void xen_rust_sync_for_cpu(struct device *device, struct sg_table *table,
			   enum dma_data_direction direction);
void xen_rust_sync_for_device(struct device *device, struct sg_table *table,
			      enum dma_data_direction direction);
int xen_rust_wait_for_fences(struct dma_buf *buffer, enum dma_data_direction access);
bool xen_rust_frames_valid(u64 first, u64 end);
u64 xen_rust_frame_gfn(u64 frame);
void xen_rust_change_total(unsigned int total, long difference);
long xen_rust_total(unsigned int total);
struct dentry *xen_rust_debugfs_create_file(const char *folder, const char *name,
					    int (*show)(struct seq_file *seq, void *unused));
void xen_rust_debugfs_remove(struct dentry *entry);

#endif /* _XEN_RUST_HELPERS_H */
