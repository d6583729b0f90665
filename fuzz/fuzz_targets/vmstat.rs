#![no_main]

libfuzzer_sys::fuzz_target!(|input: ballast_fuzz::Vmstat| ballast_fuzz::Target::check(input));
