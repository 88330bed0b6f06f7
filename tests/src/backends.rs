//! Real backends as child processes, each in several set-ups that operators use (`tests/backends/`). Each set-up is a
//! [`Site`]; its reply names the resource that the backend resolved the path to.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use crate::leash::Leashed;
use crate::poll;
use crate::servers::{Folder, On, SERVERS, Server};
use crate::sites::{Address, Pace, Site};

/// The running backends; dropping them ends the processes.
#[derive(Debug)]
pub struct Backends {
    // Declared before their directory, so that they end before it is deleted.
    processes: Vec<Leashed>,
    folder: Folder,
    /// All sites.
    pub sites: Vec<Site>,
}

impl Backends {
    /// Starts all backends and waits until every site serves.
    ///
    /// # Panics
    /// If one does not start, with its output.
    pub fn start() -> Self {
        let folder = Folder::new();
        // Held until every site has a port, so that no two get the same port.
        let mut held = Vec::new();
        let placed = SERVERS.map(|server| (folder.place(&server, &mut held), server));
        drop(held);
        let launched = placed.map(|(sites, server)| (folder.launch(&server, &sites), sites, server));
        let mut backends = Self { processes: Vec::new(), folder, sites: Vec::new() };
        for (process, sites, server) in launched {
            let (process, sites) = backends.folder.settle(&server, process, sites);
            backends.processes.push(process);
            backends.sites.extend(sites);
        }
        backends
    }
}

impl Folder {
    /// The addresses of a server's sites. Their ports stay reserved while `held` is kept.
    fn place(&self, server: &Server, held: &mut Vec<TcpListener>) -> Vec<Site> {
        let mut site = |(name, pace, fewest): &(&'static str, Pace, usize)| {
            let address = match server.on {
                On::Sockets => Address::Socket(self.socket(name)),
                On::Ports => {
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
                    let address = listener.local_addr().expect("a bound socket has an address");
                    held.push(listener);
                    Address::Port(address)
                }
            };
            Site { name, address, pace: *pace, fewest: *fewest }
        };
        server.sites.iter().map(&mut site).collect()
    }

    fn launch(&self, server: &Server, sites: &[Site]) -> Leashed {
        let log = File::create(self.log_path(server)).expect("the directory takes a file");
        Leashed::start(&(server.command)(self, sites), log)
    }

    /// Waits until a server serves; restarts it on other ports if a port was taken meanwhile.
    fn settle(&self, server: &Server, mut process: Leashed, mut sites: Vec<Site>) -> (Leashed, Vec<Site>) {
        for _ in 0..10 {
            let up = poll::until(&format!("{} serves, or ends", server.name), || match process.ended() {
                Some(_) => Some(false),
                None => sites.iter().all(Site::serves).then_some(true),
            });
            if up {
                return (process, sites);
            }
            let log = self.log(server);
            let is_taken = server.on == On::Ports && log.contains("Address already in use");
            assert!(is_taken, "{} has ended:\n{log}", server.name);
            sites = self.place(server, &mut Vec::new());
            process = self.launch(server, &sites);
        }
        panic!("{} found its ports taken, ten times", server.name);
    }

    fn log_path(&self, server: &Server) -> PathBuf {
        self.path(server.name).with_extension("log")
    }

    /// The end of a server's output.
    fn log(&self, server: &Server) -> String {
        let bytes = fs::read(self.log_path(server)).unwrap_or_default();
        let log = String::from_utf8_lossy(&bytes).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}
