// SPDX-License-Identifier: GPL-2.0

//! Dma-bufs in the fdinfo of the device's file and of the buffers, and in trace events.

use std::process;

use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::gntdev::Request;
use guest_test::grant_dma_buf::memory::COHERENT;
use guest_test::grant_dma_buf::memory::WRITE_COMBINE;
use guest_test::inspect::Inspect;
use guest_test::ktap::Verdict;
use guest_test::platform::Driver;
use guest_test::tracing::Trace;

use super::buffers::assert_ends;
use super::buffers::exported;
use super::buffers::file_buffer;
use super::buffers::imported;
use super::buffers::NO_EXPORT;
use crate::argument::read_only;
use crate::granter::Access;
use crate::granter::BEYOND_TABLE;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_error;
use crate::world::World;

const SYSTEM: &str = "xen_gntdev";

rules![
    #[rule("fdinfo lists the exports of a file")]
    #[expect_c_differs(NO_EXPORT)]
    fn exports_listed(world: &mut World) -> Verdict {
        let domid = world.granter.domid();
        let share = world.share(3)?;
        let references = share.references();
        let device = Gntdev::open()?;
        assert!(lines(&device, "export")?.is_empty());
        let buffers = [
            device.export(0, domid, &references)?,
            device.export(WRITE_COMBINE, domid, &references[..1])?,
            device.export(COHERENT, domid, &references[..2])?,
            device.export_at(0x1040, 0, domid, &references[..2])?,
        ];
        let texts = [
            "count 3 ordinary",
            "count 1 write-combine",
            "count 2 coherent",
            "count 2 ordinary data-offset 0x1040",
        ];
        let expected: Vec<String> = buffers
            .iter()
            .zip(texts)
            .map(|(buffer, text)| format!("fd {} domain {domid} {text}", buffer.number()))
            .collect();
        // Exports are listed by their descriptors' numbers, which the kernel allocated in ascending
        // order.
        assert_eq!(lines(&device, "export")?, expected);
        assert!(lines(&device, "region")?.is_empty(), "they are no regions");
        Ok(())
    },

    #[rule("fdinfo lists an export until it has ended")]
    #[expect_c_differs(NO_EXPORT)]
    fn listed_until_the_end(world: &mut World) -> Verdict {
        let held = exported(world, 1, 1400)?;
        let number = held.buffer.number();
        let mapping = held.buffer.map(1)?;
        drop(held.buffer);
        assert_eq!(lines(&held.device, "export")?.len(), 1);
        mapping.unmap()?;
        assert_ends(&held.device, number);
        assert!(lines(&held.device, "export")?.is_empty());
        Ok(())
    },

    #[rule("fdinfo lists the imports of a file")]
    #[expect_c_differs("shows nothing in fdinfo")]
    fn imports_listed(world: &mut World) -> Verdict {
        let domid = world.granter.domid();
        let held = imported(world, 3, 1401)?;
        let (_, second) = file_buffer(1)?;
        held.device.import(&second, domid, 1)?;
        let expected = [
            format!("fd {} domain {domid} count 3", held.number()),
            format!("fd {} domain {domid} count 1", second.number()),
        ];
        assert!(held.number() < second.number());
        assert_eq!(lines(&held.device, "import")?, expected);
        held.device.release_import(held.number())?;
        assert_eq!(lines(&held.device, "import")?, expected[1..]);
        held.device.release_import(second.number())?;
        assert!(lines(&held.device, "import")?.is_empty());
        Ok(())
    },

    #[rule("a buffer tells who made it, and of whose pages")]
    #[expect_c_differs(NO_EXPORT)]
    fn exporter_named(world: &mut World) -> Verdict {
        let held = exported(world, 1, 1402)?;
        let expected = format!("exp_name:\txen_gntdev_rust:dom{}", world.granter.domid());
        let info = held.buffer.fdinfo()?;
        assert!(info.lines().any(|line| line == expected), "{info}");
        Ok(())
    },

    #[rule("the framework traces the descriptor of an export")]
    #[expect_c_differs(NO_EXPORT)]
    fn descriptor_traced(world: &mut World) -> Verdict {
        const FRAMEWORK: &str = "dma_buf";
        if !Trace::is_available(FRAMEWORK) {
            return skip_case("this kernel has no trace events of dma-bufs");
        }
        let share = world.share(1)?;
        let device = Gntdev::open()?;
        let trace = Trace::begin(FRAMEWORK, &["dma_buf_fd"], 64)?;
        let buffer = device.export(0, world.granter.domid(), &share.references())?;
        let found = trace
            .events()?
            .into_iter()
            .find(|event| event.thread == process::id() && event.name == "dma_buf_fd");
        let event = found.expect("no event");
        let number = buffer.number().to_string();
        assert_eq!(event.field("fd"), Some(number.as_str()));
        Ok(())
    },

    #[rule("exports and imports are traced")]
    fn traced(world: &mut World) -> Verdict {
        if world.driver == Driver::C {
            return skip_case("the C driver has no trace events");
        }
        let domid = world.granter.domid();
        let share = world.share(2)?;
        let references = share.references();
        let device = Gntdev::open()?;
        let (_, buffer) = file_buffer(2)?;

        let trace = Trace::begin(SYSTEM, &[], 1024)?;
        drop(device.export(WRITE_COMBINE, domid, &references)?);
        drop(device.export_at(64, 0, domid, &references)?);
        let result = device.export(0, domid, &[references[0], BEYOND_TABLE]);
        assert_error(result, EINVAL, "a bad reference");
        let argument = read_only(&[0, 2, u32::MAX, domid, references[0], references[1]])?;
        let result = device.request_at(Request::DMABUF_EXPORT, &argument, 0);
        assert_error(result, EFAULT, "a read-only argument");
        let granted = device.import(&buffer, domid, 2)?;
        let result = device.import(&buffer, domid, 3);
        assert_error(result, EINVAL, "a wrong count");
        let peer = world.granter.map(&granted[..1], Access::ReadOnly)?;
        device.release_import(buffer.number())?;
        let mut events = trace.events()?;
        world.granter.unshare(peer)?;

        events.retain(|event| event.thread == process::id());
        let fields = |name: &str| -> Vec<String> {
            events
                .iter()
                .filter(|event| event.name == name)
                .map(|event| event.fields.clone())
                .collect()
        };
        assert_eq!(
            fields("xen_gntdev_dmabuf_export"),
            [
                format!("domain={domid} count=2 flags=0x1 offset=0x0 error=0"),
                format!("domain={domid} count=2 flags=0x0 offset=0x40 error=0"),
                format!("domain={domid} count=2 flags=0x0 offset=0x0 error=-{EINVAL}"),
                format!("domain={domid} count=2 flags=0x0 offset=0x0 error=-{EFAULT}"),
            ]
        );
        // A failed export is not released.
        let released = format!("domain={domid} count=2");
        assert_eq!(fields("xen_gntdev_dmabuf_release"), [&*released; 2]);
        assert_eq!(
            fields("xen_gntdev_dmabuf_import"),
            [
                format!("domain={domid} count=2 offset=0x0 error=0"),
                format!("domain={domid} count=3 offset=0x0 error=-{EINVAL}"),
            ]
        );
        assert_eq!(
            fields("xen_gntdev_dmabuf_import_release"),
            [format!("domain={domid} count=2 mapped=1")]
        );
        Ok(())
    }
];

/// Lines of a file's fdinfo about buffers of one kind, without that prefix.
fn lines(device: &Gntdev, kind: &str) -> std::io::Result<Vec<String>> {
    let prefix = format!("{kind}:\t");
    let info = device.fdinfo()?;
    Ok(info
        .lines()
        .filter_map(|line| line.strip_prefix(&prefix))
        .map(String::from)
        .collect())
}
