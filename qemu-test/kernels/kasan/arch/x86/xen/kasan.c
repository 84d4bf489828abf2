// SPDX-License-Identifier: GPL-2.0
/*
 * Shadow memory of KASAN in domains that start by Xen's own entry points.
 *
 * Code that is checked reads the shadow of each address that it uses. Here such code runs before
 * the kernel has made the shadow that serves on bare metal, and in a PV domain it never makes one.
 *
 * Xen lets a frame of a PV domain be a page table only while the domain has no writable mapping of
 * it, and entries hold machine frames. So the tables of the first shadow become read-only before
 * they are used, and the table that kasan_init() loads for a while is pinned and released again.
 */

#include <linux/kasan.h>
#include <linux/pgtable.h>

#include <asm/kasan.h>
#include <asm/xen/hypercall.h>
#include <asm/xen/hypervisor.h>

#include <xen/interface/sched.h>
#include <xen/interface/xen.h>
#include <xen/kasan.h>
#include <xen/page.h>
#include <xen/xen-ops.h>
#include <xen/xen.h>

/* The page tables of the first code in a PVH domain, in arch/x86/platform/pvh/head.S. */
extern pgd_t pvh_init_top_pgt[];

/* There is no console yet, nor a way to go on; Xen reports the end of the domain. */
static void __init require(int result)
{
	if (result)
		xen_reboot(SHUTDOWN_crash);
}

static unsigned long __init symbol_to_pfn(const void *symbol)
{
	return PFN_DOWN(__pa_symbol(symbol));
}

/* The linear map shares the page tables of the kernel's image, so one change serves both. */
static void __init set_protection(void *page, pgprot_t protection)
{
	pte_t pte = pfn_pte(symbol_to_pfn(page), protection);

	require(HYPERVISOR_update_va_mapping((unsigned long)page, pte, UVMF_INVLPG));
}

static void __init extended_operation(unsigned int command, const void *table)
{
	struct mmuext_op op = {
		.cmd = command,
		.arg1.mfn = pfn_to_mfn(symbol_to_pfn(table)),
	};

	require(HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF));
}

void __init xen_kasan_copy_shadow(pgd_t *to, const pgd_t *from)
{
	unsigned int index;

	for (index = pgd_index(KASAN_SHADOW_START); index < pgd_index(KASAN_SHADOW_END); index++)
		to[index] = from[index];
}

/*
 * The shadow that bare metal begins with is of use here too; it is cleared and made again later.
 * The processor does not know the bit that forbids execution yet.
 */
void __init xen_kasan_pvh_early_init(void)
{
	const pteval_t mask = __default_kernel_pte_mask;

	__default_kernel_pte_mask = mask & ~_PAGE_NX;
	kasan_early_init();
	__default_kernel_pte_mask = mask;
	xen_kasan_copy_shadow(pvh_init_top_pgt, early_top_pgt);
}

void __init xen_kasan_pv_early_init(void)
{
	pgd_t *top = (pgd_t *)xen_start_info->pt_base;
	struct mmu_update update;
	unsigned int index;

	kasan_early_init();
	set_protection(kasan_early_shadow_pte, PAGE_KERNEL_RO);
	set_protection(kasan_early_shadow_pmd, PAGE_KERNEL_RO);
	set_protection(kasan_early_shadow_pud, PAGE_KERNEL_RO);

	update.val = PFN_PHYS(pfn_to_mfn(symbol_to_pfn(kasan_early_shadow_pud))) | _KERNPG_TABLE;
	for (index = pgd_index(KASAN_SHADOW_START); index < pgd_index(KASAN_SHADOW_END); index++) {
		update.ptr = virt_to_machine(&top[index]).maddr | MMU_NORMAL_PT_UPDATE;
		require(HYPERVISOR_mmu_update(&update, 1, NULL, DOMID_SELF));
	}
}

void __init xen_kasan_pin(pgd_t *pgd)
{
	if (!xen_pv_domain())
		return;
	set_protection(pgd, PAGE_KERNEL_RO);
	extended_operation(MMUEXT_PIN_L4_TABLE, pgd);
}

void __init xen_kasan_unpin(pgd_t *pgd)
{
	if (!xen_pv_domain())
		return;
	extended_operation(MMUEXT_UNPIN_TABLE, pgd);
	set_protection(pgd, PAGE_KERNEL);
}

bool xen_kasan_is_early_table(unsigned long pfn)
{
	return pfn == PFN_DOWN(__pa_symbol(kasan_early_shadow_pte)) ||
	       pfn == PFN_DOWN(__pa_symbol(kasan_early_shadow_pmd)) ||
	       pfn == PFN_DOWN(__pa_symbol(kasan_early_shadow_pud));
}
