// SPDX-License-Identifier: GPL-2.0

//! Arguments of the program.

use std::env;

const USAGE: &str = "usage: gntdev-soak [--seed S] [--lane NAME] [--plant]";

/// Arguments of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Name of the random choices.
    pub seed: u64,
    /// Name of the only lane that works; all do if it is empty.
    pub lane: String,
    /// True if a leak is planted.
    pub plant: bool,
}

impl Options {
    /// Those of this program, or its usage.
    pub fn of_program() -> Result<Self, String> {
        Self::parse(env::args().skip(1)).ok_or_else(|| USAGE.into())
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            seed: 1,
            lane: String::new(),
            plant: false,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--seed" => options.seed = arguments.next()?.parse().ok()?,
                "--lane" => options.lane = arguments.next()?,
                "--plant" => options.plant = true,
                _ => return None,
            }
        }
        Some(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Options> {
        Options::parse(text.split_whitespace().map(String::from))
    }

    #[test]
    fn all_options_are_taken() {
        let options = parse("--plant --seed 7 --lane events").unwrap();
        assert_eq!((options.seed, options.plant), (7, true));
        assert_eq!(options.lane, "events");
        let default = parse("").unwrap();
        assert_eq!((default.lane.as_str(), default.plant), ("", false));
    }

    #[test]
    fn other_arguments_are_refused() {
        for text in ["--seed", "--seed x", "--hours 3", "7"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
