//! Real backends as child processes: nginx, Apache httpd and Tomcat, each set up in the several ways that operators use
//! (`tests/backends/`). Every way is a [`Site`]; its reply names the resource that the backend takes the path for.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::envoy::V4;
use crate::http1;
use crate::leash::Leashed;
use crate::message::Reply;
use crate::net::{SILENCE, connect};
use crate::{paths, poll};

/// The sites that listen on a Unix domain socket of their name.
const ON_SOCKETS: [&str; 11] = [
    "nginx-echo",
    "nginx-unmerged",
    "nginx-files",
    "nginx-regex",
    "nginx-prefix",
    "nginx-twice",
    "nginx-tomcat",
    "tomcat-echo",
    "tomcat-decode",
    "tomcat-passthrough",
    "tomcat-files",
];
/// The sites that listen on a port: httpd knows no sockets.
const ON_PORTS: [&str; 7] = [
    "apache-echo",
    "apache-slashes",
    "apache-nodecode",
    "apache-files",
    "apache-regex",
    "apache-tomcat",
    "apache-twice",
];

/// The resources that the sites of files have; each file holds its own name.
const FILES: [&str; 14] = [
    "/",
    "/x",
    "/pub/",
    "/pub/x",
    "/pub/a",
    "/pub/admin/x",
    "/docs/x",
    "/docs/a",
    "/admin/",
    "/admin/x",
    "/admin/a",
    "/v/x/p",
    "/v/a/p",
    "/v/x/a",
];

/// One way to set up a backend.
#[derive(Debug, Clone)]
pub struct Site {
    /// The name, which begins with the backend's.
    pub name: &'static str,
    /// Where it listens.
    pub address: Address,
}

/// Where a site listens.
#[derive(Debug, Clone)]
pub enum Address {
    /// A Unix domain socket.
    Socket(PathBuf),
    /// A TCP port.
    Port(SocketAddr),
}

/// The running backends; dropping them ends the processes.
#[derive(Debug)]
pub struct Backends {
    // Before their directory: they end before that goes.
    processes: Vec<Leashed>,
    directory: TempDir,
    /// All sites.
    pub sites: Vec<Site>,
}

impl Backends {
    /// Starts all backends and waits until every site serves.
    ///
    /// # Panics
    /// If one does not come up, with what it said.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sites = ON_SOCKETS
            .map(|name| Site { name, address: Address::Socket(directory.path().join(name).with_extension("sock")) });
        let mut backends = Self { processes: Vec::new(), directory, sites: sites.to_vec() };
        backends.write_files();
        let tomcat = backends.start_tomcat();
        let nginx = backends.start_nginx();
        let (apache, ports) = backends.start_apache();
        backends.sites.extend(ports);
        for (mut process, name) in [(tomcat, "tomcat"), (nginx, "nginx"), (apache, "apache")] {
            for site in backends.sites.iter().filter(|site| site.name.starts_with(name)) {
                poll::until(&format!("{} serves", site.name), || {
                    assert!(process.ended().is_none(), "{name} has ended:\n{}", backends.log(name));
                    site.serves().then_some(())
                });
            }
            backends.processes.push(process);
        }
        backends
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file below the directory, readable for everyone: httpd gives up root.
    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("the directory takes a directory");
        fs::write(path, text.replace("@DIR@", &self.directory.path().display().to_string()))
            .expect("the directory takes a file");
    }

    fn write_files(&self) {
        fs::set_permissions(self.directory.path(), fs::Permissions::from_mode(0o755)).expect("our own directory");
        for resource in FILES {
            let index = if resource.ends_with('/') { "index.html" } else { "" };
            self.write(&format!("tree{resource}{index}"), resource);
        }
        for (name, resource) in [("admin", "/admin/any"), ("v", "/v/any/p"), ("pub", "/pub/any"), ("docs", "/docs/any")]
        {
            self.write(&format!("any/{name}"), resource);
        }
        self.write("echo/echo.shtml", include_str!("../backends/echo.shtml"));
        self.write("echo/echo.jsp", include_str!("../backends/echo.jsp"));
        self.write("echo/WEB-INF/web.xml", include_str!("../backends/echo.xml"));
        self.write("tomcat/conf/server.xml", include_str!("../backends/server.xml"));
        self.write("tomcat/conf/web.xml", include_str!("../backends/web.xml"));
        self.write("tomcat/conf/context.xml", include_str!("../backends/context.xml"));
        self.write("nginx/nginx.conf", include_str!("../backends/nginx.conf"));
    }

    fn start_program(&self, command: &Command, name: &str) -> Leashed {
        Leashed::start(
            command,
            File::create(self.path(name).with_extension("log")).expect("the directory takes a file"),
        )
    }

    /// The end of what a backend has said.
    fn log(&self, name: &str) -> String {
        let bytes = fs::read(self.path(name).with_extension("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&bytes).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    fn start_nginx(&self) -> Leashed {
        let mut command = program("nginx");
        command.args(["-e", "stderr", "-c", "nginx.conf", "-p"]).arg(self.path("nginx/"));
        self.start_program(&command, "nginx")
    }

    fn start_tomcat(&self) -> Leashed {
        let base = self.path("tomcat");
        let set = |name: &str, value: &Path| format!("-D{name}={}", value.display());
        let mut command = program("catalina");
        command
            // What makes a short life shorter.
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"])
            .arg(set("catalina.base", &base))
            .arg(set("catalina.home", &base))
            .arg(set("java.io.tmpdir", &base));
        self.start_program(&command, "tomcat")
    }

    /// Starts httpd, which can't bind port 0, on ports that were free a moment ago; on others if one no longer is.
    fn start_apache(&self) -> (Leashed, Vec<Site>) {
        for _ in 0..10 {
            let sites = free_ports();
            let mut configuration = include_str!("../backends/httpd.conf").to_owned();
            for (site, port) in &sites {
                configuration = configuration.replace(&format!("@{}@", site.name), &port.to_string());
            }
            self.write("httpd.conf", &configuration);
            let mut command = program("httpd");
            command.args(["-X", "-f"]).arg(self.path("httpd.conf"));
            let mut process = self.start_program(&command, "apache");
            let sites: Vec<Site> = sites.into_iter().map(|(site, _)| site).collect();
            let up = poll::until("httpd serves, or ends", || match process.ended() {
                Some(_) => Some(false),
                None => sites.iter().all(Site::serves).then_some(true),
            });
            if up {
                return (process, sites);
            }
            let log = self.log("apache");
            assert!(log.contains("Address already in use"), "httpd has ended:\n{log}");
        }
        panic!("httpd found all ports taken, ten times");
    }
}

/// A site for each name, on ports that are free now.
fn free_ports() -> Vec<(Site, u16)> {
    let listeners = ON_PORTS.map(|name| (name, TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")));
    let site = |(name, listener): &(&'static str, TcpListener)| {
        let address = listener.local_addr().expect("a bound socket has an address");
        (Site { name, address: Address::Port(address) }, address.port())
    };
    listeners.iter().map(site).collect()
}

fn program(name: &str) -> Command {
    Command::new(paths::backends().join(name))
}

impl Site {
    /// The name of the host, in requests.
    pub fn host(&self) -> String {
        format!("{}.test", self.name)
    }

    /// Whether it answers a request for something public with it.
    pub fn serves(&self) -> bool {
        self.dial().is_ok_and(|stream| {
            let reply = http1::Client::new(stream).send(&http1::get("/pub/x", &[]));
            reply.is_ok_and(|reply| reply.status == 200)
        })
    }

    /// Connects to the site.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn dial(&self) -> io::Result<Box<dyn Stream>> {
        match &self.address {
            Address::Port(address) => Ok(Box::new(connect(V4, *address)?)),
            Address::Socket(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(SILENCE))?;
                stream.set_write_timeout(Some(SILENCE))?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// A connection of whatever kind.
pub trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// Requests over a connection that is made anew where the other side has closed it.
pub struct Dialogue<D> {
    dial: D,
    client: Option<http1::Client<Box<dyn Stream>>>,
}

impl<D> fmt::Debug for Dialogue<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Dialogue").field("connected", &self.client.is_some()).finish_non_exhaustive()
    }
}

impl<D: Fn() -> io::Result<Box<dyn Stream>>> Dialogue<D> {
    /// A dialogue over connections that `dial` makes.
    pub fn new(dial: D) -> Self {
        Self { dial, client: None }
    }

    /// Sends a request and reads the reply to it.
    ///
    /// # Errors
    /// A new connection that ends without a reply.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<Reply> {
        if let Some(mut client) = self.client.take()
            && let Ok(reply) = client.send(request)
        {
            self.keep(client, &reply);
            return Ok(reply);
        }
        let mut client = http1::Client::new((self.dial)()?);
        let reply = client.send(request)?;
        self.keep(client, &reply);
        Ok(reply)
    }

    fn keep(&mut self, client: http1::Client<Box<dyn Stream>>, reply: &Reply) {
        let closing = reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.client = (!closing).then_some(client);
    }
}

/// The resource that a reply of a site names.
pub fn resource(reply: &Reply) -> Option<String> {
    (reply.status == 200).then(|| String::from_utf8_lossy(&reply.body).into_owned())
}
