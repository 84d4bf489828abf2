// SPDX-License-Identifier: GPL-2.0

//! Per-CPU variables of SMP kernels.
//!
//! C header: [`include/linux/percpu-defs.h`](srctree/include/linux/percpu-defs.h).

use kernel::bindings;

/// A possible CPU of this machine, online or not.
///
/// # Invariants
///
/// The number is set in `cpu_possible_mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PossibleCpu(u32);

impl PossibleCpu {
    /// Makes the value for the CPU `number`.
    ///
    /// # Safety
    ///
    /// The bit `number` must be set in `cpu_possible_mask`.
    #[inline(always)]
    pub(crate) unsafe fn new_unchecked(number: u32) -> Self {
        // INVARIANT: By this function's safety requirements.
        Self(number)
    }

    /// Returns the current CPU. If the caller can be preempted, it may run on another one
    /// afterwards.
    pub(crate) fn current() -> Self {
        // INVARIANT: A running CPU is a possible one.
        Self(kernel::cpu::CpuId::current().as_u32())
    }

    /// Returns all possible CPUs.
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
            // INVARIANT: The filter leaves only possible CPUs.
            .map(Self)
    }

    /// Returns the number of the CPU in the kernel.
    #[inline(always)]
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// Returns true if the CPU is online.
    pub(crate) fn is_online(self) -> bool {
        // SAFETY: The mask has a bit for each possible CPU.
        unsafe { bindings::cpumask_test_cpu(self.0 as i32, &raw mut bindings::__cpu_online_mask) }
    }
}

/// Per-CPU variable, declared by [`per_cpu!`].
///
/// Any CPU can access the variable of any other, so `T` must be [`Sync`].
#[repr(transparent)]
pub(crate) struct PerCpu<T>(T);

impl<T: Sync> PerCpu<T> {
    /// Makes a variable with the value `initial` on all CPUs.
    ///
    /// The kernel copies it for each CPU, byte by byte, before it is used. That is valid for the
    /// value of a constant: it owns no memory, and does not know its address.
    ///
    /// # Safety
    ///
    /// Must be the value of a static in the section `.data..percpu`.
    pub(crate) const unsafe fn new(initial: T) -> Self {
        const { assert!(!core::mem::needs_drop::<T>()) };
        Self(initial)
    }

    /// Returns the variable of `cpu` (C: `per_cpu()`).
    #[inline(always)]
    pub(crate) fn get(&'static self, cpu: PossibleCpu) -> &'static T {
        let address = (&raw const self.0).expose_provenance();
        let offsets = (&raw const bindings::__per_cpu_offset).cast::<usize>();
        // SAFETY: The array has an element for each CPU, and those of all possible CPUs have their
        // final values before any initcall.
        let address = address.wrapping_add(unsafe { offsets.add(cpu.number() as usize).read() });
        // SAFETY: By the safety requirements of `new()` this is in the section whose copy for a
        // possible CPU is at this distance. The copy is never freed, and `T` is `Sync`. To the
        // compiler the copy is another variable than this one, hence the exposed provenance.
        unsafe { &*core::ptr::with_exposed_provenance(address) }
    }
}

/// Declares a per-CPU variable, built into the kernel (C: `DEFINE_PER_CPU()`).
macro_rules! per_cpu {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $initial:expr;) => {
        $(#[$attribute])*
        #[allow(unsafe_code)]
        #[link_section = ".data..percpu"]
        pub(crate) static $name: $crate::xen::kernel::per_cpu::PerCpu<$type> =
            // SAFETY: This is the value of a static in that section.
            unsafe { $crate::xen::kernel::per_cpu::PerCpu::new($initial) };
    };
}
pub(crate) use per_cpu;
