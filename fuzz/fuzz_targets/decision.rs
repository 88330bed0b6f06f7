//! See [`portcullis_fuzz::decision`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = portcullis_fuzz::decision::run(data);
});
