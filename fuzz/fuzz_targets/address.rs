//! See [`portcullis_fuzz::address`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    portcullis_fuzz::address::run(data);
});
