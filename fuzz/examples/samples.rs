//! Rewrites the samples among the seeds of the target `decision`: `cargo run --release --example samples`, in `fuzz/`.
//!
//! It decides random requests under random policies, always the same ones, and keeps one for each combination of
//! reason, method, place of the credential and so on. So the target starts with every kind of answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use portcullis_fuzz::decision;

/// The number of random inputs.
const TRIES: usize = 60_000;

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "get"];
const NAMES: [&str; 22] = [
    "a",
    "b",
    "docs",
    "admin",
    "v",
    "A",
    "%61",
    "a.b",
    "x",
    "caf%C3%A9",
    "a;x",
    "a%2fb",
    "",
    "%2561",
    "b.json",
    "%3fx",
    "x.php",
    "index.html",
    "%2fa",
    "a%09",
    "%ff",
    "a~1",
];
const CREDENTIALS: [&str; 9] = [
    "authorization: Bearer @",
    "x-api-key: @",
    "cookie: session=@",
    "cookie: a=b; session=@;; c",
    "cookie: api_key=@; c=d",
    "?api_key=@",
    "?x&api_key=@&&y=%zz",
    "?a.b=@",
    "x_api_key: @",
];
const MORE: [&str; 15] = [
    "",
    "",
    "",
    "",
    "origin: http://a.test\naccess-control-request-method: GET",
    "@identity: spiffe://c.local/ns/shop/sa/cart",
    "x-http-method-override: DELETE",
    "x-original-url: /admin/b",
    "script_name: /a",
    "destination: /a",
    "via: 1.1 a",
    "x-portcullis-roles: admin\nX_User: a",
    "connection: x-key, x-portcullis-consumer",
    "x-forwarded-for: 127.0.0.1",
    "authorization: Bearer k2",
];

/// A generator of random numbers that needs no crate (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }

    fn one<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

fn main() -> io::Result<()> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/decision");
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut samples = BTreeMap::new();
    for _ in 0..TRIES {
        let (method, place, more) = (random.one(&METHODS), random.one(&CREDENTIALS), random.one(&MORE));
        let credential = place.replace('@', &format!("k{}", 1 + random.below(6)));
        let path: String = (0..1 + random.below(3)).map(|_| format!("/{}", random.one(&NAMES))).collect();
        let (query, header) =
            if place.starts_with('?') { (credential, String::new()) } else { (String::new(), credential) };
        let now = [10, 15, 20, 30, -20][random.below(5)];
        let text = format!(":method: {method}\n:path: {path}{query}\n{header}\n{more}\n@now: {now}\n");
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let policy: Vec<u8> = (0..140).map(|_| random.below(256).to_le_bytes()[0]).collect();
        let input = [lines.join("\n").as_bytes(), b"\n\n", &policy].concat();
        let Some(reason) = decision::run(&input) else { continue };
        let kind = match reason {
            "key" => format!("{method} {place}"),
            "missing_role" => format!("{method} {more}"),
            "expired_key" | "key_not_yet_valid" => now.to_string(),
            _ => more.to_owned(),
        };
        let _ = samples.entry((reason, kind)).or_insert(input);
    }
    for seed in fs::read_dir(&seeds)? {
        let seed = seed?;
        if seed.file_name().to_string_lossy().starts_with("sample-") {
            fs::remove_file(seed.path())?;
        }
    }
    for (number, ((reason, _), input)) in samples.iter().enumerate() {
        fs::write(seeds.join(format!("sample-{reason}-{number}")), input)?;
    }
    Ok(())
}
