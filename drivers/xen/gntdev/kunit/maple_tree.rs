// SPDX-License-Identifier: GPL-2.0

//! Tests of the maple tree that threads share.

#![forbid(unsafe_code)]

use crate::xen::kernel::maple_tree::SharedMapleTree;
use kernel::{
    prelude::*,
    sync::Arc, //
};

#[kunit_tests(xen_gntdev_maple_tree)]
mod tests {
    use super::*;

    #[test]
    fn an_erased_entry_comes_back_once() -> Result {
        let tree = KBox::pin_init(SharedMapleTree::<Arc<usize>>::new(), GFP_KERNEL)?;
        let entry = Arc::new(7, GFP_KERNEL)?;
        for expected in [0, 3] {
            let first = tree.alloc_range(3, entry.clone(), ..100, GFP_KERNEL);
            assert_eq!(first.map_err(Error::from)?, expected);
        }
        assert_eq!(tree.erase(2)?.map(|found| *found), Some(7));
        assert!(tree.lock().load(0).is_none());
        assert!(tree.lock().load(3).is_some());
        for index in [0, 1, 2, 6, usize::MAX] {
            assert!(tree.erase(index)?.is_none());
        }
        assert!(tree.erase(5)?.is_some());
        drop(tree);
        assert!(Arc::into_unique_or_drop(entry).is_some());
        Ok(())
    }
}
