// SPDX-License-Identifier: GPL-2.0

//! Search for a short sequence that fails as a long one does.

/// Returns a part of `items` for which `fails` is still true, and from which no single item can be
/// removed. `fails` must be true for `items`.
///
/// Parts are removed that are half as long as the sequence, then a quarter, and so on down to
/// single items, until nothing can be removed.
pub fn shrink<T: Clone>(items: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut left = items.to_vec();
    let mut length = left.len().div_ceil(2);
    while length > 0 {
        let mut has_shrunk = false;
        let mut start = 0;
        while start < left.len() {
            let end = (start + length).min(left.len());
            let rest = [&left[..start], &left[end..]].concat();
            if fails(&rest) {
                left = rest;
                has_shrunk = true;
            } else {
                start = end;
            }
        }
        if length > 1 {
            length /= 2;
        } else if !has_shrunk {
            break;
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_items_that_matter_are_left() {
        let items: Vec<u32> = (0..1000).collect();
        let mut tries = 0;
        let left = shrink(&items, |part| {
            tries += 1;
            [7, 300, 999].iter().all(|wanted| part.contains(wanted))
        });
        assert_eq!(left, [7, 300, 999]);
        assert!(tries < 200, "{tries}");
    }

    #[test]
    fn an_item_can_go_after_another_has_gone() {
        // The first one cannot be removed as long as the second is there.
        let left = shrink(&[1, 2], |part| !part.contains(&2) || part.contains(&1));
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn nothing_may_matter() {
        assert!(shrink(&[1, 2, 3], |_| true).is_empty());
        assert_eq!(shrink(&[1], |part| !part.is_empty()), [1]);
    }
}
