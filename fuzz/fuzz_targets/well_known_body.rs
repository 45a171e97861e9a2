#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| matrix_delegation_fuzz::well_known_body::run(data));
