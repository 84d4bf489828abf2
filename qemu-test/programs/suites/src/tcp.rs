// SPDX-License-Identifier: GPL-2.0

//! TCP within this domain.

use std::io;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::process::Command;

/// Two sockets that are connected with each other.
pub fn connection() -> io::Result<(TcpStream, TcpStream)> {
    // The guests' init scripts need no network.
    let status = Command::new("ifconfig").args(["lo", "up"]).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("ifconfig lo up: {status}")));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    Ok((client, server))
}
