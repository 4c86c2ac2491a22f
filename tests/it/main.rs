//! Tests of the crate as its users see it, in one binary. Those that need the sentence encoder fetch it
//! through the model store when it is not on the machine, so no step comes before them.

mod support;

/// The sentence encoder against the figures of the reference implementation.
mod sentence;
