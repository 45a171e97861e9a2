#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| matrix_delegation_fuzz::server_name::run(data));
