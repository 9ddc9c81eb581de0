#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| experiments::fuzzing::settings(bytes));
