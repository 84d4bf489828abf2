// SPDX-License-Identifier: GPL-2.0

//! Tests of the operations on the event words of ports.

#![forbid(unsafe_code)]

use crate::{
    event_array::EventArray,
    kunit::{
        fake_hypervisor::FakeHypervisor,
        words::{
            state,
            WORDS, //
        }, //
    }, //
};
use kernel::prelude::*;

#[kunit_tests(xen_evtchn_fifo_ops)]
mod tests {
    use super::*;

    /// Numbers without an event word while the array has one page: 0, the first port of the second
    /// page, the last port, and numbers beyond it.
    const WITHOUT_WORD: [u32; 6] = [0, WORDS, 131_071, 131_072, 1 << 31, u32::MAX];

    /// Calls all operations on `ports`, which have no word, and checks that none has an effect.
    fn operate_on_nothing(array: &EventArray, ports: &[u32]) {
        let mut xen = FakeHypervisor::new();
        for port in ports {
            array.set_pending(*port);
            assert!(!array.is_pending(*port));
            array.clear_pending(*port);
            array.mask(*port);
            array.unmask(*port, &mut xen);
            assert_eq!(xen.unmasked, None);
        }
    }

    #[test]
    fn operations_on_a_port_without_a_word_do_nothing() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        operate_on_nothing(&array, &WITHOUT_WORD);
        operate_on_nothing(&array, &[1, WORDS - 1]);
        array.set_up(1, &mut xen)?;
        operate_on_nothing(&array, &WITHOUT_WORD);
        for port in 0..WORDS {
            assert!(port == 0 || state(&array, port).is_some_and(|state| state.is_unused()));
        }
        Ok(())
    }

    #[test]
    fn operations_on_a_word() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.set_up(7, &mut xen)?;
        array.set_pending(7);
        assert!(array.is_pending(7));
        assert!(!array.is_pending(6) && !array.is_pending(8));
        array.unmask(7, &mut xen);
        assert_eq!(xen.unmasked, Some(7));
        assert!(state(&array, 7).is_some_and(|state| state.masked));

        array.clear_pending(7);
        assert!(!array.is_pending(7));
        xen.unmasked = None;
        array.unmask(7, &mut xen);
        assert_eq!(xen.unmasked, None);
        assert!(state(&array, 7).is_some_and(|state| !state.masked));
        array.mask(7);
        assert!(state(&array, 7).is_some_and(|state| state.is_unused()));
        Ok(())
    }

    #[test]
    fn an_interrupt_without_a_port_needs_no_word() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.set_up(0, &mut xen)?;
        assert_eq!(array.page_count(), 0);
        Ok(())
    }

    #[test]
    fn a_port_that_cannot_be_is_refused() {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        for port in [131_072, 1 << 31, u32::MAX] {
            assert_eq!(array.set_up(port, &mut xen), Err(EINVAL));
        }
        assert_eq!(array.page_count(), 0);
        assert_eq!(xen.stopped, None);
    }

    #[test]
    fn the_machine_stops_without_a_first_page() {
        for (accepts, memory, error) in [(Some(0), None, ENOSPC), (None, Some(0), ENOMEM)] {
            let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
            (xen.accepts, xen.memory) = (accepts, memory);
            assert_eq!(array.set_up(1, &mut xen), Err(error));
            assert_eq!(xen.stopped, Some(error));
        }
    }

    #[test]
    fn a_port_that_gets_no_later_page_is_refused() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.set_up(1, &mut xen)?;
        xen.accepts = Some(0);
        assert_eq!(array.set_up(WORDS, &mut xen), Err(ENOSPC));
        xen.refuse_none();
        xen.memory = Some(0);
        assert_eq!(array.set_up(WORDS, &mut xen), Err(ENOMEM));
        assert_eq!(xen.stopped, None);
        operate_on_nothing(&array, &[WORDS]);
        array.set_up(WORDS - 1, &mut xen)
    }
}
