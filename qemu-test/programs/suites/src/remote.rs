// SPDX-License-Identifier: GPL-2.0

//! A granter in a domU, reached through xenstore.

use std::env;
use std::io;

use xen_grants::grant_share::Access;
use xen_grants::xenstore::Xenstore;
use xen_grants::DOM0;

use crate::granter::grants_of;
use crate::granter::Granter;
use crate::granter::Share;
use crate::protocol;
use crate::protocol::Command;
use crate::wait::PATIENCE;

/// The client of program `granter` in a domU.
pub struct RemoteGranter {
    store: Xenstore,
    domid: u32,
    number: u64,
}

impl RemoteGranter {
    /// The domU that the harness named in `$DOMU`.
    pub fn domid_of_domu() -> io::Result<u32> {
        let text = env::var("DOMU").map_err(|_| io::Error::other("$DOMU names no domain"))?;
        text.parse()
            .map_err(|_| io::Error::other(format!("$DOMU is no domain id: {text:?}")))
    }

    /// Connects to the granter in domain `domid` and ends what it shared so far.
    pub fn connect(domid: u32) -> io::Result<Self> {
        let store = Xenstore::open()?;
        // The numbers of this client follow those of the one before it.
        let last = store.read(&node(domid, protocol::REQUEST))?;
        let number = last
            .as_deref()
            .and_then(protocol::numbered)
            .map_or(0, |(number, _)| number);
        let mut granter = Self {
            store,
            domid,
            number,
        };
        granter.call(&Command::Reset)?;
        Ok(granter)
    }

    fn call(&mut self, command: &Command) -> io::Result<String> {
        // A write below the path of a domain that has gone would create that path again.
        if self.store.read(&node(self.domid, "domid"))?.is_none() {
            let message = format!("domain {} has gone", self.domid);
            return Err(io::Error::new(io::ErrorKind::NotConnected, message));
        }
        self.number += 1;
        let request = format!("{} {command}", self.number);
        self.store
            .write(&node(self.domid, protocol::REQUEST), &request)?;
        let response = self.store.wait_for(
            &node(self.domid, protocol::RESPONSE),
            PATIENCE,
            |response| match protocol::numbered(response) {
                Some((number, text)) if number == self.number => Some(text.to_string()),
                _ => None,
            },
        )?;
        match response.split_once(' ') {
            Some(("ok", result)) => Ok(result.to_string()),
            _ => Err(io::Error::other(format!("{command:?}: {response}"))),
        }
    }

    fn call_for_share(&mut self, command: &Command) -> io::Result<Share> {
        let answer = self.call(command)?;
        let (id, references) = answer.split_once(' ').unwrap_or((&answer, ""));
        Ok(Share {
            id: parsed(protocol::number(id))?,
            grants: grants_of(self.domid, &parsed(protocol::references(references))?),
        })
    }
}

fn node(domid: u32, path: &str) -> String {
    format!("/local/domain/{domid}/{path}")
}

fn parsed<T>(result: Result<T, String>) -> io::Result<T> {
    result.map_err(io::Error::other)
}

impl Granter for RemoteGranter {
    fn domid(&self) -> u32 {
        self.domid
    }

    fn share(&mut self, pages: usize, access: Access) -> io::Result<Share> {
        self.call_for_share(&Command::Share(pages, access))
    }

    fn share_file(&mut self, pages: usize) -> io::Result<Share> {
        self.call_for_share(&Command::ShareFile(pages))
    }

    fn map(&mut self, references: &[u32], access: Access) -> io::Result<Share> {
        let answer = self.call(&Command::Map(references.to_vec(), access))?;
        Ok(Share {
            id: parsed(protocol::number(&answer))?,
            grants: grants_of(DOM0, references),
        })
    }

    fn export(&mut self, references: &[u32], flags: u32) -> io::Result<Share> {
        let answer = self.call(&Command::Export(references.to_vec(), flags))?;
        Ok(Share {
            id: parsed(protocol::number(&answer))?,
            grants: grants_of(DOM0, references),
        })
    }

    fn map_own(&mut self) -> io::Result<Vec<i32>> {
        let answer = self.call(&Command::MapOwn)?;
        answer
            .split_whitespace()
            .map(|number| parsed(protocol::number(number)))
            .collect()
    }

    fn free_memory(&mut self) -> io::Result<u64> {
        let answer = self.call(&Command::FreeMemory)?;
        parsed(protocol::number(&answer))
    }

    fn fill(&mut self, share: &Share, seed: u32) -> io::Result<()> {
        self.call(&Command::Fill(share.id, seed)).map(drop)
    }

    fn first_difference(&mut self, share: &Share, seed: u32) -> io::Result<Option<usize>> {
        let answer = self.call(&Command::Compare(share.id, seed))?;
        match answer.as_str() {
            "same" => Ok(None),
            at => parsed(protocol::number(at)).map(Some),
        }
    }

    fn read(&mut self, share: &Share, at: usize) -> io::Result<u8> {
        let answer = self.call(&Command::Read(share.id, at))?;
        parsed(protocol::number(&answer))
    }

    fn write(&mut self, share: &Share, at: usize, value: u8) -> io::Result<()> {
        self.call(&Command::Write(share.id, at, value)).map(drop)
    }

    fn unshare(&mut self, share: Share) -> io::Result<()> {
        self.call(&Command::End(share.id)).map(drop)
    }
}
