//! The programs behind the [sites](crate::sites), their files (`tests/backends/`), and how each is started.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::paths;
use crate::sites::Pace::{Quick, Slow};
use crate::sites::{Pace, Site};

/// A program that serves sites.
pub(crate) struct Server {
    /// Its name, for its log.
    pub(crate) name: &'static str,
    /// The name of each of its sites, its speed, and how often it must find a restricted place in a disguised path.
    pub(crate) sites: &'static [(&'static str, Pace, usize)],
    /// The kind of its addresses.
    pub(crate) on: On,
    /// The command that starts it.
    pub(crate) command: fn(&Folder, &[Site]) -> Command,
}

/// The kind of address of a server's sites.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    /// A Unix domain socket of the site's name.
    Sockets,
    /// A port, for servers without Unix sockets. The port was free a moment ago: these servers cannot bind port 0 and
    /// report it.
    Ports,
}

/// All servers; the slowest to start comes first.
pub(crate) const SERVERS: [Server; 12] = [
    Server {
        name: "tomcat",
        sites: &[
            ("tomcat-echo", Quick, 400),
            ("tomcat-decode", Quick, 400),
            ("tomcat-passthrough", Quick, 400),
            ("tomcat-files", Quick, 400),
        ],
        on: On::Sockets,
        command: |folder, _| tomcat(folder),
    },
    Server {
        name: "daphne",
        sites: &[("daphne-django", Slow, 35)],
        on: On::Sockets,
        command: |folder, sites| {
            let mut command = folder.python("daphne");
            for site in sites {
                command.arg("-u").arg(folder.socket(site.name));
            }
            // It would log each request, and close idle connections.
            command.args(["-v", "0", "--http-timeout", "600", "daphne_site:application"]);
            command
        },
    },
    Server {
        name: "gunicorn",
        sites: &[("gunicorn-wsgi", Slow, 35), ("gunicorn-flask", Slow, 50)],
        on: On::Sockets,
        command: |folder, sites| {
            let mut command = folder.python("gunicorn");
            for site in sites {
                command.arg("-b").arg(format!("unix:{}", folder.socket(site.name).display()));
            }
            command.args(["-c", "gunicorn_settings.py", "gunicorn_sites:application"]);
            command
        },
    },
    Server {
        name: "uvicorn",
        sites: &[("uvicorn-starlette", Slow, 25), ("uvicorn-urlsplit", Slow, 120)],
        on: On::Sockets,
        command: |folder, _| folder.python("uvicorn_sites"),
    },
    Server {
        name: "bottle",
        sites: &[("bottle", Slow, 40)],
        on: On::Ports,
        command: |folder, sites| {
            let mut command = folder.python("bottle_site");
            command.args(sites.iter().map(|site| site.port().to_string()));
            command
        },
    },
    Server {
        name: "node",
        sites: &[("node-url", Quick, 400), ("node-decoded", Quick, 400), ("node-parse", Slow, 40)],
        on: On::Sockets,
        command: |folder, _| {
            let mut command = program("node");
            command.arg("node_sites.js").current_dir(folder.path(""));
            command
        },
    },
    Server { name: "php-plain", sites: &[("php-plain", Slow, 150)], on: On::Ports, command: php },
    Server { name: "php-symfony", sites: &[("php-symfony", Slow, 35)], on: On::Ports, command: php },
    Server { name: "php-moved", sites: &[("php-moved", Slow, 100)], on: On::Ports, command: php },
    // The upstream of nginx-symfony.
    Server {
        name: "php-cgi",
        sites: &[],
        on: On::Sockets,
        command: |folder, _| {
            let mut command = program("php-cgi");
            command.arg("-b").arg(folder.socket("php-cgi")).env("PHP_FCGI_MAX_REQUESTS", "0");
            command
        },
    },
    Server {
        name: "nginx",
        sites: &[
            ("nginx-echo", Quick, 400),
            ("nginx-unmerged", Quick, 400),
            ("nginx-files", Quick, 400),
            ("nginx-regex", Quick, 400),
            ("nginx-prefix", Quick, 400),
            ("nginx-twice", Quick, 400),
            ("nginx-tomcat", Quick, 400),
            ("nginx-symfony", Slow, 35),
        ],
        on: On::Sockets,
        command: |folder, _| {
            let mut command = program("nginx");
            command.args(["-e", "stderr", "-c", "nginx.conf", "-p"]).arg(folder.path("nginx/"));
            command
        },
    },
    Server {
        name: "apache",
        sites: &[
            ("apache-echo", Quick, 400),
            ("apache-slashes", Quick, 400),
            ("apache-nodecode", Quick, 400),
            ("apache-files", Quick, 400),
            ("apache-regex", Quick, 400),
            ("apache-tomcat", Quick, 400),
            ("apache-twice", Quick, 400),
        ],
        on: On::Ports,
        command: apache,
    },
];

/// The resources of file-serving sites; each file contains its own name.
const FILES: [&str; 15] = [
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
    "/v/d/p/",
];

/// The directory with the configurations, files, sockets and logs of the backends.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    /// Creates a folder with the files of all servers.
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary directory"));
        folder.write_files();
        folder
    }

    /// The path of a file of that name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The Unix domain socket of a site.
    pub(crate) fn socket(&self, site: &str) -> PathBuf {
        self.path(site).with_extension("sock")
    }

    /// Writes a file, readable for everyone: httpd drops root privileges.
    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("the directory takes a directory");
        fs::write(path, text.replace("@DIR@", &self.0.path().display().to_string()))
            .expect("the directory takes a file");
    }

    fn write_files(&self) {
        fs::set_permissions(self.0.path(), fs::Permissions::from_mode(0o755)).expect("our own directory");
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
        self.write("gunicorn_sites.py", include_str!("../backends/gunicorn_sites.py"));
        self.write("gunicorn_settings.py", include_str!("../backends/gunicorn_settings.py"));
        self.write("daphne_site.py", include_str!("../backends/daphne_site.py"));
        self.write("uvicorn_sites.py", include_str!("../backends/uvicorn_sites.py"));
        self.write("bottle_site.py", include_str!("../backends/bottle_site.py"));
        self.write("node_sites.js", include_str!("../backends/node_sites.js"));
        for (site, controller) in [
            ("php-plain", include_str!("../backends/php_plain.php")),
            ("php-symfony", include_str!("../backends/php_symfony.php")),
            ("php-moved", include_str!("../backends/php_moved.php")),
        ] {
            for script in ["index.php", "x.php", "pub/app.php"] {
                self.write(&format!("{site}/{script}"), controller);
            }
            self.write(&format!("{site}/pub/index.php"), include_str!("../backends/php_pub.php"));
        }
    }

    /// A Python command that runs a module.
    fn python(&self, module: &str) -> Command {
        let mut command = program("python");
        command.args(["-m", module]).current_dir(self.path("")).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

fn program(name: &str) -> Command {
    Command::new(paths::backends().join(name))
}

fn tomcat(folder: &Folder) -> Command {
    let base = folder.path("tomcat");
    let set = |name: &str, value: &Path| format!("-D{name}={}", value.display());
    let mut command = program("catalina");
    command
        // Settings for a faster start and stop.
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"])
        .arg(set("catalina.base", &base))
        .arg(set("catalina.home", &base))
        .arg(set("java.io.tmpdir", &base));
    command
}

fn apache(folder: &Folder, sites: &[Site]) -> Command {
    let mut configuration = include_str!("../backends/httpd.conf").to_owned();
    for site in sites {
        configuration = configuration.replace(&format!("@{}@", site.name), &site.port().to_string());
    }
    folder.write("httpd.conf", &configuration);
    let mut command = program("httpd");
    command.args(["-X", "-f"]).arg(folder.path("httpd.conf"));
    command
}

/// PHP's built-in server on the directory of the site.
fn php(folder: &Folder, sites: &[Site]) -> Command {
    let mut command = program("php");
    for site in sites {
        command.arg("-S").arg(format!("127.0.0.1:{}", site.port())).arg("-q").arg("-t").arg(folder.path(site.name));
    }
    command
}
