//! A small model server as the upstream of the gate.
//!
//! Like the services that the gate is made for, it has no authentication of its own. Every answer contains the request
//! as it arrived: it shows which headers the gate removed and added. For demonstrations and tests.

mod answer;
mod echo;
mod endpoint;
mod pretty;
mod server;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use tokio::net::TcpListener;

/// A small model server that shows which headers reached it.
///
/// Speaks HTTP/1.1 and HTTP/2 without TLS. Prints `listening on ADDRESS` when it is ready, and stops on SIGTERM or
/// Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "portcullis-backend", version)]
struct Arguments {
    /// Where to listen; port 0 takes any free port.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.listen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "portcullis-backend: {}: {error}", arguments.listen);
            ExitCode::FAILURE
        }
    }
}

async fn run(address: SocketAddr) -> std::io::Result<()> {
    // Before the line below is printed: after it, the starter may stop the server at once.
    let shutdown = server::shutdown_signal()?;
    let listener = TcpListener::bind(address).await?;
    announce(listener.local_addr()?)?;
    server::serve(listener, shutdown).await
}

/// Prints that it is ready, and on which port.
fn announce(address: SocketAddr) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening on {address}")?;
    stdout.flush()
}
