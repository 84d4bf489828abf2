// SPDX-License-Identifier: GPL-2.0

//! The error type of this crate.

use std::borrow::Cow;
use std::error;
use std::fmt;
use std::io;
use std::time::Duration;

/// Reason why an operation of this crate failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Failure of a call of the kernel or of one of Xen's libraries.
    Failed {
        /// Name of the call, device or xenstore node.
        what: Cow<'static, str>,
        /// The error that the call returned; it has an error number if the call set `errno`.
        source: io::Error,
    },
    /// Nothing came within the time that the caller allowed.
    TimedOut {
        /// Event that the caller waited for.
        awaited: String,
        /// The time that the caller allowed.
        limit: Duration,
    },
    /// The other domain wrote something into xenstore that is not what the protocol asks for.
    Malformed {
        /// Path of the node.
        path: String,
    },
    /// The kernel's buffer of pending events overflowed: some were lost.
    LostEvents,
    /// The other end of a stream has closed it.
    Disconnected,
    /// No connected display has a mode of this size.
    NoDisplay {
        /// Pixels in a row.
        width: u32,
        /// Number of rows.
        height: u32,
    },
}

/// Result of the operations of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>, source: impl Into<io::Error>) -> Self {
        Self::Failed {
            what: what.into(),
            source: source.into(),
        }
    }

    /// The error of the C function that returned last in this thread.
    pub(crate) fn last(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(what, io::Error::last_os_error())
    }

    /// Error number of the call that failed, such as `EINVAL`; `None` if this error is none of a
    /// call.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Failed { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { what, source } => write!(f, "{what}: {source}"),
            Self::TimedOut { awaited, limit } => {
                write!(
                    f,
                    "{awaited}: nothing came within {} s",
                    limit.as_secs_f32()
                )
            }
            Self::Malformed { path } => write!(f, "{path}: malformed value in xenstore"),
            Self::LostEvents => write!(f, "the event channel device has lost events"),
            Self::Disconnected => write!(f, "the other end has closed the stream"),
            Self::NoDisplay { width, height } => {
                write!(
                    f,
                    "no connected display has a mode of {width}x{height} pixels"
                )
            }
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Failed { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Keeps the error number of a failed call, but not the call's name.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Failed { source, .. } => return source,
            Error::TimedOut { .. } => io::ErrorKind::TimedOut,
            Error::Malformed { .. } => io::ErrorKind::InvalidData,
            Error::LostEvents => io::ErrorKind::Other,
            Error::Disconnected => io::ErrorKind::BrokenPipe,
            Error::NoDisplay { .. } => io::ErrorKind::NotFound,
        };
        Self::new(kind, error)
    }
}

/// Turns the result of a C function that returns -1 and sets `errno` into a [`Result`].
pub(crate) fn check(what: &'static str, result: std::ffi::c_int) -> Result<()> {
    if result < 0 {
        return Err(Error::last(what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_keeps_its_error_number() {
        let error = Error::new("mmap", io::Error::from_raw_os_error(libc::EINVAL));
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        assert!(error.to_string().starts_with("mmap: Invalid argument"));
        assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn other_errors_keep_their_text() {
        let limit = Duration::from_millis(1500);
        let awaited = "data/answer".to_string();
        let error = io::Error::from(Error::TimedOut { awaited, limit });
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "data/answer: nothing came within 1.5 s");
    }
}
