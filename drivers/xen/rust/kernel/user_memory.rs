// SPDX-License-Identifier: GPL-2.0

//! Copies of structures and arrays from and to the memory of the calling process.
//!
//! C header: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h).

use core::mem::{
    size_of,
    MaybeUninit, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};

/// Reads a structure from `address`. May sleep.
///
/// # Errors
///
/// `EFAULT` if some of it cannot be read.
pub(crate) fn read<T: FromBytes>(address: UserPtr) -> Result<T> {
    UserSlice::new(address, size_of::<T>()).reader().read()
}

/// Writes `value` to `address`. May sleep.
///
/// # Errors
///
/// `EFAULT` if some of it cannot be written.
pub(crate) fn write<T: AsBytes>(address: UserPtr, value: &T) -> Result {
    UserSlice::new(address, size_of::<T>())
        .writer()
        .write(value)
}

/// Writes `values` to consecutive memory at `address`. May sleep.
///
/// # Errors
///
/// `EFAULT` if some of it cannot be written.
pub(crate) fn write_array<T: AsBytes>(address: UserPtr, values: &[T]) -> Result {
    UserSlice::new(address, size_of_val(values))
        .writer()
        .write_slice(values.as_bytes())
}

/// Reads `count` consecutive values from `address`. May sleep.
///
/// # Errors
///
/// `ENOMEM`; `EFAULT` if some of them cannot be read.
pub(crate) fn read_array<T: FromBytes>(address: UserPtr, count: usize) -> Result<KVVec<T>> {
    let mut values = KVVec::<T>::with_capacity(count, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
    read_into(address, count, &mut values)?;
    Ok(values)
}

/// Replaces the contents of `values` by `count` consecutive values at `address`. May sleep.
///
/// # Errors
///
/// `ENOSPC` if `values` has no room for so many; `EFAULT` if some of them cannot be read, in which
/// case `values` is empty.
pub(crate) fn read_into<T: FromBytes>(
    address: UserPtr,
    count: usize,
    values: &mut KVVec<T>,
) -> Result {
    values.clear();
    let room = values.spare_capacity_mut().get_mut(..count).ok_or(ENOSPC)?;
    let size = size_of_val(room);
    // SAFETY: These are the bytes of `room`. A `MaybeUninit<u8>` is valid with any contents, as the
    // values in `room` are.
    let bytes = unsafe {
        core::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<MaybeUninit<u8>>(), size)
    };
    UserSlice::new(address, size).reader().read_raw(bytes)?;
    // SAFETY: The capacity is at least `count`, and `read_raw()` initialized all bytes of so many
    // values, for which any bytes are valid.
    unsafe { values.inc_len(count) };
    Ok(())
}
