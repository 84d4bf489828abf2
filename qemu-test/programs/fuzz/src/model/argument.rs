// SPDX-License-Identifier: GPL-2.0

//! Model of ioctls whose argument can only be read.

use guest_test::errno::EFAULT;

use super::region::mapping_of;
use crate::argument::Answering;
use crate::outcome::Expected;
use crate::outcome::Outcome;
use crate::outcome::Verdict;
use crate::state::State;

pub fn read_only_argument(
    state: &mut State,
    request: Answering,
    outcome: &Outcome,
) -> Option<Verdict> {
    let expected = match request {
        Answering::Insert(_) => Expected::success(),
        Answering::Export(share) => {
            let grants = state.grants.of_share(share)?.to_vec();
            let (expected, _) = mapping_of(state, &grants, true);
            grants
                .iter()
                .for_each(|grant| state.grants.set_used(*grant));
            expected
        }
        Answering::Import(memory) => {
            state.memories[memory].filter(|name| name.open)?;
            Expected::success()
        }
    };
    Some(
        expected
            .instead_of_success(EFAULT)
            .compare(outcome)
            .map(drop),
    )
}
