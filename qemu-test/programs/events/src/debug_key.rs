// SPDX-License-Identifier: GPL-2.0

//! What the hypervisor says of all event channels when its debug key `e` is
//! pressed.

use std::collections::BTreeMap;
use std::io;

use clients::command::succeed;

/// The event word of a port, as the hypervisor sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The event array has no page for it.
    NoWord,
    /// It is in no queue.
    Unlinked,
    /// It is in a queue, and this port comes after it; 0 if none does.
    To(u32),
}

/// A port that is not free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Whether it has an event.
    pub pending: bool,
    /// Whether events are held back.
    pub masked: bool,
    /// Its place in a queue.
    pub link: Link,
}

/// A domain's ports by their numbers.
pub type Ports = BTreeMap<u32, Port>;

/// Presses the key and reads what all domains' ports are.
pub fn press() -> io::Result<BTreeMap<u32, Ports>> {
    // What the hypervisor has said so far would only be in the way.
    succeed("xl", &["dmesg", "-c"])?;
    succeed("xl", &["debug-keys", "e"])?;
    parse(&succeed("xl", &["dmesg"])?).map_err(io::Error::other)
}

/// Reads lines such as these, whatever is before them:
///
/// ```text
/// Event channel information for domain 1:
///       12 [1/0/  34  ]: s=3 n=0 x=0 d=0 p=40
/// ```
fn parse(text: &str) -> Result<BTreeMap<u32, Ports>, String> {
    const DOMAIN: &str = "Event channel information for domain ";
    let mut domains: BTreeMap<u32, Ports> = BTreeMap::new();
    let mut domain = None;
    // The hypervisor says a line in pieces, between which another CPU may say something.
    let mut torn = "";
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once(DOMAIN) {
            let number = rest.trim_end_matches(':').parse();
            let number = number.map_err(|_| format!("a domain without number: {line:?}"))?;
            domains.insert(number, Ports::new());
            domain = Some(number);
        } else if let (Some(number), Some((before, _))) = (domain, line.split_once("]: s=")) {
            let parsed = parse_port(before).or_else(|| parse_port(&format!("{torn}{before}")));
            let (name, port) = parsed.ok_or_else(|| format!("not a port: {line:?}"))?;
            domains.entry(number).or_default().insert(name, port);
        } else if is_head(line) {
            torn = line;
        }
    }
    match domains.is_empty() {
        true => Err("the hypervisor says nothing of event channels".into()),
        false => Ok(domains),
    }
}

/// Whether a line is what the hypervisor says of a port, up to where it is linked or just before.
fn is_head(line: &str) -> bool {
    line.rsplit_once(" [").is_some_and(|(_, flags)| {
        let mut flags = flags.splitn(3, '/');
        let mut flag = || matches!(flags.next(), Some("0" | "1"));
        flag() && flag() && flags.next().is_some()
    })
}

/// The part of a line before the state of its channel.
fn parse_port(before: &str) -> Option<(u32, Port)> {
    let (number, flags) = before.rsplit_once(" [")?;
    let number = number.rsplit(' ').next()?.parse().ok()?;
    let mut flags = flags.splitn(3, '/');
    let mut flag = || match flags.next()? {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    };
    let (pending, masked) = (flag()?, flag()?);
    // The tail of a queue is busy while another is put behind it.
    let link = match flags.next()?.trim_start_matches([' ', 'B']).trim_end() {
        "?" => Link::NoWord,
        "-" => Link::Unlinked,
        link => Link::To(link.parse().ok()?),
    };
    let port = Port {
        pending,
        masked,
        link,
    };
    Some((number, port))
}

/// The ports from `first` on as they are linked with each other.
pub fn chain(ports: &Ports, first: u32) -> Vec<u32> {
    let mut chain = vec![first];
    while let Some(Link::To(next)) = chain
        .last()
        .and_then(|last| ports.get(last))
        .map(|port| port.link)
    {
        // A circle would be a fault that must not hang who looks for it.
        if next == 0 || chain.contains(&next) {
            break;
        }
        chain.push(next);
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "(XEN) [   12.5] 'e' pressed -> dumping event-channel info\n\
        (XEN) [   12.5] Event channel information for domain 0:\n\
        (XEN) [   12.5] Polling vCPUs: {}\n\
        (XEN) [   12.5]     port [p/m/s]\n\
        (XEN) [   12.5]        1 [0/0/  -   ]: s=5 n=0 x=0 v=0\n\
        (XEN) [   12.5]     4100 [1/0/B 12  ]: s=3 n=1 x=0 d=3 p=40\n\
        (XEN) [   12.5] Event channel information for domain 3:\n\
        (XEN) Polling vCPUs: {0}\n\
        (XEN)     port [p/m/s]\n\
        (XEN)        2 [0/1/?     ]: s=2 n=0 x=0 d=0\n\
        (XEN)       40 [1/1/  41  ]: s=3 n=0 x=0 d=0 p=4100\n\
        (XEN)       41 [1/0/  0   ]: s=3 n=0 x=0 d=0 p=4101\n";

    fn port(pending: bool, masked: bool, link: Link) -> Port {
        Port {
            pending,
            masked,
            link,
        }
    }

    #[test]
    fn a_line_can_be_torn() {
        let between = "\n(XEN) uart interrupt taking more than 4ms, switched to polling\n";
        for (head, rest) in [
            ("4100 [1/0/", "B 12  ]: s=3"),
            ("4100 [1/0/B 12  ", "]: s=3"),
        ] {
            let torn = TEXT.replace(&format!("{head}{rest}"), &format!("{head}{between}{rest}"));
            assert_ne!(torn, TEXT);
            assert_eq!(parse(&torn), parse(TEXT));
        }
    }

    #[test]
    fn a_line_without_its_head_is_no_port() {
        assert!(parse(&TEXT.replace("4100 [1/0/B", "")).is_err());
    }

    #[test]
    fn the_ports_of_all_domains_are_read() {
        let domains = parse(TEXT).unwrap();
        let dom0 = [
            (1, port(false, false, Link::Unlinked)),
            (4100, port(true, false, Link::To(12))),
        ];
        let domu = [
            (2, port(false, true, Link::NoWord)),
            (40, port(true, true, Link::To(41))),
            (41, port(true, false, Link::To(0))),
        ];
        assert_eq!(domains[&0], Ports::from(dom0));
        assert_eq!(domains[&3], Ports::from(domu));
    }

    #[test]
    fn queues_are_followed() {
        let domains = parse(TEXT).unwrap();
        assert_eq!(chain(&domains[&3], 40), [40, 41]);
        assert_eq!(chain(&domains[&3], 41), [41]);
        let circle = Ports::from([
            (1, port(true, false, Link::To(2))),
            (2, port(true, false, Link::To(1))),
        ]);
        assert_eq!(chain(&circle, 1), [1, 2]);
    }

    #[test]
    fn other_text_is_refused() {
        assert!(parse("").is_err());
        assert!(parse(&TEXT.replace("[1/1/", "[1/2/")).is_err());
        assert!(parse(&TEXT.replace("41  ]", "x   ]")).is_err());
    }
}
