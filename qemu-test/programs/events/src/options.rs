// SPDX-License-Identifier: GPL-2.0

//! The arguments of the suites' programs.

use std::env;
use std::time::Duration;

/// What a suite is told. Each uses what concerns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many ports connect the domains.
    pub ports: usize,
    /// How long events are sent.
    pub duration: Duration,
    /// How often processors go and come back, in both domains together.
    pub cycles: u32,
    /// A part of the names of the rules that are tried.
    pub wanted: String,
}

impl Options {
    /// Those of this program, or how it is used.
    pub fn of_program() -> Result<Self, String> {
        Self::parse(env::args().skip(1))
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        const USAGE: &str =
            "usage: [--ports N] [--seconds N] [--cycles N] [PART OF THE RULES' NAMES]";
        let mut options = Self {
            ports: 6000,
            duration: Duration::from_secs(60),
            cycles: 200,
            wanted: String::new(),
        };
        while let Some(argument) = arguments.next() {
            let mut number = || -> Result<u32, String> {
                let text = arguments.next().ok_or(USAGE)?;
                text.parse().map_err(|_| USAGE.into())
            };
            match argument.as_str() {
                "--ports" => options.ports = number()? as usize,
                "--seconds" => options.duration = Duration::from_secs(number()?.into()),
                "--cycles" => options.cycles = number()?,
                option if option.starts_with("--") => return Err(USAGE.into()),
                _ => options.wanted = argument,
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        Options::parse(text.split_whitespace().map(String::from))
    }

    #[test]
    fn all_can_be_told() {
        let options = parse("--ports 10 --seconds 3 --cycles 4 burst").unwrap();
        assert_eq!((options.ports, options.cycles), (10, 4));
        assert_eq!(options.duration, Duration::from_secs(3));
        assert_eq!(options.wanted, "burst");
    }

    #[test]
    fn what_is_not_an_option_is_refused() {
        for text in ["--port 10", "--ports", "--ports x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
