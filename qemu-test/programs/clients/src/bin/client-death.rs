// SPDX-License-Identifier: GPL-2.0

//! Domains die while their pages are mapped, and so do the programs that map them. In the end all
//! memory is where it was.

#![forbid(unsafe_code)]

use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use clients::command::succeed;
use clients::domain;
use clients::domain::Domain;
use clients::domain::Kind;
use clients::domain::Plan;
use clients::limit::PATIENCE;
use clients::suite;
use clients::suite::Rule;
use guest_test::free_memory;
use guest_test::gntdev::Gntdev;
use guest_test::grant_usage::GrantUsage;
use guest_test::ktap::Verdict;
use guest_test::mapping::Pipe;
use guest_test::pattern::Pattern;
use guest_test::platform::memory_info;
use guest_test::platform::MemoryModel;
use guest_test::process::Child;
use guest_test::process::End;
use guest_test::signal::SIGKILL;
use suites::random::Random;
use suites::wait::settle;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

const ROUNDS: u32 = 100;

/// The grant references of the rings that the toolstack makes in each domain.
const RINGS: [u32; 2] = [0, 1];

/// Memory that may come and go in dom0 by itself, in KiB. Two pages lost in each round would be
/// 800.
const DOM0_TOLERANCE: u64 = 600;

fn main() -> ExitCode {
    let mut rules = vec![
        Rule::new(
            "a destroyed domain stays until its pages are unmapped",
            domain_first,
        ),
        Rule::new("a page under I/O keeps a destroyed domain too", under_io),
    ];
    // A machine that emulates a PVH dom0 takes ten minutes for all rounds.
    let count = match MemoryModel::current() {
        Ok(MemoryModel::AutoTranslated) => ROUNDS / 4,
        _ => ROUNDS,
    };
    rules.push(Rule::new(
        format!("no frame is lost by {count} deaths of domains and mappers"),
        move || rounds(count),
    ));
    suite::run("client-death", &rules)
}

fn grants_of(domid: u32) -> [GrantRef; 2] {
    RINGS.map(|reference| GrantRef { domid, reference })
}

/// Maps the rings of `domid`; the mapping outlives the file.
fn map_rings(domid: u32, protection: Protection) -> std::io::Result<Mapping> {
    let device = Gntdev::open()?;
    let index = device.insert(&grants_of(domid))?;
    device.map(index, RINGS.len(), protection)
}

fn domain_first() -> Verdict {
    for kind in [Kind::Pv, Kind::Pvh] {
        let domain = Plan::lifeless(kind).create_paused()?;
        let domid = domain.domid();
        let mapping = map_rings(domid, Protection::ReadWrite)?;
        domain.destroy()?;
        assert!(
            domain::is_known(domid)?,
            "the {kind} domain is gone while its pages are mapped"
        );
        mapping.fill(1);
        assert_eq!(mapping.first_difference(1), None);

        mapping.unmap()?;
        domain::wait_gone(domid)?;
    }
    Ok(())
}

fn under_io() -> Verdict {
    for kind in [Kind::Pv, Kind::Pvh] {
        let domain = Plan::lifeless(kind).create_paused()?;
        let domid = domain.domid();
        let mapping = map_rings(domid, Protection::ReadWrite)?;
        let expected = mapping.read_vec(0, mapping.len());
        let mut pipe = Pipe::new()?;
        assert_eq!(pipe.take_pages(&mapping)?, RINGS.len() * PAGE_SIZE);
        domain.destroy()?;
        mapping.unmap()?;
        assert!(
            domain::is_known(domid)?,
            "the {kind} domain is gone while its pages are in a pipe"
        );
        let data = pipe.read(RINGS.len() * PAGE_SIZE)?;
        assert!(data == expected, "the data changed in the pipe");
        domain::wait_gone(domid)?;
    }
    Ok(())
}

fn rounds(count: u32) -> Verdict {
    let mut random = Random::new(0);
    // Things that are made once, like pools of frames for foreign pages, are made here.
    for _ in 0..2 {
        round(&mut random)?;
    }
    let before = Memory::now()?;
    let usage_before = GrantUsage::read()?;
    for _ in 0..count {
        round(&mut random)?;
    }
    let left = GrantUsage::read()?.beyond(&usage_before);
    assert!(left.is_empty(), "left in xen's table: {left}");
    // Xen gives a dead domain's memory back in the background, and what is freed page by page stays
    // with dom0's processors for a while.
    let after = settle(PATIENCE, Memory::now, |now| {
        now.hypervisor == before.hypervisor && before.lost_in_dom0(now) == 0
    })?;
    println!("# before {before:?}, after {after:?}");
    assert_eq!(
        after.hypervisor, before.hypervisor,
        "Xen's free memory, KiB"
    );
    assert_eq!(
        after.reported, before.reported,
        "xl info's free memory, MiB"
    );
    let lost = before.lost_in_dom0(&after);
    assert_eq!(lost, 0, "dom0 has {lost} KiB less than before");
    Ok(())
}

/// Free memory in three views.
#[derive(Debug)]
struct Memory {
    /// Free memory of Xen, in KiB.
    hypervisor: u64,
    /// Free memory of Xen as `xl info` reports it, in MiB.
    reported: u64,
    /// Free memory of dom0, in KiB.
    dom0: u64,
}

impl Memory {
    /// Memory that dom0 has less in `after`, in KiB; 0 below [`DOM0_TOLERANCE`].
    fn lost_in_dom0(&self, after: &Self) -> u64 {
        let lost = self.dom0.saturating_sub(after.dom0);
        if lost < DOM0_TOLERANCE {
            0
        } else {
            lost
        }
    }

    fn now() -> std::io::Result<Self> {
        let info = succeed("xl", &["info"])?;
        let reported = info
            .lines()
            .find_map(|line| line.strip_prefix("free_memory")?.split_once(':'))
            .and_then(|(_, number)| number.trim().parse().ok())
            .ok_or_else(|| std::io::Error::other("xl info tells no free memory"))?;
        Ok(Self {
            hypervisor: free_memory::read()?,
            reported,
            dom0: memory_info("MemFree")? + memory_info("Cached")?,
        })
    }
}

/// A domain lives and dies, and so do two programs that have its rings mapped, in any order.
fn round(random: &mut Random) -> Verdict {
    let kind = [Kind::Pv, Kind::Pvh][random.below(2)];
    let domain = Plan::lifeless(kind).create_paused()?;
    let domid = domain.domid();
    let mut mappers = vec![Mapper::start(domid, Protection::Read)?];
    mappers.push(Mapper::start(domid, Protection::ReadWrite)?);

    let order = random.below(3);
    if order == 0 {
        mappers.pop().expect("there are two").kill()?;
    }
    destroy_and_kill(domain, domid, mappers, order == 2)
}

fn destroy_and_kill(domain: Domain, domid: u32, mappers: Vec<Mapper>, at_once: bool) -> Verdict {
    if at_once {
        // Both deaths at the same time.
        let mut killer = Child::spawn(|| {
            for mapper in &mappers {
                mapper.child.kill().expect("a mapper");
            }
        })?;
        domain.destroy()?;
        let end = killer.wait(PATIENCE)?;
        assert_eq!(end, Some(End::Exited(0)));
        for mapper in mappers {
            mapper.ended()?;
        }
    } else {
        domain.destroy()?;
        assert!(domain::is_known(domid)?, "gone while mapped");
        for mapper in mappers {
            mapper.kill()?;
        }
    }
    domain::wait_gone(domid)?;
    Ok(())
}

/// A process that has the rings of a domain mapped until it is killed.
struct Mapper {
    child: Child,
}

impl Mapper {
    fn start(domid: u32, protection: Protection) -> std::io::Result<Self> {
        let (mut mapped, mut mapper) = UnixStream::pair()?;
        let child = Child::spawn(move || {
            let mapping = map_rings(domid, protection).expect("the domain's rings");
            mapper.write_all(&[mapping.read(0)]).expect("a parent");
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        })?;
        // The stream ends when the child does.
        mapped.set_read_timeout(Some(PATIENCE))?;
        mapped.read_exact(&mut [0])?;
        Ok(Self { child })
    }

    fn kill(self) -> std::io::Result<()> {
        self.child.kill()?;
        self.ended()
    }

    fn ended(mut self) -> std::io::Result<()> {
        let end = self.child.wait(PATIENCE)?;
        assert_eq!(end, Some(End::Signalled(SIGKILL)), "the mapper");
        Ok(())
    }
}
