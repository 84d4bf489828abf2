// SPDX-License-Identifier: GPL-2.0

//! Tests of the growth of the event array, with failures, other CPUs and a restore of the domain.

#![forbid(unsafe_code)]

use crate::{
    event_array::{
        EventArray,
        MAX_PAGES, //
    },
    event_word::Port,
    kunit::{
        fake_hypervisor::FakeHypervisor,
        words::{
            port,
            state,
            WORDS, //
        }, //
    }, //
};
use kernel::prelude::*;

#[kunit_tests(xen_evtchn_fifo_array)]
mod tests {
    use super::*;

    #[test]
    fn ports_beyond_the_interface_do_not_exist() {
        assert!(Port::new(0).is_none());
        assert!(Port::new(131_071).is_some());
        assert!(Port::new(131_072).is_none());
        assert!(Port::new(u32::MAX).is_none());
    }

    #[test]
    fn an_array_without_pages_has_no_word() {
        let array = EventArray::new();
        for number in [1, WORDS - 1, WORDS, 131_071] {
            assert!(state(&array, number).is_none());
        }
    }

    #[test]
    fn it_grows_one_page_at_a_time_to_all_ports() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        for page in 0..MAX_PAGES as u32 {
            // The last port of a page adds the page; the first one finds it there.
            for number in [(page + 1) * WORDS - 1, (page * WORDS).max(1)] {
                array.grow(port(number)?, &mut xen)?;
                assert_eq!(array.page_count(), page as usize + 1);
            }
            assert!(state(&array, (page + 1) * WORDS).is_none());
        }
        assert_eq!(xen.array.len(), 128);
        assert_eq!(xen.allocated, 128);
        Ok(())
    }

    #[test]
    fn it_grows_to_all_ports_at_once() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.grow(port(131_071)?, &mut xen)?;
        assert_eq!(array.page_count(), 128);
        let told = &xen.array;
        assert_eq!(told.len(), 128);
        for (index, page) in told.iter().enumerate() {
            assert!(!told[..index].contains(page));
        }
        Ok(())
    }

    #[test]
    fn each_port_has_a_word_of_its_own() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.grow(port(131_071)?, &mut xen)?;
        for number in 1..Port::LIMIT {
            let word = array.word(port(number)?).ok_or(ENOENT)?;
            assert!(word.state().is_unused());
            word.set_pending();
        }
        Ok(())
    }

    #[test]
    fn new_pages_are_masked_when_the_hypervisor_sees_them() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.grow(port(5 * WORDS)?, &mut xen)?;
        assert!(!xen.saw_unmasked);
        Ok(())
    }

    #[test]
    fn a_page_is_found_when_the_hypervisor_knows_it() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        xen.watched = Some(&array);
        array.grow(port(2 * WORDS)?, &mut xen)?;
        assert_eq!(xen.array.len(), 3);
        assert!(!xen.found_early);
        Ok(())
    }

    #[test]
    fn two_cpus_that_need_a_page_add_it_once() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        xen.rival = Some((&array, port(WORDS)?));
        array.grow(port(2 * WORDS)?, &mut xen)?;
        assert_eq!(xen.rival_result, Some(Ok(())));
        assert_eq!(array.page_count(), 3);
        assert_eq!(xen.array.len(), 3);
        // The slower CPU took no page that it did not need.
        assert_eq!(xen.allocated, 3);
        for page in 0..3 {
            assert!(state(&array, page * WORDS + 1).is_some_and(|state| state.is_unused()));
        }
        Ok(())
    }

    #[test]
    fn two_cpus_hand_a_page_over_again_once() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.grow(port(1)?, &mut xen)?;
        array.restart();
        let mut other = FakeHypervisor::new();
        other.rival = Some((&array, port(1)?));
        array.grow(port(1)?, &mut other)?;
        assert_eq!(array.page_count(), 1);
        assert_eq!(other.array.len(), 1);
        Ok(())
    }

    #[test]
    fn a_restore_while_the_array_grows_is_not_taken_for_a_faster_cpu() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.grow(port(1)?, &mut xen)?;
        xen.restored = Some(&array);
        array.grow(port(2 * WORDS)?, &mut xen)?;
        assert_eq!(array.page_count(), 3);
        // The first page was handed over twice.
        assert_eq!(xen.array.len(), 4);
        assert_eq!(xen.allocated, 3);
        Ok(())
    }

    #[test]
    fn a_first_page_that_is_refused_leaves_none() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        xen.accepts = Some(0);
        assert_eq!(array.grow(port(1)?, &mut xen), Err(ENOSPC));
        assert_eq!(array.page_count(), 0);
        assert!(state(&array, 1).is_none());

        xen.refuse_none();
        array.grow(port(1)?, &mut xen)?;
        assert!(state(&array, 1).is_some());
        assert_eq!(xen.allocated, 2);
        Ok(())
    }

    #[test]
    fn a_later_page_that_is_refused_leaves_those_before() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        xen.accepts = Some(5);
        assert_eq!(array.grow(port(9 * WORDS)?, &mut xen), Err(ENOSPC));
        assert_eq!(array.page_count(), 5);
        assert!(state(&array, 5 * WORDS - 1).is_some());
        assert!(state(&array, 5 * WORDS).is_none());
        // The refused page was put back, and the next attempt takes one again.
        assert_eq!(xen.allocated, 6);
        assert_eq!(xen.put_back, 1);

        xen.refuse_none();
        array.grow(port(9 * WORDS)?, &mut xen)?;
        assert_eq!(array.page_count(), 10);
        assert_eq!(xen.allocated, 11);
        Ok(())
    }

    #[test]
    fn no_memory_leaves_what_is_there() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        for pages in [0, 3] {
            xen.memory = Some(pages);
            assert_eq!(array.grow(port(9 * WORDS)?, &mut xen), Err(ENOMEM));
            assert_eq!(array.page_count(), pages);
        }
        xen.refuse_none();
        array.grow(port(9 * WORDS)?, &mut xen)
    }

    #[test]
    fn after_a_restore_the_same_pages_are_handed_over() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.grow(port(3 * WORDS)?, &mut xen)?;
        {
            let word = array.word(port(7)?).ok_or(ENOENT)?;
            word.set_pending();
        }

        array.restart();
        assert_eq!(array.page_count(), 0);
        let mut other = FakeHypervisor::new();
        array.grow(port(3 * WORDS)?, &mut other)?;
        assert_eq!(&xen.array[..], &other.array[..]);
        assert_eq!(other.allocated, 0);
        assert!(!other.saw_unmasked);
        assert!(state(&array, 7).is_some_and(|state| state.is_unused()));
        Ok(())
    }

    #[test]
    fn a_page_refused_after_a_restore_is_kept_for_the_next_time() -> Result {
        let (array, mut xen) = (EventArray::new(), FakeHypervisor::new());
        array.grow(port(3 * WORDS)?, &mut xen)?;
        array.restart();
        xen.accepts = Some(2);
        assert_eq!(array.grow(port(3 * WORDS)?, &mut xen), Err(ENOSPC));
        assert_eq!(array.page_count(), 2);
        assert!(state(&array, 3 * WORDS).is_some());

        xen.refuse_none();
        array.grow(port(4 * WORDS)?, &mut xen)?;
        assert_eq!(array.page_count(), 5);
        assert_eq!(xen.allocated, 5);
        Ok(())
    }
}
