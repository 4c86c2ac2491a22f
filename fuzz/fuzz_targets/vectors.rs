#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unprompt_index::fuzzing::vectors(bytes));
