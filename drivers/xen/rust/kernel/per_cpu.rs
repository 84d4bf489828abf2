// SPDX-License-Identifier: GPL-2.0

//! Variables of which each CPU has its own, in a kernel for several CPUs.
//!
//! C header: [`include/linux/percpu-defs.h`](srctree/include/linux/percpu-defs.h).

use kernel::bindings;

/// A CPU that this machine may have, online or not.
///
/// # Invariants
///
/// It is set in `cpu_possible_mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PossibleCpu(u32);

impl PossibleCpu {
    /// The CPU `number`.
    ///
    /// # Safety
    ///
    /// There must be such a CPU in `cpu_possible_mask`.
    #[inline(always)]
    pub(crate) unsafe fn new_unchecked(number: u32) -> Self {
        // INVARIANT: By this function's safety requirements.
        Self(number)
    }

    /// This CPU; which may be another one already if the caller can be preempted.
    pub(crate) fn current() -> Self {
        // INVARIANT: A CPU that runs is a possible one.
        Self(kernel::cpu::CpuId::current().as_u32())
    }

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..kernel::cpu::nr_cpu_ids())
            .filter(|number| {
                // SAFETY: The mask has a bit for each number below `nr_cpu_ids`.
                unsafe {
                    bindings::cpumask_test_cpu(
                        *number as i32,
                        &raw mut bindings::__cpu_possible_mask,
                    )
                }
            })
            // INVARIANT: The others were left out.
            .map(Self)
    }

    /// The CPU's number in the kernel.
    #[inline(always)]
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// Whether it runs.
    pub(crate) fn is_online(self) -> bool {
        // SAFETY: The mask has a bit for each possible CPU.
        unsafe { bindings::cpumask_test_cpu(self.0 as i32, &raw mut bindings::__cpu_online_mask) }
    }
}

/// A variable of which each CPU has its own; made by [`per_cpu!`].
///
/// Any CPU can get at that of any other one, so it must be [`Sync`].
#[repr(transparent)]
pub(crate) struct PerCpu<T>(T);

impl<T: Sync> PerCpu<T> {
    /// What all CPUs start with.
    ///
    /// The kernel copies it for each CPU, bit by bit, before it is used. A constant's value
    /// cannot notice: it owns no memory, and does not know where it is.
    ///
    /// # Safety
    ///
    /// Must be the value of a static in the section `.data..percpu`.
    pub(crate) const unsafe fn new(initial: T) -> Self {
        const { assert!(!core::mem::needs_drop::<T>()) };
        Self(initial)
    }

    /// The variable of `cpu` (C: `per_cpu()`).
    #[inline(always)]
    pub(crate) fn get(&'static self, cpu: PossibleCpu) -> &'static T {
        let address = (&raw const self.0).expose_provenance();
        let offsets = (&raw const bindings::__per_cpu_offset).cast::<usize>();
        // SAFETY: The array has an element for each CPU, and those of all possible ones have their
        // final values since before anything of ours was called.
        let address = address.wrapping_add(unsafe { offsets.add(cpu.number() as usize).read() });
        // SAFETY: By the safety requirements of `new()` this is in the section whose copy for a
        // possible CPU lies at this distance. It stays for ever, and `T` is `Sync`. To the
        // compiler the copy is another variable than this one, so its address is a number.
        unsafe { &*core::ptr::with_exposed_provenance(address) }
    }
}

/// Declares a variable of which each CPU has its own, built into the kernel (C:
/// `DEFINE_PER_CPU()`).
macro_rules! per_cpu {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $initial:expr;) => {
        $(#[$attribute])*
        #[allow(unsafe_code)]
        #[link_section = ".data..percpu"]
        pub(crate) static $name: $crate::xen::kernel::per_cpu::PerCpu<$type> =
            // SAFETY: This is such a static.
            unsafe { $crate::xen::kernel::per_cpu::PerCpu::new($initial) };
    };
}
pub(crate) use per_cpu;
