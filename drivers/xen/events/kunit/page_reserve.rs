// SPDX-License-Identifier: GPL-2.0

//! Tests of the reserve of pages for the event array.

#![forbid(unsafe_code)]

use crate::xen::event::page_reserve::PageReserve;
use core::sync::atomic::Ordering::Relaxed;
use kernel::prelude::*;

#[kunit_tests(xen_evtchn_fifo_reserve)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_reserve_has_no_page() {
        let reserve = PageReserve::new();
        assert_eq!(reserve.count(), 0);
        assert!(reserve.take().is_none());
    }

    #[test]
    fn filling_adds_what_was_taken() -> Result {
        let reserve = PageReserve::new();
        for _ in 0..3 {
            reserve.fill()?;
            assert_eq!(reserve.count(), 2);
            drop(reserve.take());
            assert_eq!(reserve.count(), 1);
        }
        drop(reserve.take());
        assert!(reserve.take().is_none());
        Ok(())
    }

    #[test]
    fn a_page_that_is_put_back_has_a_slot_even_if_the_reserve_was_filled() -> Result {
        let reserve = PageReserve::new();
        reserve.fill()?;
        let page = reserve.take().ok_or(ENOMEM)?;
        page[0].store(1, Relaxed);
        reserve.fill()?;
        reserve.put(page);
        assert_eq!(reserve.count(), 3);
        // It was not freed: it is there as it was.
        let mut marked = 0;
        while let Some(page) = reserve.take() {
            marked += page[0].load(Relaxed);
        }
        assert_eq!(marked, 1);
        Ok(())
    }
}
