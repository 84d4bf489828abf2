// SPDX-License-Identifier: GPL-2.0

//! Rules, and suites that try a list of them.

use std::env;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use guest_test::counters::Counters;
use guest_test::grant_usage::GrantUsage;
use guest_test::ktap;
use guest_test::ktap::Case;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use guest_test::platform::Driver;
use guest_test::platform::MemoryModel;
use guest_test::totals;

use crate::remote::RemoteGranter;
use crate::wait::settle;
use crate::wait::PATIENCE;
use crate::world::settled;
use crate::world::Source;
use crate::world::World;

/// Defines the rules of a file: the list `RULES`, in the order of the macro's arguments, and the
/// function that checks each rule.
///
/// ```text
/// rules![
///     /// Why it is so, if that is not obvious.
///     #[rule("a region maps nothing before mmap")]
///     #[expect_c_differs("maps at once")]
///     fn nothing_before_mmap(world: &mut World) -> Verdict {
///         ...
///     },
/// ];
/// ```
///
/// `#[rule]` has the text of a rule. The attributes after it are methods of [`Rule`] with their
/// argument. The macro is called with brackets, and its functions are separated by commas: rustfmt
/// formats such a list of items with their bodies, and leaves arguments in braces alone.
macro_rules! rules {
    ($(
        $(#[doc = $doc:literal])*
        #[rule($text:literal)]
        $(#[$option:ident $(($argument:expr))?])*
        fn $check:ident($world:tt: $type:ty) -> $verdict:ty $body:block
    ),+ $(,)?) => {
        /// The rules of this subject.
        pub const RULES: &[$crate::suite::Rule] = &[
            $($crate::suite::Rule::new($text, $check)$(.$option($($argument)?))*),+
        ];

        $(
            $(#[doc = $doc])*
            fn $check($world: $type) -> $verdict $body
        )+
    };
}
pub(crate) use rules;

/// A rule of the device and its check.
pub struct Rule {
    name: &'static str,
    check: fn(&mut World) -> Verdict,
    limit: Duration,
    difference: Option<Difference>,
}

/// Difference of Linux's C driver, in domains of these memory models.
struct Difference {
    models: &'static [MemoryModel],
    reason: &'static str,
}

const BOTH: &[MemoryModel] = &[MemoryModel::Paravirtual, MemoryModel::AutoTranslated];

impl Rule {
    /// A rule that takes seconds on a quiet machine. The limit is for one that hangs: it is wide
    /// enough for a debug kernel on a busy host, and longer than any wait within a rule.
    pub const fn new(name: &'static str, check: fn(&mut World) -> Verdict) -> Self {
        Self {
            name,
            check,
            limit: Duration::from_secs(300),
            difference: None,
        }
    }

    /// Allows it twice the time.
    pub const fn long(mut self) -> Self {
        self.limit = Duration::from_secs(600);
        self
    }

    /// The C driver does not keep this rule.
    pub const fn expect_c_differs(self, reason: &'static str) -> Self {
        self.differs(BOTH, reason)
    }

    /// The C driver does not keep this rule in a paravirtual domain.
    pub const fn expect_c_differs_on_pv(self, reason: &'static str) -> Self {
        self.differs(&[MemoryModel::Paravirtual], reason)
    }

    /// The C driver does not keep this rule in an auto-translated domain.
    pub const fn expect_c_differs_on_auto_translated(self, reason: &'static str) -> Self {
        self.differs(&[MemoryModel::AutoTranslated], reason)
    }

    const fn differs(mut self, models: &'static [MemoryModel], reason: &'static str) -> Self {
        self.difference = Some(Difference { models, reason });
        self
    }

    fn expected_failure(&self, driver: Driver, model: MemoryModel) -> Option<&'static str> {
        let difference = self.difference.as_ref()?;
        let here = driver == Driver::C && difference.models.contains(&model);
        here.then_some(difference.reason)
    }
}

/// Tries `rules` on grants of `source`. A rule that leaves a grant mapped, or anything in the
/// driver's totals, fails. The program's argument, if any, selects the rules whose text contains
/// it.
pub fn run(name: &str, source: Source, rules: &[&Rule]) -> ExitCode {
    run_checked(name, source, rules, |driver| {
        let mut leaks = LeakCheck::new(driver)?;
        Ok(move || leaks.check())
    })
}

/// Tries `rules`, and after each of them what `checks` returns for the driver that is tested.
fn run_checked<C: FnMut() -> Result<(), String>>(
    name: &str,
    source: Source,
    rules: &[&Rule],
    checks: impl FnOnce(Driver) -> io::Result<C>,
) -> ExitCode {
    let wanted = env::args().nth(1).unwrap_or_default();
    let setting = || -> io::Result<_> {
        let driver = Driver::current()?;
        Ok((checks(driver)?, driver, MemoryModel::current()?))
    };
    let (after_each, driver, model) = match setting() {
        Ok(setting) => setting,
        Err(error) => {
            println!("Bail out! {name} cannot begin: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("# {name}: {driver:?} driver, {model:?} domain, grants of {source:?}");

    let cases = rules
        .iter()
        .filter(|rule| rule.name.contains(&wanted))
        .map(|rule| Case {
            name: rule.name.to_string(),
            limit: rule.limit,
            expected_failure: rule.expected_failure(driver, model),
            body: Box::new(|| (rule.check)(&mut World::new(source)?)),
        })
        .collect();
    ktap::run(name, cases, after_each)
}

/// As [`run`], on the grants of the domU that the harness started.
pub fn run_on_domu(name: &str, rules: &[&Rule]) -> ExitCode {
    with_domu(name, |source| run(name, source, rules))
}

/// As [`run_on_domu`], for rules about losses: they check themselves that nothing else is left.
pub fn run_losing_on_domu(name: &str, rules: &[&Rule]) -> ExitCode {
    with_domu(name, |source| {
        run_checked(name, source, rules, |_| Ok(|| Ok(())))
    })
}

fn with_domu(name: &str, run: impl FnOnce(Source) -> ExitCode) -> ExitCode {
    match RemoteGranter::domid_of_domu() {
        Ok(domid) => run(Source::Domu(domid)),
        Err(error) => {
            println!("Bail out! {name} needs a domU: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Environment variable of programs that run beside others: what is in use at the end of a case may
/// be the others'. The program that started them all looks for what they leave behind.
pub const BESIDE_OTHERS: &str = "BESIDE_OTHERS";

/// True if this program runs beside others.
pub fn runs_beside_others() -> bool {
    env::var_os(BESIDE_OTHERS).is_some()
}

/// A check for what a case leaves behind: grants that Xen lists as mapped, and all that the driver
/// counts. A leak is reported once, for that case.
pub struct LeakCheck {
    /// `None` in a program that runs beside others.
    usage: Option<GrantUsage>,
    /// `None` also with Linux's C driver.
    totals: Option<Counters>,
}

impl LeakCheck {
    /// Reads what there is before the first case, with the driver `driver`.
    pub fn new(driver: Driver) -> io::Result<Self> {
        if runs_beside_others() {
            return Ok(Self {
                usage: None,
                totals: None,
            });
        }
        let totals = match driver {
            Driver::C => None,
            Driver::Rust => Some(totals::read()?),
        };
        Ok(Self {
            usage: Some(GrantUsage::read()?),
            totals,
        })
    }

    /// Fails if a grant stays mapped that was not mapped at the last call, or if the driver counts
    /// more of anything than it did then.
    pub fn check(&mut self) -> Result<(), String> {
        let messages = self.leaks().map_err(|error| error.to_string())?;
        if messages.is_empty() {
            return Ok(());
        }
        Err(messages.join("\n"))
    }

    /// Returns a message for each kind of leak since the last call.
    fn leaks(&mut self) -> io::Result<Vec<String>> {
        let mut messages = Vec::new();
        if let Some(before) = &mut self.usage {
            let usage = settled(|usage| usage.beyond(before).is_empty())?;
            let left = usage.beyond(before);
            if !left.is_empty() {
                messages.push(format!("still mapped after the end: {left}"));
                *before = usage;
            }
        }
        if let Some(before) = &mut self.totals {
            let now = settle(PATIENCE, totals::read, |now| {
                totals::leaks(now, before).is_empty()
            })?;
            let left = totals::leaks(&now, before);
            if !left.is_empty() {
                messages.push(format!("left in the driver's totals: {left:?}"));
            }
            *before = now;
        }
        Ok(messages)
    }
}

/// Reports a suite that cannot be tried here, as a plan without cases.
pub fn skip(name: &str, reason: &str) -> ExitCode {
    println!("KTAP version 1");
    println!("# Subtest: {name}");
    println!("1..0 # SKIP {reason}");
    ExitCode::SUCCESS
}

/// Ends a case that cannot be tried here.
pub fn skip_case(reason: &str) -> Verdict {
    Err(Stop::Skip(reason.into()))
}
