//! See [`portcullis_fuzz::credential`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    portcullis_fuzz::credential::run(data);
});
