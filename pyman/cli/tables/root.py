"""The options of pyman itself, before any command. CLI process, where one is given."""

# Podman's root options. They may follow the command as well, where it has no option of that name.
GLOBAL = """
cdi-spec-dir list Directory of descriptions of devices !! devices are named one by one (--device), not by descriptions of vendors
cgroup-manager str Who makes control groups: systemd or cgroupfs
config str Directory of Docker's config.json with credentials
conmon str Monitor of containers !! pyman has a monitor of its own
connection,c str Connection to a remote service !! pyman works on this machine, without a service: ssh HOST pyman ...
events-backend str Where events are written !! (file) the key events_logger of containers.toml says where: file or none
help,h bool Print help
hooks-dir list Directory of hooks !! pyman runs no programs of the host around containers; set-up hooks of networks are in containers.toml (setup_hooks)
identity str Key for a remote service !! pyman works on this machine, without a service: ssh HOST pyman ...
imagestore str Place of images alone !! further places of images are read-only: additional_image_stores in containers.toml
log-level str=warn trace and debug print tracebacks of failures
module list File of settings that is read after containers.toml: its path, or its name in a folder containers.toml.modules
network-cmd-path str Program for networks !! pasta and slirp4netns are found by PATH; network_cmd_options in containers.toml gives them options
network-config-dir str Directory of networks !! networks lie in the directory of images and containers: --root
noout bool Write nothing to stdout
out str Write what would go to stdout to this file
remote,r bool Use a remote service !! (false) pyman works on this machine, without a service: ssh HOST pyman ...
root str Directory of images and containers (graphroot)
runroot str Directory of sockets and run state
runtime str OCI runtime
runtime-flag list Global option for the OCI runtime !! give the runtime's options in a script of your own, and its path to --runtime
ssh str How to speak to a remote service !! pyman works on this machine, without a service: ssh HOST pyman ...
storage-driver str overlay or fuse-overlayfs
storage-opt list Option of the store !! the store's settings are keys of [storage] in containers.toml
syslog bool Repeat messages in the system's log !! (false) messages go to stderr: pyman ... 2>&1 | logger
tls-ca str Certificates for a remote service !! pyman works on this machine, without a service: ssh HOST pyman ...
tls-cert str Certificate for a remote service !! pyman works on this machine, without a service: ssh HOST pyman ...
tls-key str Key for a remote service !! pyman works on this machine, without a service: ssh HOST pyman ...
tmpdir str Directory of run state !! --runroot is the place of all run state
transient-store bool Containers that do not outlive a reboot !! (false) use run --rm, or a --root on a tmpfs
url str Address of a remote service !! pyman works on this machine, without a service: ssh HOST pyman ...
version,v bool Print the version
volumepath str Directory of volumes !! volumes lie in the directory of images and containers: --root
"""
