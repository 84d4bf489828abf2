// SPDX-License-Identifier: GPL-2.0

//! Results of operations, and comparison with the results that are expected.

use std::fmt;
use std::io;

use guest_test::process::End;
use xen_grants::GrantRef;

/// Result of an operation.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The slots did not hold the things that the operation takes, so nothing was done.
    Nothing,
    /// Success without a value.
    Done,
    /// Offset of a region, number of a descriptor, or another number.
    Number(u64),
    /// Location of a region.
    Place {
        /// Offset in the file.
        offset: u64,
        /// Number of pages.
        count: u32,
    },
    /// Grants of a new share.
    Grants(Vec<GrantRef>),
    /// Grant references of an imported dma-buf.
    References(Vec<u32>),
    /// Statuses of the segments of a copy.
    Statuses(Vec<i16>),
    /// Bytes that were read.
    Bytes(Vec<u8>),
    /// End of a copy of the process.
    Ended(End),
    /// Error number.
    Error(i32),
}

impl Outcome {
    /// Returns the outcome for an error. One of the program's own making has no number, and no
    /// model expects -1.
    pub fn failure(error: &io::Error) -> Self {
        Self::Error(error.raw_os_error().unwrap_or(-1))
    }

    /// Returns the outcome of a call without a value.
    pub fn done(result: io::Result<()>) -> Self {
        Self::of(result, |()| Self::Done)
    }

    /// Returns the outcome of a call that returns a number.
    pub fn number(result: io::Result<u64>) -> Self {
        Self::of(result, Self::Number)
    }

    /// Returns the outcome of a call that reads bytes.
    pub fn bytes(result: io::Result<Vec<u8>>) -> Self {
        Self::of(result, Self::Bytes)
    }

    /// Returns the outcome of a call, whose value becomes one by `success`.
    pub fn of<T>(result: io::Result<T>, success: impl FnOnce(T) -> Self) -> Self {
        result.map_or_else(|error| Self::failure(&error), success)
    }
}

/// Number of bytes that are printed of a longer outcome.
const PRINTED_BYTES: usize = 16;

/// Prints the variant and its value, but of many bytes only the first ones.
impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Done => f.write_str("Done"),
            Self::Number(number) => write!(f, "Number({number:#x})"),
            Self::Place { offset, count } => write!(f, "Place({offset:#x}, {count} pages)"),
            Self::Grants(grants) => write!(f, "Grants({grants:?})"),
            Self::References(references) => write!(f, "References({references:?})"),
            Self::Statuses(statuses) => write!(f, "Statuses({statuses:?})"),
            Self::Bytes(bytes) if bytes.len() > PRINTED_BYTES => {
                let first = &bytes[..PRINTED_BYTES];
                write!(f, "{} bytes: {first:02x?}...", bytes.len())
            }
            Self::Bytes(bytes) => write!(f, "Bytes({bytes:02x?})"),
            Self::Ended(end) => write!(f, "Ended({end:?})"),
            Self::Error(number) => {
                let error = io::Error::from_raw_os_error(*number);
                write!(f, "Error({error})")
            }
        }
    }
}

/// Verdict about the outcome of an operation: a message if the device must not answer so.
pub type Verdict = Result<(), String>;

/// Results that are expected of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    success: bool,
    errors: Vec<i32>,
}

impl Expected {
    /// Success, and no error.
    pub fn success() -> Self {
        Self {
            success: true,
            errors: Vec::new(),
        }
    }

    /// One error, and no success.
    pub fn error(number: i32) -> Self {
        Self {
            success: false,
            errors: vec![number],
        }
    }

    /// Success, or one error: the model cannot tell.
    pub fn either(number: i32) -> Self {
        Self::success().or(number)
    }

    /// The same, or an error.
    pub fn or(mut self, number: i32) -> Self {
        if !self.errors.contains(&number) {
            self.errors.push(number);
        }
        self
    }

    /// The same with another error in place of success.
    pub fn instead_of_success(self, number: i32) -> Self {
        if self.success {
            self.or(number).failure()
        } else {
            self
        }
    }

    /// One of the errors, and no success.
    pub fn failure(mut self) -> Self {
        self.success = false;
        self
    }

    /// Compares an outcome. Returns true if it is a success that is expected, and false if it is an
    /// expected error.
    ///
    /// # Errors
    ///
    /// A message if the outcome is not one of those that are expected.
    pub fn compare(&self, outcome: &Outcome) -> Result<bool, String> {
        let good = match outcome {
            Outcome::Nothing => false,
            Outcome::Error(number) => self.errors.contains(number),
            _ => self.success,
        };
        if good {
            return Ok(!matches!(outcome, Outcome::Error(_)));
        }
        let success = if self.success {
            "success"
        } else {
            "no success"
        };
        let errors = self.errors.iter().map(|number| Outcome::Error(*number));
        let errors: Vec<_> = errors.collect();
        Err(format!("{outcome:?}, expected {success} and of {errors:?}"))
    }
}

/// Compares an outcome with the only one that is expected.
///
/// # Errors
///
/// A message if they differ.
pub fn expect(outcome: &Outcome, expected: &Outcome) -> Result<(), String> {
    if outcome == expected {
        return Ok(());
    }
    if let (Outcome::Bytes(bytes), Outcome::Bytes(wanted)) = (outcome, expected) {
        let at = bytes
            .iter()
            .zip(wanted)
            .position(|(one, other)| one != other);
        return Err(match at {
            Some(at) => format!("byte {at} is {:#x}, expected {:#x}", bytes[at], wanted[at]),
            None => format!("{} bytes, expected {}", bytes.len(), wanted.len()),
        });
    }
    Err(format!("{outcome:?}, expected {expected:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_must_be_one_of_those_expected() {
        let expected = Expected::either(22).or(14);
        assert_eq!(expected.compare(&Outcome::Error(14)), Ok(false));
        assert_eq!(expected.compare(&Outcome::Done), Ok(true));
        assert!(expected.compare(&Outcome::Error(12)).is_err());
        assert!(expected.compare(&Outcome::Nothing).is_err());
        assert!(expected.failure().compare(&Outcome::Done).is_err());
    }

    #[test]
    fn few_of_many_bytes_are_printed() {
        assert_eq!(
            format!("{:?}", Outcome::Bytes(vec![1, 255])),
            "Bytes([01, ff])"
        );
        let many = format!("{:?}", Outcome::Bytes(vec![0; 4096]));
        assert!(
            many.starts_with("4096 bytes: [00") && many.len() < 90,
            "{many}"
        );
    }

    #[test]
    fn the_first_byte_that_differs_is_named() {
        let bytes = |values: &[u8]| Outcome::Bytes(values.to_vec());
        assert_eq!(expect(&bytes(&[1, 2]), &bytes(&[1, 2])), Ok(()));
        let message = expect(&bytes(&[1, 3]), &bytes(&[1, 2])).unwrap_err();
        assert_eq!(message, "byte 1 is 0x3, expected 0x2");
    }
}
