// SPDX-License-Identifier: GPL-2.0

//! The hypervisor's table of this domain's mappings is full. The machine must be started with a
//! small table (`gnttab_max_maptrack_frames` on Xen's command line).

use std::fs::File;
use std::io;
use std::io::Read;
use std::process::Command;

use guest_test::errno::ENOSPC;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use guest_test::totals;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::Segment;
use xen_grants::grant_copy::OKAY;
use xen_grants::grant_dma_buf::Backing;
use xen_grants::grant_table::GrantMapping;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::xenstore::Xenstore;
use xen_grants::PAGE_SIZE;

use crate::cases::totals::NO_TOTALS;
use crate::granter::Share;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::World;

/// Number of grants in one region.
const REGION: usize = 64;

/// Maximum number of virtual processors of dom0 in the tests.
const PROCESSORS: usize = 4;

/// Number of pages that a table which is small enough for these rules has no room for.
const MANY: usize = 4096;

rules![
    #[rule("a full table of mappings is ENOSPC for regions and exports")]
    #[expect_c_differs("fails with EINVAL")]
    fn full_is_no_space(world: &mut World) -> Verdict {
        let share = world.share(REGION)?;
        let table = GrantTable::open()?;
        let references = share.references();
        let exported = table.export(world.granter.domid(), &references, Backing::Ordinary)?;
        let full = fill(&table, &share);
        for protection in [Protection::Read, Protection::ReadWrite] {
            let result = table.map_all(&share.grants, protection);
            assert_error(result.map(drop), ENOSPC, &format!("{protection:?}"));
        }
        if world.is_paravirtual() {
            // The page-table entries of a program take entries of their own.
            assert_error(exported.map(REGION).map(drop), ENOSPC, "an exported buffer");
        }
        for backing in [Backing::Ordinary, Backing::WriteCombine, Backing::Coherent] {
            let result = table.export(world.granter.domid(), &references, backing);
            assert_error(result.map(drop), ENOSPC, &format!("export, {backing:?}"));
        }
        drop(full);
        drop(exported);
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("debugfs counts mappings that a full table refuses")]
    #[expect_c_differs(NO_TOTALS)]
    fn refusals_counted(world: &mut World) -> Verdict {
        let share = world.share(REGION)?;
        let table = GrantTable::open()?;
        let _full = fill(&table, &share);
        let before = totals::read()?;
        let result = table.map_all(&share.grants, Protection::Read);
        assert_error(result.map(drop), ENOSPC, "a region");
        let now = totals::read()?;
        let changes = now.changes_since(&before);
        let expected = ["refused_maps", "refused_maps_full"].map(|name| (name, changes[0].1));
        assert_eq!(changes, expected);
        Ok(())
    },

    #[rule("xenstore, the console and grant copies go on while the table of mappings is full")]
    #[expect_c_differs("fails with EINVAL")]
    fn others_go_on(world: &mut World) -> Verdict {
        let share = world.share(REGION)?;
        let table = GrantTable::open()?;
        let full = fill(&table, &share);

        // A request to the granter and its answer each pass through xenstore, over a ring that the
        // daemon has mapped.
        world.granter.fill(&share, 240)?;
        assert_eq!(full[0].first_difference(240), None);

        let local = Mapping::anonymous(1, Protection::ReadWrite)?;
        let statuses = table.copy(&[Segment {
            source: End::Grant(share.grants[0], 0),
            destination: End::Local(&local, 0),
            length: PAGE_SIZE as u16,
        }])?;
        assert_eq!(statuses, [OKAY]);
        assert_eq!(local.first_difference(240), None);

        await_console_line(world.granter.domid())?;
        Ok(())
    },

    /// Xen does not use the last free entry of a virtual processor, and the entries are not
    /// distributed among the processors as they were.
    #[rule("after letting go as many can be mapped again")]
    #[expect_c_differs("fails with EINVAL")]
    fn room_again(world: &mut World) -> Verdict {
        let share = world.share(REGION)?;
        let table = GrantTable::open()?;
        let first = fill(&table, &share);
        let count = first.len();
        drop(first);
        assert_released(&share.grants);

        let export = table.export(
            world.granter.domid(),
            &share.references(),
            Backing::Ordinary,
        )?;
        drop(export);
        assert_released(&share.grants);

        let second = fill(&table, &share);
        assert!(
            second.len() + PROCESSORS >= count,
            "{} regions, {count} before",
            second.len()
        );
        second[0].fill(241);
        world.assert_granter_sees(&share, 241);
        Ok(())
    }
];

/// Maps the grants of `share` again and again, until the table has no room for one more.
///
/// # Panics
///
/// Panics if mapping fails by another error than `ENOSPC`, or if the table is not small.
pub fn fill<'a>(table: &'a GrantTable, share: &Share) -> Vec<GrantMapping<'a>> {
    let mut mappings = Vec::new();
    for pages in [share.pages(), 1] {
        loop {
            // The hypervisor bounds the mappings of one grant, so single pages take turns.
            let first = mappings.len() % (share.pages() - pages + 1);
            let grants = &share.grants[first..first + pages];
            match table.map_all(grants, Protection::ReadWrite) {
                Ok(mapping) => mappings.push(mapping),
                Err(error) => {
                    assert_error::<(), _>(Err(error), ENOSPC, "filling the table");
                    break;
                }
            }
            assert!(
                mappings.len() * pages < MANY,
                "the table of this machine is not small"
            );
        }
    }
    mappings
}

/// Has the kernel of domain `domid` print a line, and reads the domain's console up to it.
fn await_console_line(domid: u32) -> io::Result<()> {
    let tty = Xenstore::open()?
        .read(&format!("/local/domain/{domid}/console/tty"))?
        .ok_or_else(|| io::Error::other("the domain has no console"))?;
    let mut console = File::open(tty)?;
    let status = Command::new("xl")
        .args(["sysrq", &domid.to_string(), "h"])
        .status()?;
    assert!(status.success(), "xl sysrq: {status}");
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&text).contains("sysrq: HELP") {
        let length = console.read(&mut buffer)?;
        text.extend_from_slice(&buffer[..length]);
    }
    Ok(())
}
