// SPDX-License-Identifier: GPL-2.0

//! Effect of the module parameter `limit` on regions.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use xen_grants::GrantRef;

use crate::limit::Limit;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::World;

const DEFAULT: u32 = 64 * 1024;
const ANY: GrantRef = GrantRef {
    domid: 0,
    reference: 1,
};

rules![
    #[rule("the limit is 65536 and root may change it")]
    fn default_limit(world: &mut World) -> Verdict {
        let limit = Limit::of(world)?;
        assert_eq!(limit.before().trim(), DEFAULT.to_string());
        let mode = fs::metadata(limit.file())?.permissions().mode() & 0o777;
        assert_eq!(mode, 0o644, "mode {mode:o}");
        Ok(())
    },

    #[rule("a count above the limit is EINVAL")]
    fn above_limit(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let result = device.insert_claiming(DEFAULT + 1, &[ANY]);
        assert_error(result, EINVAL, "one more than the limit");
        Ok(())
    },

    #[rule("a changed limit holds at once")]
    fn changed_limit(world: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let limit = Limit::of(world)?;
        limit.set("4")?;
        assert_error(device.insert(&[ANY; 5]), EINVAL, "5 grants, limit 4");
        device.insert(&[ANY; 4])?;
        limit.set("5")?;
        device.insert(&[ANY; 5])?;
        limit.set("0")?;
        assert_error(device.insert(&[ANY]), EINVAL, "1 grant, limit 0");
        Ok(())
    },

    #[rule("a limit that is no number is refused")]
    fn not_a_number(world: &mut World) -> Verdict {
        let limit = Limit::of(world)?;
        for text in ["many", "-1", "4294967296"] {
            let error = limit.set(text).expect_err("it was taken");
            assert!(error.raw_os_error().is_some(), "{text}: {error}");
        }
        assert_eq!(fs::read_to_string(limit.file())?, limit.before());
        Ok(())
    }
];
