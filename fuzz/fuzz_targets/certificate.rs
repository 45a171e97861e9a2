#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| matrix_delegation_fuzz::certificate::run(data));
