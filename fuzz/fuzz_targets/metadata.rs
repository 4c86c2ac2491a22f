#![no_main]
//! Bytes as an image file, and as the texts that it carries.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    unprompt::metadata::fuzzing::file(bytes);
    unprompt::metadata::fuzzing::texts(bytes);
});
