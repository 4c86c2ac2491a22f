//! Makes an error of a panic, for readers of other crates that panic on damaged files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `read`; `None` if it panicked. What it was working on must not be used again.
///
/// Such a panic is one of the ways in which a file says that it is damaged, so its message is not
/// printed; every other panic is reported, by the hook that was there before.
pub fn catch_panic<T>(read: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            if !CATCHING.get() {
                report(panic);
            }
        }));
    });
    let before = CATCHING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    CATCHING.set(before);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_none_also_within_another() {
        assert_eq!(catch_panic(|| 7), Some(7));
        let inner = catch_panic(|| {
            assert_eq!(catch_panic(|| -> u8 { panic!("inner") }), None);
            assert!(CATCHING.get(), "still within the outer one");
            8
        });
        assert_eq!(inner, Some(8));
        assert!(!CATCHING.get());
    }
}
