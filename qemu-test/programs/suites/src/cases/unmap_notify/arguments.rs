// SPDX-License-Identifier: GPL-2.0

//! Arguments that are refused: actions, ports, indexes and addresses.

use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::event_channel::Loopback;
use guest_test::gntdev::notify::CLEAR_BYTE;
use guest_test::gntdev::notify::SEND_EVENT;
use guest_test::gntdev::BadAddress;
use guest_test::gntdev::Request;
use guest_test::ktap::Verdict;
use guest_test::port_list::open_ports;
use guest_test::port_list::Use;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use super::held::end;
use super::held::is_open;
use super::held::SILENCE;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_error;
use crate::world::World;

rules![
    #[rule("unknown actions are EINVAL")]
    fn unknown_actions(world: &mut World) -> Verdict {
        let held = world.mapped(1, 131)?;
        let channel = Loopback::open(DOM0)?;
        for bit in 2..32 {
            for known in [0, CLEAR_BYTE, SEND_EVENT] {
                let action = (1 << bit) | known;
                let result = held.device.set_notify(held.index, action, channel.port());
                assert_error(result, EINVAL, &format!("action {action:#x}"));
            }
        }
        end(held)?;
        assert!(!channel.wait(SILENCE)?, "an event");
        Ok(())
    },

    #[rule("a port that is not open is EINVAL")]
    fn closed_port(world: &mut World) -> Verdict {
        let held = world.mapped(1, 132)?;
        let channel = Loopback::open(DOM0)?;
        let closed = channel.port();
        drop(channel);
        for port in [closed, 0, 4095, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            if is_open(port)? {
                return skip_case("another program has opened a port in the meantime");
            }
            let result = held.device.set_notify(held.index, SEND_EVENT, port);
            assert_error(result, EINVAL, &format!("port {port:#x}"));
            // The port is not looked at unless an event is to be sent.
            held.device.set_notify(held.index, CLEAR_BYTE, port)?;
        }
        Ok(())
    },

    #[rule("a port of the kernel's own is EINVAL")]
    fn kernel_port(world: &mut World) -> Verdict {
        // A kernel for arm64 has a timer without an event channel.
        const TIMER: Use = Use::VirtualIrq(0);
        const CONSOLE: Use = Use::VirtualIrq(2);
        let held = world.mapped(1, 133)?;
        let ports = open_ports()?;
        let kernels = |usage: &Use| [TIMER, CONSOLE].contains(usage);
        let Some((port, usage)) = ports.iter().find(|(_, usage)| kernels(usage)) else {
            return skip_case("this kernel has no event channel for a timer or a console");
        };
        let result = held.device.set_notify(held.index, SEND_EVENT, *port);
        assert_error(result, EINVAL, &format!("the port of {usage:?}"));
        Ok(())
    },

    #[rule("an index without a region is ENOENT")]
    fn unknown_index(world: &mut World) -> Verdict {
        let held = world.mapped(2, 134)?;
        let size = 2 * PAGE_SIZE as u64;
        for index in [size, size + 1, 1 << 44, i64::MAX as u64, u64::MAX] {
            for action in [0, CLEAR_BYTE] {
                let result = held.device.set_notify(index, action, 0);
                assert_error(result, ENOENT, &format!("index {index:#x}"));
            }
        }
        held.device.set_notify(size - 1, CLEAR_BYTE, 0)?;
        held.device.remove(held.index, 2)?;
        let result = held.device.set_notify(held.index, CLEAR_BYTE, 0);
        assert_error(result, ENOENT, "a removed region");
        Ok(())
    },

    #[rule("an argument that cannot be read is EFAULT")]
    fn bad_pointer(world: &mut World) -> Verdict {
        let held = world.mapped(1, 135)?;
        for address in BadAddress::ALL {
            let result = held
                .device
                .request_at_bad_address(Request::SET_UNMAP_NOTIFY, address);
            assert_error(result, EFAULT, &format!("{address:?}"));
        }
        Ok(())
    }
];
