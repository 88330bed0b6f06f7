//! Connections: accept them, serve them, and stop.

use std::convert::Infallible;
use std::future::Future;
use std::io::Write as _;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::answer::answer;

/// How long open requests may take to finish once the server is told to stop.
const GRACE: Duration = Duration::from_secs(3);

/// How long to wait after a failed accept. They fail when file descriptors run out, and trying again at once would
/// only take the processor from the connections that could free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Completes on SIGTERM or SIGINT. The handlers are in place when this returns, not when it is first polled.
///
/// # Errors
///
/// If the system refuses a handler.
pub(crate) fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Serves HTTP/1.1 and HTTP/2 with prior knowledge on `listener` until `shutdown` completes, then lets open requests
/// finish, within a few seconds.
pub(crate) async fn serve(listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let builder = auto::Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);

    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    let _ = writeln!(std::io::stderr(), "portcullis-backend: accept: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        // Small answers, wanted at once: waiting to fill a segment would only add delay.
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // A client that hangs up in the middle is no event for a sample.
            let _ = connection.await;
        });
    }

    drop(listener);
    let _ = tokio::time::timeout(GRACE, connections.shutdown()).await;
}
