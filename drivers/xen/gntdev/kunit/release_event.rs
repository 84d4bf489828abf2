// SPDX-License-Identifier: GPL-2.0

//! Tests of the event that signals the release of a dma-buf.

#![forbid(unsafe_code)]

use crate::release_event::ReleaseEvent;
use kernel::prelude::*;

#[kunit_tests(xen_gntdev_release_event)]
mod tests {
    use super::*;

    fn event() -> Result<Pin<KBox<ReleaseEvent>>> {
        KBox::pin_init(ReleaseEvent::new(), GFP_KERNEL)
    }

    #[test]
    fn what_has_not_happened_times_out() -> Result {
        let event = event()?;
        assert_eq!(event.wait(0), Err(ETIMEDOUT));
        assert_eq!(event.wait(1), Err(ETIMEDOUT));
        Ok(())
    }

    #[test]
    fn what_has_happened_is_not_waited_for() -> Result {
        let event = event()?;
        event.signal();
        assert_eq!(event.wait(0), Ok(()));
        assert_eq!(event.wait(u32::MAX), Ok(()));
        Ok(())
    }

    #[test]
    fn it_happens_once_for_all() -> Result {
        let event = event()?;
        event.signal();
        event.signal();
        for _ in 0..3 {
            assert_eq!(event.wait(1), Ok(()));
        }
        Ok(())
    }
}
