// SPDX-License-Identifier: GPL-2.0

//! The arguments of the suites' programs.

use std::env;
use std::fmt;
use std::time::Duration;

/// Arguments of a suite. Each suite uses those that concern it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Number of ports that connect the domains.
    pub ports: usize,
    /// Duration of the storms.
    pub duration: Duration,
    /// Number of times that processors go and come back, in both domains together.
    pub cycles: u32,
    /// Number of rules into which a long one is divided. A machine that dies loses one of them
    /// only.
    pub parts: u32,
    /// Part of the names of the rules that are tried.
    pub wanted: String,
}

impl Options {
    /// Those of this program, or its usage.
    pub fn of_program() -> Result<Self, String> {
        Self::parse(env::args().skip(1))
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        const USAGE: &str = "usage: [--ports N] [--seconds N] [--cycles N] [--parts N] \
                             [PART OF THE RULES' NAMES]";
        let mut options = Self {
            ports: 6000,
            duration: Duration::from_secs(60),
            cycles: 200,
            parts: 1,
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
                "--parts" => options.parts = number()?.max(1),
                option if option.starts_with("--") => return Err(USAGE.into()),
                _ => options.wanted = argument,
            }
        }
        Ok(options)
    }

    /// All parts.
    pub fn all_parts(&self) -> impl Iterator<Item = Part> {
        let of = self.parts;
        (0..of).map(move |index| Part { index, of })
    }
}

/// Part of a long rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    index: u32,
    of: u32,
}

impl Part {
    /// Share of `number` that falls to this part.
    pub fn share(self, number: u32) -> u32 {
        number * (self.index + 1) / self.of - number * self.index / self.of
    }
}

/// End of a rule's name; empty if this is the only part.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            1 => Ok(()),
            of => write!(f, ", part {} of {of}", self.index + 1),
        }
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
    fn the_parts_make_the_whole() {
        let shares = |text: &str, number| -> Vec<u32> {
            let parts = parse(text).unwrap().all_parts();
            parts.map(|part| part.share(number)).collect()
        };
        assert_eq!(shares("", 150), [150]);
        assert_eq!(shares("--parts 4", 150), [37, 38, 37, 38]);
        assert_eq!(shares("--parts 0", 8), [8]);
    }

    #[test]
    fn a_part_says_so() {
        let names = |text: &str| -> Vec<String> {
            let parts = parse(text).unwrap().all_parts();
            parts.map(|part| part.to_string()).collect()
        };
        assert_eq!(names(""), [""]);
        assert_eq!(names("--parts 2"), [", part 1 of 2", ", part 2 of 2"]);
    }

    #[test]
    fn what_is_not_an_option_is_refused() {
        for text in ["--port 10", "--ports", "--ports x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
