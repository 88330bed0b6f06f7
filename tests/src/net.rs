//! TCP connections from a chosen source address, and connections to Unix sockets.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// The timeout of a read or a write.
pub const SILENCE: Duration = Duration::from_secs(20);

/// Connects to `to` from the address `from`, with a port that the kernel chooses.
///
/// # Errors
/// The error of a socket call: for example if the address is not on this machine, or nothing listens.
pub fn connect(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    // The kernel would choose this address too, but with a port that differs from those of all connections that have
    // just ended: thousands of them would use up the ports.
    if from != to.ip() {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.connect_timeout(&to.into(), SILENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects to a Unix socket, from a socket without a name.
///
/// # Errors
/// If nothing listens.
pub fn connect_unix(to: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(to)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    Ok(stream)
}
