//! The files of Stead on a host. Everything is in them that systemd has to know; an administrator reads and overrides
//! them in the usual way (`systemctl edit`).

/// A file that Stead owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: &'static str,
    /// What is in it.
    pub content: &'static str,
}

/// A unit that Stead owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: &'static str,
    /// Its file is one of [`FILES`], by this path.
    pub path: &'static str,
}

/// sysusers.d(5).
const USERS: &str = "\
# Made by `stead host add`.
u stead-edge - \"Stead's edge\" /nonexistent /usr/sbin/nologin
";

/// tmpfiles.d(5).
const DIRECTORIES: &str = "\
# Made by `stead host add`.
d /run/stead 0755 root root -
d /var/lib/stead 0755 root root -
";

/// systemd.socket(5). Visitors who connect while no edge runs wait in here.
const EDGE_SOCKET: &str = "\
# Made by `stead host add`; `systemctl edit stead-edge.socket` changes it.
[Unit]
Description=Where visitors connect, and where the edge is controlled

[Socket]
ListenStream=80
ListenStream=/run/stead/edge.sock
SocketUser=stead-edge
# The agent is root without the right to pass over modes.
SocketGroup=root
SocketMode=0660
DirectoryMode=0755
Backlog=4096
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
";

/// Where visitors connect over TLS. It is a unit of its own so that a host whose port 443 is somebody else's serves plain HTTP: there it is
/// not enabled. systemd opens a socket only while its service does not run, so whoever enables it lets the service begin anew, which wants it.
const EDGE_TLS_SOCKET: &str = "\
# Made by `stead host add`; `systemctl edit stead-edge-tls.socket` changes it.
[Unit]
Description=Where visitors connect over TLS

[Socket]
ListenStream=443
FileDescriptorName=tls
Service=stead-edge.service
Backlog=4096

[Install]
WantedBy=sockets.target stead-edge.service
";

/// systemd.service(5), systemd.exec(5). The sockets come from systemd, so that the edge needs no capability at all; see the decision on it.
const EDGE_SERVICE: &str = "\
# Made by `stead host add`; `systemctl edit stead-edge.service` changes it.
[Unit]
Description=Stead's edge, which accepts visitors
Requires=stead-edge.socket
After=stead-edge.socket network.target

[Service]
Type=notify
# An edge is replaced by its child (`stead edge upgrade`), which then is the main process.
NotifyAccess=all
ExecStart=/usr/local/bin/stead edge --drain 60s --access-log /var/log/stead/access.log --metrics /run/stead-edge/metrics.sock
TimeoutStopSec=75
KillMode=mixed
Restart=always
RestartSec=100ms
User=stead-edge
Group=stead-edge
StateDirectory=stead/edge
StateDirectoryMode=0700
RuntimeDirectory=stead-edge
RuntimeDirectoryMode=0700
LogsDirectory=stead
LogsDirectoryMode=0750
UMask=0077
LimitNOFILE=1048576
OOMScoreAdjust=-500

CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
";

/// The agent is root: it makes users and units. What it does not need is taken all the same.
const AGENT_SERVICE: &str = "\
# Made by `stead host add`; `systemctl edit stead-agent.service` changes it.
[Unit]
Description=Stead's agent, which keeps this host as its apps want it
After=network.target dbus.service
# However often it ends, it is started again.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=/usr/local/bin/stead agent
WatchdogSec=30
TimeoutStopSec=30
Restart=always
RestartSec=1
UMask=0077

NoNewPrivileges=yes
ProtectSystem=strict
# Units of apps are files there.
ReadWritePaths=/run/stead /var/lib/stead /etc/systemd/system
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
# Code is an app's user's while it is built, and root's afterwards; what an installer left is removed.
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
";

/// Where visitors connect over TLS.
pub const TLS_SOCKET: &str = "stead-edge-tls.socket";

/// In the order in which they are written.
pub const FILES: [File; 6] = [
    File {
        path: "/etc/sysusers.d/stead.conf",
        content: USERS,
    },
    File {
        path: "/etc/tmpfiles.d/stead.conf",
        content: DIRECTORIES,
    },
    File {
        path: "/etc/systemd/system/stead-edge.socket",
        content: EDGE_SOCKET,
    },
    File {
        path: "/etc/systemd/system/stead-edge-tls.socket",
        content: EDGE_TLS_SOCKET,
    },
    File {
        path: "/etc/systemd/system/stead-edge.service",
        content: EDGE_SERVICE,
    },
    File {
        path: "/etc/systemd/system/stead-agent.service",
        content: AGENT_SERVICE,
    },
];

/// In the order in which they are started; they are stopped in the opposite one.
pub const UNITS: [Unit; 4] = [
    Unit {
        name: "stead-edge.socket",
        path: "/etc/systemd/system/stead-edge.socket",
    },
    Unit {
        name: TLS_SOCKET,
        path: "/etc/systemd/system/stead-edge-tls.socket",
    },
    Unit {
        name: "stead-edge.service",
        path: "/etc/systemd/system/stead-edge.service",
    },
    Unit {
        name: "stead-agent.service",
        path: "/etc/systemd/system/stead-agent.service",
    },
];
