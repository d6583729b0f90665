#![no_main]

libfuzzer_sys::fuzz_target!(|input: ballast_fuzz::Annotations| ballast_fuzz::Target::check(input));
