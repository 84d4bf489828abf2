// SPDX-License-Identifier: GPL-2.0

//! The hypervisor's answer to its debug key `e`: the state of all event channels.

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
    /// True if an event is pending.
    pub pending: bool,
    /// True if the event is masked.
    pub masked: bool,
    /// Its place in a queue.
    pub link: Link,
}

/// A domain's ports by their numbers.
pub type Ports = BTreeMap<u32, Port>;

/// Number of questions. The hypervisor prints a line in pieces, and another CPU's messages may come
/// between them and tear it; then it is asked again.
const ATTEMPTS: usize = 5;

/// Presses the key and reads the state of all domains' ports.
pub fn press() -> io::Result<BTreeMap<u32, Ports>> {
    read(|| {
        // Older messages of the hypervisor would only be in the way.
        succeed("xl", &["dmesg", "-c"])?;
        succeed("xl", &["debug-keys", "e"])?;
        succeed("xl", &["dmesg"])
    })
}

/// Reads the answer of `ask`, which is asked again as long as the answer cannot be read.
fn read(mut ask: impl FnMut() -> io::Result<String>) -> io::Result<BTreeMap<u32, Ports>> {
    let mut attempts = 1;
    loop {
        match parse(&ask()?) {
            Ok(domains) => return Ok(domains),
            Err(error) if attempts == ATTEMPTS => return Err(io::Error::other(error)),
            Err(_) => attempts += 1,
        }
    }
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
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once(DOMAIN) {
            let number = rest.trim_end_matches(':').parse();
            let number = number.map_err(|_| format!("a domain without number: {line:?}"))?;
            domains.insert(number, Ports::new());
            domain = Some(number);
        } else if let (Some(number), Some((before, _))) = (domain, line.split_once("]: s=")) {
            let (name, port) = parse_port(before).ok_or_else(|| format!("not a port: {line:?}"))?;
            domains.entry(number).or_default().insert(name, port);
        }
    }
    match domains.is_empty() {
        true => Err("the hypervisor says nothing of event channels".into()),
        false => Ok(domains),
    }
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
        // A circle is a fault, and must not hang the program that looks for it.
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

    /// Result of reading these answers, one after the other, and the number of answers that were
    /// asked for.
    fn read_all(answers: &[String]) -> (io::Result<BTreeMap<u32, Ports>>, usize) {
        let mut asked = 0;
        let read = read(|| {
            asked += 1;
            Ok(answers[asked - 1].clone())
        });
        (read, asked)
    }

    #[test]
    fn a_torn_line_is_asked_for_again() {
        let between = "\n(XEN) [   12.5] uart interrupt taking more than 4ms\n";
        for (head, rest) in [
            ("4100 [1/0/", "B 12  ]: s=3"),
            ("4100 [1/0/B 12  ", "]: s=3"),
        ] {
            let torn = TEXT.replace(&format!("{head}{rest}"), &format!("{head}{between}{rest}"));
            assert!(parse(&torn).is_err());
            let (read, asked) = read_all(&[torn.clone(), torn, TEXT.into()]);
            assert_eq!(read.unwrap(), parse(TEXT).unwrap());
            assert_eq!(asked, 3);
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_not_asked_for_for_ever() {
        let answers = vec![TEXT.replace("4100 [1/0/B", ""); ATTEMPTS];
        let (read, asked) = read_all(&answers);
        assert!(read.unwrap_err().to_string().contains("not a port"));
        assert_eq!(asked, ATTEMPTS);
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
