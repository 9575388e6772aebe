/**
 * What the mesh needs of a runtime: byte sockets with backpressure, and a word about what it cannot do.
 *
 * This is the pluggable transport. `SocketTransport` carries our own wire (Bun, Deno, Node; memory pipes in tests),
 * `FetchTransport` borrows the platform's (`fetch` and bindings, for the edge). Never Web Streams per chunk here: they cost
 * more than the rest of a hop together.
 */

/** Certificates and keys a side presents; PEM because every runtime's TLS takes it. */
export interface TlsIdentity {
  /** Leaf first, then intermediates. */
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
}

/** Who is believed: the roots of one trust domain. */
export interface TlsTrust {
  readonly rootsPem: readonly string[];
}

export interface ListenTls {
  readonly identity: TlsIdentity;
  readonly trust: TlsTrust;
  /** `required` refuses a handshake without a certificate our trust signed; `none` serves plain TLS (control plane). */
  readonly clientAuth: "required" | "requested" | "none";
  /**
   * `accept` serves connections whose first byte is not a TLS handshake as they are, with `encrypted: false` and no
   * certificate: for a migration, never by default.
   *
   * @default "refuse"
   */
  readonly plaintext?: "refuse" | "accept";
  readonly alpn?: readonly string[];
}

export interface ListenOptions {
  readonly host?: string;
  /** 0 picks a free port. */
  readonly port?: number;
  /** Unix socket instead of host and port. */
  readonly path?: string;
  readonly tls?: ListenTls;
  readonly reusePort?: boolean;
  readonly backlog?: number;
}

export interface ConnectTls {
  /** Absent: connect without a client certificate (join). */
  readonly identity?: TlsIdentity;
  readonly trust: TlsTrust;
  /** DNS name for SNI and, unless `verifyPeer` is given, for the certificate's name check. */
  readonly serverName?: string;
  /**
   * Replaces the name check: gets the peer's chain (DER, leaf first) after the runtime verified it against `trust`.
   * Returns why it is refused, or null. Runs on every connection; sessions are never resumed.
   */
  readonly verifyPeer?: (chain: readonly Uint8Array[]) => string | null;
  /**
   * True believes any certificate. Exists for one call: fetching the public root of a mesh, which counts only if its hash is
   * the one in the join token. Nothing secret may be sent over such a connection.
   *
   * @default false
   */
  readonly unverified?: boolean;
  readonly alpn?: readonly string[];
}

export interface ConnectOptions {
  readonly host?: string;
  readonly port?: number;
  readonly path?: string;
  readonly tls?: ConnectTls;
  /** @default 2000 */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Receives what happens on a socket. Set with `socket.attach`; calls never overlap. */
export interface SocketHandler {
  /** `chunk` is only valid during the call unless copied. */
  data(chunk: Uint8Array): void;
  /** The send buffer emptied after a `write` that returned false. */
  drain(): void;
  /** The peer finished sending; our side may go on (half-close). */
  end(): void;
  /** Nothing more will happen. `error` if it was not orderly. Called exactly once. */
  close(error?: Error): void;
}

/** What is known of a connection once its handshake is over. */
export interface SocketFacts {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  /** DER, leaf first; empty on a plain socket. */
  readonly peerCertificates: readonly Uint8Array[];
  readonly alpn: string | null;
  readonly encrypted: boolean;
}

export interface ByteSocket extends SocketFacts {
  /** Bytes accepted by `write` and not yet taken by the kernel. */
  readonly bufferedBytes: number;
  attach(handler: SocketHandler): void;
  /** False: buffered, wait for `drain` before more. Latin-1 strings are for heads, where they save a copy. */
  write(bytes: Uint8Array | string): boolean;
  /** Several writes until `uncork` leave as one (one write per message is worth 30 µs a chain). */
  cork(): void;
  uncork(): void;
  pause(): void;
  resume(): void;
  /** Sends what is buffered, then FIN. */
  end(): void;
  /** Gives up at once (RST where the runtime can). */
  destroy(error?: Error): void;
}

export interface Listener {
  /** "host:port" or "unix:/path". */
  readonly address: string;
  readonly port: number;
  /** New handshakes use these from now on; live connections stay. No-op on plain listeners. */
  rotate(identity: TlsIdentity, trust: TlsTrust): void;
  /** Stops accepting; live sockets stay. */
  close(): Promise<void>;
}

/** What goes wrong before there is a socket to hand over; for metrics and logs only. */
export interface ListenEvents {
  handshakeRefused?(reason: string, remoteAddress: string): void;
  error?(error: Error): void;
}

/** What a runtime cannot do, and where that is documented. An option that needs it is refused at start with this text. */
export interface Capabilities {
  readonly runtime: string;
  readonly gaps: Readonly<Partial<Record<Capability, string>>>;
}

export type Capability =
  | "sockets"
  | "client-certificates"
  | "peer-identity"
  | "bounded-h1-over-tls"
  | "reuse-port"
  | "unix-sockets"
  | "certificate-rotation";

export interface SocketTransport {
  readonly kind: "sockets";
  readonly name: string;
  readonly capabilities: Capabilities;
  listen(options: ListenOptions, onSocket: (socket: ByteSocket) => void, events?: ListenEvents): Promise<Listener>;
  /** @throws {MeshError} ERR_CONNECT_FAILED, ERR_CONNECT_TIMEOUT or ERR_UPSTREAM_IDENTITY, all with `sent: "nothing"` */
  connect(options: ConnectOptions): Promise<ByteSocket>;
}

export interface FetchTransport {
  readonly kind: "fetch";
  readonly name: string;
  readonly capabilities: Capabilities;
  /** Sends one request to an address of the form `http(s)://host:port`; never follows redirects. */
  fetch(request: Request, address: string): Promise<Response>;
}

export type Transport = SocketTransport | FetchTransport;
