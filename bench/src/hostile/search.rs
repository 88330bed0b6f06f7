//! A search for more expensive shapes: random texts of special path elements, of which the most expensive are changed
//! at random again. It only measures the core, as [`native`](super::native) does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::Request;
use super::native::{decide, load};
use super::policies::Under;
use crate::contenders::KEY;

/// Special and usual path elements.
const TOKENS: &[&str] = &[
    "/",
    "//",
    "///",
    "/a",
    "/A",
    "/a/b",
    "a",
    "A",
    "aaaaaaaa",
    "AAAAAAAA",
    "/v2",
    "/v2/models",
    "/V2/Models",
    "/admin",
    "/predict",
    "%41",
    "%61",
    "%2541",
    "%252541",
    "%25252541",
    "%25",
    "%2f",
    "%2F",
    "%252f",
    "%25252f",
    "%2525252f",
    "%3b",
    "%253b",
    ";",
    ";x",
    ";x=1",
    "/;",
    "%3f",
    "%253f",
    "%23",
    "%2523",
    ".",
    "..a",
    "/.a",
    "/a.",
    "/...",
    ".a",
    ".json",
    "/report.html",
    "%2e",
    "%2ea",
    "/%2ea",
    "/a%2e",
    "%20",
    "/%20",
    "/%20a",
    "/a%20",
    "%2520",
    "%C2%A0",
    "%E2%80%8B",
    "%09",
    "%0d",
    "%0a",
    "%2509",
    "/%09",
    "%D0%B0",
    "%D0%90",
    "/%D0%90",
    "%C3%89",
    "%c3%a9",
    "%25C3%2589",
    "%CC%87",
    "/%CC%87",
    "%EF%BC%A1",
    "%EF%BC%8F",
    "%C4%B0",
    "%E2%84%AA",
    "%EF%AC%83",
    "%E1%BA%9E",
    "%F0%90%90%80",
    "%ff",
    "/%ff",
    "%C3",
    "/a.php",
    "/A.PHP",
    ".php",
    ".php/",
    "/index.php",
    "/index.",
    "/default.aspx",
    ".cgi",
    ".do",
    "/%61.p%68p",
    "//h",
    "/%2fh",
    "//h:80",
    "//h%2f",
    "~1",
    "/abcdef~1",
    "~",
    "::$DATA",
    ":",
    ":$",
    "/(S(x))",
    "(",
    "(a(",
    "))",
    "+",
    "?",
    "?a=b&",
    "&",
    "*",
    "{",
    "}",
];

/// The lengths to search: below and above possible limits, and the longest.
const LENGTHS: [usize; 6] = [300, 1_000, 1_024, 4_000, 4_096, 58_000];
/// The policies.
const POLICIES: [Under; 6] =
    [Under::Rules, Under::Protected, Under::Cased, Under::ManyRules, Under::WideRules, Under::WideProtected];
/// The number of texts of each length that are kept for changes.
const POOL: usize = 24;
/// The time to measure one.
const SPAN: Duration = Duration::from_micros(500);
/// The most parts of a text.
const PARTS: usize = 10;

/// The place of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Path,
    OneUrl,
    FourUrls,
}

/// Parts with their number of repetitions; one of them fills the remaining length.
#[derive(Debug, Clone)]
struct Text {
    parts: Vec<(usize, usize)>,
    filler: usize,
    place: Where,
    under: usize,
}

/// Searches for this time; returns the most expensive texts of each length, as lines.
///
/// # Errors
/// If a policy is refused.
pub fn search(span: Duration, seed: u64) -> Result<String, String> {
    let policies = POLICIES.iter().map(|under| load(*under)).collect::<Result<Vec<_>, _>>()?;
    let mut random = Rng::with_seed(seed);
    let mut pools: BTreeMap<usize, Vec<(f64, Text, String)>> = LENGTHS.map(|length| (length, Vec::new())).into();
    let (begin, mut tried) = (Instant::now(), 0_usize);
    while begin.elapsed() < span {
        for (length, pool) in &mut pools {
            let text = if pool.len() < POOL || random.u8(..8) == 0 {
                Text::random(&mut random)
            } else {
                pool[random.usize(..pool.len())].1.changed(&mut random)
            };
            let (time, outcome) = decide(&policies[text.under], &text.request(*length), SPAN);
            tried += 1;
            pool.push((time, text, outcome));
            pool.sort_by(|one, other| other.0.total_cmp(&one.0));
            pool.truncate(POOL);
        }
    }
    let mut lines = format!("{tried} tried, seed {seed}\n");
    for (length, pool) in pools {
        for (time, text, outcome) in pool.into_iter().take(4) {
            let _ = writeln!(lines, "{length:>6} {time:>9.1} us {outcome:>4}  {}", text.shown());
        }
    }
    Ok(lines)
}

impl Text {
    fn random(random: &mut Rng) -> Self {
        let count = random.usize(1..PARTS);
        let part = |random: &mut Rng| (random.usize(..TOKENS.len()), repetitions(random));
        let parts: Vec<_> = (0..count).map(|_| part(random)).collect();
        let place = match random.u8(..4) {
            0 => Where::OneUrl,
            1 => Where::FourUrls,
            _ => Where::Path,
        };
        Self { filler: random.usize(..count), parts, place, under: random.usize(..POLICIES.len()) }
    }

    fn changed(&self, random: &mut Rng) -> Self {
        let mut text = self.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..text.parts.len());
            match random.u8(..7) {
                0 => text.parts[at].0 = random.usize(..TOKENS.len()),
                1 => text.parts[at].1 = repetitions(random),
                2 if text.parts.len() < PARTS => {
                    text.parts.insert(at, (random.usize(..TOKENS.len()), repetitions(random)));
                }
                3 if text.parts.len() > 1 => _ = text.parts.remove(at),
                4 => text.filler = at,
                5 => text.under = random.usize(..POLICIES.len()),
                _ => {
                    let other = random.usize(..text.parts.len());
                    text.parts.swap(at, other);
                }
            }
            text.filler = text.filler.min(text.parts.len() - 1);
        }
        text
    }

    /// The text, at most as long as requested.
    fn of(&self, length: usize) -> String {
        let size = |(token, times): &(usize, usize)| TOKENS[*token].len() * times;
        let fixed: usize = 1 + self.parts.iter().map(size).sum::<usize>();
        let mut text = String::from(if TOKENS[self.parts[0].0].starts_with('/') { "" } else { "/" });
        for (at, (token, times)) in self.parts.iter().enumerate() {
            let more = if at == self.filler { length.saturating_sub(fixed) / TOKENS[*token].len() } else { 0 };
            text.extend(std::iter::repeat_n(TOKENS[*token], times + more));
        }
        text.truncate(length);
        // No partial escape at the end.
        if let Some(at) = text.rfind('%').filter(|at| at + 3 > text.len()) {
            text.truncate(at);
        }
        text
    }

    fn request(&self, length: usize) -> Request {
        let mut request = Request::usual().with_key(KEY);
        let header = |length: usize| ("x-original-url".to_owned(), self.of(length));
        match self.place {
            Where::Path => request.target = self.of(length),
            Where::OneUrl => request.headers.push(header(length)),
            Where::FourUrls => request.headers.extend(std::iter::repeat_n(header(length.min(58_000 / 4)), 4)),
        }
        request
    }

    fn shown(&self) -> String {
        let part = |(at, (token, times)): (usize, &(usize, usize))| {
            let times = if at == self.filler { "..".to_owned() } else { times.to_string() };
            format!("{:?} x {times}", TOKENS[*token])
        };
        let parts: Vec<String> = self.parts.iter().enumerate().map(part).collect();
        format!("{:?}, {}: {}", self.place, POLICIES[self.under].name(), parts.join(", "))
    }
}

/// Usually a small number.
fn repetitions(random: &mut Rng) -> usize {
    if random.u8(..5) == 0 { random.usize(1..40) } else { random.usize(1..4) }
}

#[cfg(test)]
mod tests {
    use super::{LENGTHS, Text};

    #[test]
    fn a_text_is_a_path_of_its_length() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut text = Text::random(&mut random);
        for _ in 0..2_000 {
            text = text.changed(&mut random);
            for length in LENGTHS {
                let path = text.of(length);
                assert!(path.starts_with('/') && path.len() <= length && path.len() + 16 > length, "{}", text.shown());
            }
        }
    }
}
