# Runs the worker on this machine: workerd serve config.capnp, after bundling it (see README.md).
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    # Where `fetch` goes: services on this machine, and a control plane whose root is not in anybody's list.
    (name = "internet", network = (
      allow = ["public", "private"],
      tlsOptions = (trustBrowserCas = true, trustedCertificates = [embed "root.pem"]),
    )),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "edge")],
);

const edge :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "dist/worker.js")],
  # Not nodejs_compat: the module needs nothing of Node.
  compatibilityDate = "2026-11-01",
  compatibilityFlags = ["no_nodejs_compat"],
  bindings = [
    (name = "CONTROL_URL", fromEnvironment = "CONTROL_URL"),
    (name = "READER_TOKEN", fromEnvironment = "READER_TOKEN"),
  ],
);
