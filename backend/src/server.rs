//! Serving, and stopping.

use std::future::{Future, IntoFuture as _};
use std::time::Duration;

use axum::handler::HandlerWithoutStateExt as _;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::answer::answer;

/// How long open requests may take to finish after the server is told to stop.
const GRACE: Duration = Duration::from_secs(3);

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
///
/// # Errors
///
/// Never: an error on a connection only ends that connection.
pub(crate) async fn serve(
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    // Sends small answers at once: waiting to fill a segment would only add delay.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, answer.into_make_service()).with_graceful_shutdown(async {
        shutdown.await;
        drop(stop);
    });
    let late = async {
        let _ = stopped.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = server.into_future() => ended,
        () = late => Ok(()),
    }
}
