//! The reference with which fuzz targets compare the gate is itself compared with the table of cases: for each row of
//! the core, the reference gives the expected answer.

use portcullis_models::reference::{self, Environment, Host, document::Document, request::Request};
use portcullis_tests::cases::{Cases, EngineName, Row, load_all};
use portcullis_tests::listener::PEER_KEY;
use portcullis_tests::told::Told;

fn host(told: &Told) -> Host {
    Host {
        now: told.now.0,
        source: Some(told.source.clone().into_bytes()),
        state: told.state.iter().map(|state| (PEER_KEY.to_owned(), state.clone().into_bytes())).collect(),
        identity: told.identity.clone().map(String::into_bytes),
    }
}

fn answers(cases: &Cases, row: &Row) -> Vec<&'static str> {
    let document = Document::read(&cases.policies[&row.policy]).expect("the reference reads the policy");
    let environment: Environment =
        cases.env.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let told = Told::by(cases, row);
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let request = Request(told.headers.iter().map(|(name, value)| (text(name), value.clone())).collect());
    let decisions = reference::decisions(&document, &environment, &request, &host(&told));
    decisions.into_iter().map(|decision| decision.reason).collect()
}

#[test]
fn the_reference_gives_the_answer_of_each_row() {
    let (mut rows, mut open, mut others) = (0, 0, Vec::new());
    for cases in load_all().expect("the table loads") {
        // The reference has no tokens: services and Envoy's own filter verify them in the suite `tokens`.
        for row in cases.rows.iter().filter(|row| cases.name != "tokens" && row.runs_on(EngineName::Core)) {
            rows += 1;
            let answers = answers(&cases, row);
            open += usize::from(answers.first().is_some_and(|first| *first != row.expect.reason));
            if !answers.iter().any(|answer| *answer == row.expect.reason) {
                others.push(format!("{}: {answers:?}, not {}", row.title(), row.expect.reason));
            }
        }
    }
    assert!(rows > 100, "only {rows} rows");
    assert!(open < 20, "{open} rows have only the stricter answer, which paths beyond ASCII may have");
    assert!(others.is_empty(), "{} of {rows}:\n{}", others.len(), others.join("\n"));
}
